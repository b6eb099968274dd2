"""The report and the model card of a run of the demo."""

import base64
import io
import re

import numpy as np
from PIL import Image

from skin_lesions.reporting.figures.registry import FIGURES

MEGABYTE = 1e6


def embedded_images(page: str, kind: str) -> list[bytes]:
    return [
        base64.b64decode(data) for data in re.findall(rf"data:image/{kind};base64,([^\"]+)", page)
    ]


def pixels(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB"), dtype=float)


def test_report_of_the_demo_is_smaller_than_six_megabytes(demo_run):
    assert len(demo_run.load("report").encode()) < 6 * MEGABYTE


def test_photographs_in_the_report_show_the_figure_of_the_catalog(demo_run):
    embedded = embedded_images(demo_run.load("report"), "webp")
    saved = [demo_run.load(figure.name) for figure in FIGURES if figure.shows_patients]
    assert len(embedded) == len(saved)
    originals = [pixels(png) for png in saved]
    for webp in embedded:
        shown = pixels(webp)
        # The loss of the encoding, of 255, for the figure that is most similar.
        losses = [abs(shown - o).mean() for o in originals if o.shape == shown.shape]
        assert min(losses) < 4


def test_run_without_images_of_patients_has_none_in_report_and_new_figures(demo_copy):
    charts = len(embedded_images(demo_copy.load("report"), "png"))
    demo_copy.run("report", report={"show_images": False})
    page = demo_copy.load("report")
    assert embedded_images(page, "webp") == []
    assert len(embedded_images(page, "png")) == charts
    left_out = sum(figure.shows_patients for figure in FIGURES)
    assert page.count("Images of patients are left out") == left_out == 4
    placeholder = Image.open(io.BytesIO(demo_copy.load("sample_images"))).convert("RGB")
    colors = placeholder.getcolors(maxcolors=100_000)
    assert all(max(color) - min(color) < 80 for _, color in colors)  # only gray and black text
