import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from skin_lesions.config.ingest import Ingest
from skin_lesions.config.report import Report
from skin_lesions.core.errors import InputError
from skin_lesions.core.versions import StoredVersions
from skin_lesions.data.pixel_store import PixelStore, open_for_append
from skin_lesions.evaluation.comparison import compare_predictions
from skin_lesions.reporting.comparison_page import render_comparison_page
from skin_lesions.reporting.comparison_summary import selected_comparison, summary_sentences
from support.factories import corners, encoded
from support.report_inputs import UNUSUAL_NAMES, Study, two_classes, with_frame

INGEST = Ingest(stored_image_size=32, max_unreadable_fraction=1.0)
REPORT = Report(samples_per_class=1, show_images=True, comparison=None)


def comparison_of(study: Study, *, paired=True, drop=0, source="this data root"):
    """Compare a study with itself after its predictions were rotated by one class."""
    frame = study.predictions.frame
    columns = [f"p_{label}" for label in study.labels]
    rotated = frame.copy()
    rotated[columns] = frame[[*columns[1:], columns[0]]].to_numpy()
    rotated["predicted"] = [study.labels[i] for i in rotated[columns].to_numpy().argmax(axis=1)]
    rotated = rotated.drop(index=rotated.query("split == 'test'").index[:drop])
    return compare_predictions(
        study.predictions,
        replace(with_frame(study.predictions, rotated), version="V2"),
        sources=(source, "this data root"),
        is_paired=paired,
        max_examples=6,
    )


@pytest.fixture
def store(tmp_path):
    """A store with the first two images that the comparison of two classes lists."""
    pixels = PixelStore(tmp_path)
    examples = comparison_of(two_classes()).examples[:2]
    with open_for_append(pixels.at(32)) as writer:
        for example in examples:
            writer.decode(example.image_id, encoded(corners(40, 20), "PNG"))
    return pixels


def page_of(comparison, store=None, report=REPORT):
    return render_comparison_page(comparison, store or PixelStore(Path("missing")), INGEST, report)


def test_page_contains_the_sentences_matrices_and_differences():
    comparison = comparison_of(two_classes())
    page = page_of(comparison)
    assert "The baseline is better." in summary_sentences(comparison)[0]
    assert page.count("<table>") == 5
    for name in ("Compared models", "Metrics", "Recall by class", "Confusion matrices"):
        assert f">{name}</h2>" in page
    cells = re.findall(r"<td(?: class=\"(?:diagonal|none)\")?>(\d+)</td>", page)
    for run in (comparison.baseline, comparison.candidate):
        assert {str(n) for row in run.confusion.counts for n in row} <= set(cells)


def test_untrusted_names_are_escaped():
    study = Study(UNUSUAL_NAMES, [40] * len(UNUSUAL_NAMES))
    page = page_of(comparison_of(study, source="<img src=x onerror=alert(1)>"))
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_page_needs_no_other_file():
    page = page_of(comparison_of(two_classes()))
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert "default-src 'none'" in page
    assert "url(" not in page


def test_stored_images_are_embedded_with_their_aspect_ratio(store):
    page = page_of(comparison_of(two_classes()), store)
    images = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)" alt="([^"]+)"', page)
    assert len(images) == 2
    assert "4 of them are not in the pixel store" in page
    with Image.open(io.BytesIO(base64.b64decode(images[0][0]))) as image:
        assert image.size == (160, 80)
        assert not image.getexif()


def test_images_are_left_out_on_request(store):
    page = page_of(
        comparison_of(two_classes()), store, REPORT.model_copy(update={"show_images": False})
    )
    assert "<img" not in page
    assert "report.show_images=false" in page


def test_unpaired_page_says_so_and_lists_no_disagreements():
    comparison = comparison_of(two_classes(), paired=False, drop=5)
    sentences = summary_sentences(comparison)
    assert "The comparison is unpaired" in sentences[1]
    assert "not only due to the models" in sentences[1]
    page = page_of(comparison)
    assert "Images with different predictions" not in page
    assert "They are unpaired." in page


def test_unpaired_comparison_of_the_same_images_recommends_the_paired_one():
    sentences = summary_sentences(comparison_of(two_classes(), paired=False))
    assert "With compare.paired=true, the intervals would be narrower." in sentences[1]


def test_equal_predictions_are_described_as_no_difference():
    predictions = two_classes().predictions
    same = compare_predictions(
        predictions, predictions, sources=("a", "b"), is_paired=True, max_examples=1
    )
    first, tests, classes, _ = summary_sentences(same)
    assert first.startswith("No difference shown: the 95 % interval contains zero.")
    assert "is equal to that of the baseline" in first
    assert "p = 1.000" in tests
    assert classes.startswith("No class shows a difference")


def test_report_selects_a_comparison_by_its_version():
    comparison = comparison_of(two_classes())
    stored = StoredVersions("comparison", ("V1",), {"V1": comparison}.__getitem__, Path.read_text)
    assert selected_comparison(stored, REPORT) is None
    chosen = REPORT.model_copy(update={"comparison": "V1"})
    assert selected_comparison(stored, chosen) is comparison
    with pytest.raises(InputError, match="report.comparison .V0. is not a version of comparison"):
        selected_comparison(stored, REPORT.model_copy(update={"comparison": "V0"}))
