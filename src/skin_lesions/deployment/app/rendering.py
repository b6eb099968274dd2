"""HTML of the page: header, results and style. Untrusted text is escaped."""

from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from skin_lesions.core.atomic_files import format_bytes
from skin_lesions.core.text import pluralize
from skin_lesions.data.image_files import FORMATS, MAX_PIXELS
from skin_lesions.deployment.app.analysis import MAX_FILE_BYTES, Analysis, Analyzer, Result
from skin_lesions.deployment.app.results_table import csv_url
from skin_lesions.deployment.predictor import ModelDescription
from skin_lesions.reporting.formatting import whole_percent

_MAIN_CLASSES = 6  # bars that are visible without a click


def render_header(description: ModelDescription) -> str:
    """Return the title, the limits of use and the facts about the model."""
    return _render("header.html.jinja", model=description)


def render_limits() -> str:
    """Return the limits of uploads."""
    return (
        f'<p class="limits">{", ".join(FORMATS)}, at most {format_bytes(MAX_FILE_BYTES)} and '
        f"{MAX_PIXELS // 1_000_000} megapixels</p>"
    )


def render_results(results: Sequence[Result], analyzer: Analyzer) -> str:
    """Return the results of all images, the newest first; empty without images."""
    if not results:
        return ""
    return _render(
        "results.html.jinja",
        results=results,
        model=analyzer.description,
        has_maps=analyzer.has_maps,
        csv_url=csv_url(results, analyzer.description),
        main_classes=_MAIN_CLASSES,
    )


def style() -> str:
    """Return the style sheet."""
    return _render("app.css")


def _render(name: str, **variables: object) -> str:
    return _environment().get_template(name).render(**variables)


@cache
def _environment() -> Environment:
    created = Environment(
        loader=PackageLoader("skin_lesions.deployment.app"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    created.filters |= {"percent": whole_percent, "pluralize": pluralize}
    created.tests["analysis"] = lambda result: isinstance(result, Analysis)
    return created
