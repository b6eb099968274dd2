"""HTML report.

One file with all results, styles and figures. It opens offline and loads no other file. The content
comes from the modules in ``sections``.
"""

import base64
import hashlib
import io
import struct
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import cast

from PIL import Image

from skin_lesions.config.report import Report
from skin_lesions.reporting import formatting
from skin_lesions.reporting.blocks import Block, FigurePlace
from skin_lesions.reporting.environment import render_template
from skin_lesions.reporting.figures import registry as figure_registry
from skin_lesions.reporting.figures.spec import FigureSpec, ReportInputs
from skin_lesions.reporting.sections import registry
from skin_lesions.reporting.sections.section import Section

_DOTS_PER_PIXEL = 1.5  # figures are saved at 150 dots per inch and displayed at 100
# Photographs as WebP need a fifth of the space of PNG. At this quality, small text stays sharp.
_WEBP_QUALITY = 85


def render_report(report: Report, **results: object) -> str:
    """Render one HTML document with embedded styles, script and figures.

    Class names, file names and reasons are untrusted input. All of them are escaped.

    Args:
        report: The parameters of the report.
        results: The other fields of ``ReportInputs`` by name, and the PNG of each figure by its
            name in the registry. Figures that are not given are left out.
    """
    names = {field.name for field in fields(ReportInputs)}
    given = {name: value for name, value in results.items() if name in names}
    inputs = ReportInputs(report=report, **given)  # type: ignore[arg-type] # checked by name
    figures = {
        spec.name: _embed(spec, cast("bytes", results[spec.name]), inputs)
        for spec in figure_registry.FIGURES
        if spec.name in results
    }
    unknown = results.keys() - names - figures.keys()
    if unknown:
        raise TypeError(f"Unknown results ({sorted(unknown)}). Fix: add a field to ReportInputs")
    model, metrics = inputs.model, inputs.metrics
    css, script = _asset("report.css"), _asset("report.js")
    return render_template(
        "report.html.jinja",
        css=css,
        css_hash=_csp_hash(css),
        script=script,
        script_hash=_csp_hash(script),
        model=model,
        metrics=metrics,
        synthetic=formatting.is_synthetic(model, metrics),
        leaky_weights=formatting.leaky_weights_note(model),
        sections=_sections(inputs, figures),
        figures=figures,
    )


@dataclass(frozen=True, kw_only=True)
class _EmbeddedFigure:
    """A figure as a data URL, with its displayed size in pixels.

    ``url`` is empty if the figure is left out because it shows patients.
    """

    name: str
    section: str
    heading: str
    alt: str
    url: str
    width: int
    height: int


@dataclass(frozen=True)
class _SectionContent:
    section: Section
    blocks: list[Block]


def _sections(inputs: ReportInputs, figures: dict[str, _EmbeddedFigure]) -> list[_SectionContent]:
    """Return the sections that have content, each with the figures that it does not place."""
    contents = []
    for section in registry.SECTIONS:
        blocks = list(section.content(inputs))
        placed = {block.name for block in blocks if isinstance(block, FigurePlace)}
        blocks = [
            block for block in blocks if not isinstance(block, FigurePlace) or block.name in figures
        ]
        blocks += [
            FigurePlace(figure.name)
            for figure in figures.values()
            if figure.section == section.name and figure.name not in placed
        ]
        if blocks:
            contents.append(_SectionContent(section, blocks))
    return contents


def _embed(spec: FigureSpec, png: bytes, inputs: ReportInputs) -> _EmbeddedFigure:
    # Width and height in the PNG header (IHDR chunk).
    width, height = struct.unpack(">II", png[16:24])
    hidden = spec.shows_patients and not inputs.report.show_images
    kind, data = ("webp", _webp(png)) if spec.shows_patients else ("png", png)
    url = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return _EmbeddedFigure(
        name=spec.name,
        section=spec.section,
        heading=spec.heading,
        alt=spec.alt_text(inputs),
        url="" if hidden else url,
        width=round(width / _DOTS_PER_PIXEL),
        height=round(height / _DOTS_PER_PIXEL),
    )


def _webp(png: bytes) -> bytes:
    """Encode an image as WebP without metadata, such as EXIF."""
    with Image.open(io.BytesIO(png)) as image:
        pixels = image.convert("RGB")
    encoded = io.BytesIO()
    pixels.save(encoded, "WEBP", quality=_WEBP_QUALITY, exif=b"", icc_profile=b"", xmp=b"")
    return encoded.getvalue()


def _asset(name: str) -> str:
    """Return a style sheet or script of the package."""
    folder = files("skin_lesions.reporting").joinpath("templates")
    return folder.joinpath(name).read_text(encoding="utf-8")


def _csp_hash(content: str) -> str:
    """Return the source expression that allows an inline style or script.

    Source:
        Content Security Policy Level 3, "hash-source".
    """
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
