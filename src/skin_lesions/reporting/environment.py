"""Jinja environment of the templates of the report and the card."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from skin_lesions.core.text import pluralize
from skin_lesions.reporting import formatting
from skin_lesions.reporting.markdown import markdown_code, markdown_text


def render_template(name: str, **variables: object) -> str:
    """Render a template of this package."""
    return environment().get_template(name).render(**variables)


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
