"""Jinja environment of the templates, and the variables that the report and the card share."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from skin_lesions.core.text import pluralize
from skin_lesions.data.tables import SplitTable
from skin_lesions.evaluation.scorecard import Scorecard, registry
from skin_lesions.models.trained_model import TrainedModel
from skin_lesions.reporting import formatting, metric_tables
from skin_lesions.reporting.markdown import markdown_code, markdown_text


def render_template(
    name: str,
    *,
    metrics: Scorecard,
    model: TrainedModel,
    split_table: SplitTable,
    **variables: object,
) -> str:
    """Render a template with the results that all templates show, and its own variables."""
    template = environment().get_template(name)
    return template.render(
        metrics=metrics,
        model=model,
        synthetic=formatting.is_synthetic(model, metrics),
        leaky_weights=formatting.leaky_weights_note(model),
        images_from=formatting.images_from(model.provenance.origin),
        counts=formatting.counts_by_class(model.classes, split_table),
        policy=formatting.policy_note(metrics.split_policy),
        uncertain_links=formatting.uncertain_links_note(split_table),
        original_test=formatting.original_test_note(split_table),
        subsets=metric_tables.subsets(metrics),
        overall_rows=metric_tables.overall_rows(metrics),
        malignancy_rows=metric_tables.malignancy_rows(metrics),
        evaluated_classes=formatting.evaluated_classes_note(metrics.test),
        class_metrics=registry.CLASS_METRICS,
        class_rows=metric_tables.class_rows(metrics),
        recipe=formatting.format_recipe(model.recipe),
        class_prior=formatting.class_prior_note(model),
        provenance_rows=formatting.provenance_rows(model, metrics),
        load_versions=formatting.load_versions(metrics),
        **variables,
    )


@cache
def environment() -> Environment:
    """Return the environment. HTML templates escape all text.

    Markdown templates escape untrusted text with the filters ``md``, ``mds`` (a list) and ``code``.
    """
    created = Environment(
        loader=PackageLoader("skin_lesions.reporting"),
        autoescape=lambda name: name is not None and name.endswith(".html.jinja"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    created.filters |= {
        "code": markdown_code,
        "count": lambda number: f"{number:,}",
        "decimal": formatting.decimal,
        "md": markdown_text,
        "mds": lambda items: ", ".join(markdown_text(item) for item in items),
        "percent": formatting.percent,
        "pluralize": pluralize,
    }
    return created
