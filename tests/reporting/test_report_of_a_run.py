"""The report and the model card of a run of the demo."""

import base64
import io
import re

import numpy as np
from PIL import Image

MEGABYTE = 1e6


def embedded_images(page: str, kind: str) -> list[bytes]:
    return [
        base64.b64decode(data) for data in re.findall(rf"data:image/{kind};base64,([^\"]+)", page)
    ]


def test_report_of_the_demo_is_smaller_than_six_megabytes(demo_run):
    assert len(demo_run.load("report").encode()) < 6 * MEGABYTE


def test_photographs_in_the_report_show_the_figure_of_the_catalog(demo_run):
    embedded = embedded_images(demo_run.load("report"), "webp")
    saved = [demo_run.load(name) for name in ("sample_images", "linked_image_pairs")]
    assert len(embedded) == len(saved)
    for webp, png in zip(embedded, saved, strict=True):
        shown, original = (
            np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)
            for data in (webp, png)
        )
        assert shown.shape == original.shape
        assert np.abs(shown - original).mean() < 4  # of 255: the loss of the encoding


def test_run_without_images_of_patients_has_none_in_report_and_new_figures(demo_copy):
    charts = len(embedded_images(demo_copy.load("report"), "png"))
    demo_copy.run("report", report={"show_images": False})
    page = demo_copy.load("report")
    assert embedded_images(page, "webp") == []
    assert len(embedded_images(page, "png")) == charts
    assert page.count("Images of patients are left out") == 2
    placeholder = Image.open(io.BytesIO(demo_copy.load("sample_images"))).convert("RGB")
    colors = placeholder.getcolors(maxcolors=100_000)
    assert all(max(color) - min(color) < 80 for _, color in colors)  # only gray and black text
