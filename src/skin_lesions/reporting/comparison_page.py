"""Comparison page: one HTML file that opens offline and loads no other file."""

import base64
import io
from importlib.resources import files
from typing import Literal, NamedTuple

from PIL import Image

from skin_lesions.config.ingest import Ingest
from skin_lesions.config.report import Report
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.evaluation.comparison import Comparison, Disagreement
from skin_lesions.metrics.intervals import Estimate
from skin_lesions.reporting import comparison_summary, formatting
from skin_lesions.reporting.environment import environment

_THUMBNAIL = 160  # pixels, longer side
_JPEG_QUALITY = 80


def render_comparison_page(
    comparison: Comparison, pixel_store: PixelStore, ingest: Ingest, report: Report
) -> str:
    """Render one HTML document with embedded styles and images.

    Class names, file names and sources are untrusted input. All of them are escaped.

    Args:
        comparison: The comparison.
        pixel_store: Decoded images; images that it does not contain are left out.
        ingest: Its ``stored_image_size`` is the size of the decoded images.
        report: Its ``show_images`` decides whether the page contains images.
    """
    css = files("skin_lesions.reporting").joinpath("templates", "comparison.css")
    thumbnails = _thumbnails(comparison, pixel_store, ingest) if report.show_images else {}
    template = environment().get_template("comparison.html.jinja")
    return template.render(
        css=css.read_text(encoding="utf-8"),
        comparison=comparison,
        sentences=comparison_summary.summary_sentences(comparison),
        metrics=[_metric_row(comparison, key) for key in comparison.metrics],
        classes=[_class_row(comparison, name) for name in comparison.classes],
        examples=[(example, thumbnails.get(example.image_id)) for example in comparison.examples],
        show_images=report.show_images,
        images_missing=len(comparison.examples) - _shown(comparison.examples, thumbnails),
        runs=(("Baseline", comparison.baseline), ("Candidate", comparison.candidate)),
    )


class _Row(NamedTuple):
    """A row of a table of differences; ``p_value`` is empty if there is none."""

    name: str
    n: str
    baseline: str
    candidate: str
    difference: str
    interval: str
    p_value: str
    verdict: str


_VERDICTS = {
    "candidate_better": "candidate better",
    "baseline_better": "baseline better",
    "no_difference_shown": "no difference shown",
    "unknown": formatting.DASH,
}


def _metric_row(comparison: Comparison, key: str) -> _Row:
    entry = comparison.metrics[key]
    unit: Literal["percent", "decimal"] = (
        "percent" if key in ("accuracy", "balanced_accuracy") else "decimal"
    )
    better = "" if entry.higher_is_better else " (lower is better)"
    return _Row(
        name=f"{entry.name}{better}",
        n=_counts(entry.baseline.n, entry.candidate.n),
        baseline=formatting.format_estimate(entry.baseline, unit).inline,
        candidate=formatting.format_estimate(entry.candidate, unit).inline,
        difference=_difference(key, entry.difference),
        interval=comparison_summary.format_interval(key, entry.difference)
        or entry.difference.reason
        or "",
        p_value="",
        verdict=_VERDICTS[entry.verdict],
    )


def _class_row(comparison: Comparison, name: str) -> _Row:
    entry = comparison.per_class[name]
    p_value = "" if entry.p_adjusted is None else f"{entry.p_adjusted:.3f}"
    return _Row(
        name=name,
        n=_counts(*entry.support),
        baseline=formatting.format_estimate(entry.baseline, "percent").inline,
        candidate=formatting.format_estimate(entry.candidate, "percent").inline,
        difference=_difference("accuracy", entry.difference),
        interval=comparison_summary.format_interval("accuracy", entry.difference)
        or entry.difference.reason
        or "",
        p_value="< 0.001" if p_value == "0.000" else p_value,
        verdict=_VERDICTS[entry.verdict],
    )


def _difference(key: str, difference: Estimate) -> str:
    if difference.value is None:
        return formatting.DASH
    return comparison_summary.format_difference(key, difference.value)


def _counts(baseline: int, candidate: int) -> str:
    return f"{baseline:,}" if baseline == candidate else f"{baseline:,} / {candidate:,}"


def _shown(examples: tuple[Disagreement, ...], thumbnails: dict[str, str]) -> int:
    return sum(example.image_id in thumbnails for example in examples)


def _thumbnails(comparison: Comparison, store: PixelStore, ingest: Ingest) -> dict[str, str]:
    """Return the stored images of the examples as base64 text of JPEG files, by image_id."""
    images = store.at(ingest.stored_image_size)
    stored = images.index[images.index["row"] >= 0]
    thumbnails = {}
    for example in comparison.examples:
        if example.image_id not in stored.index:
            continue
        # The stored square has another aspect ratio than the original image.
        sides = stored.loc[[example.image_id], ["width", "height"]].to_numpy(dtype=int)[0].tolist()
        width, height = (max(1, round(_THUMBNAIL * side / max(sides))) for side in sides)
        image = Image.fromarray(images[example.image_id]).resize((width, height))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
        thumbnails[example.image_id] = base64.b64encode(buffer.getvalue()).decode("ascii")
    return thumbnails
