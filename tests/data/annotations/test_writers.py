"""Round trips: written boxes are read with the same values, and writing them again is identical."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skin_lesions.core.errors import InputError
from skin_lesions.data.annotations import (
    read_annotations,
    write_coco,
    write_csv,
    write_voc,
    write_yolo,
)

# Name of the output, writer, and largest error of a coordinate in pixels.
WRITERS = {
    "coco": ("boxes.json", write_coco, 0.001),
    "csv": ("boxes.csv", write_csv, 0.001),
    "yolo": ("yolo", write_yolo, 0.01),
    "voc": ("voc", write_voc, 0.5),
}
FILES = ("train/mel/1.jpg", "2.png", "=3.jpg", "b/ü 4.jpg")


def contents(path):
    """Return the bytes of each file of the output."""
    files = [path] if path.is_file() else [p for p in sorted(path.rglob("*")) if p.is_file()]
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in files}


def table(rows):
    return pd.DataFrame(rows, columns=["file", "width", "height", "x0", "y0", "x1", "y1"])


EXAMPLE = table(
    [
        ("train/mel/1.jpg", 200, 100, 0.1, 0.2, 0.5, 0.6),
        ("train/mel/1.jpg", 200, 100, 0.0, 0.0, 1.0, 1.0),
        ("2.png", 50, 80, *[np.nan] * 4),
    ]
)


@st.composite
def tables(draw):
    """Draw boxes of at least one pixel; some images have none."""
    rows = []
    for file in FILES:
        width, height = draw(st.integers(1, 9000)), draw(st.integers(1, 9000))
        image = (file, width, height)
        n = draw(st.integers(0, 2)) if rows else 1
        for _ in range(n):
            x0, y0 = draw(st.floats(0, width - 1)), draw(st.floats(0, height - 1))
            x1, y1 = draw(st.floats(x0 + 1, width)), draw(st.floats(y0 + 1, height))
            rows.append((*image, x0 / width, y0 / height, min(x1 / width, 1), min(y1 / height, 1)))
        if n == 0:
            rows.append((*image, *[np.nan] * 4))
    return table(rows)


@pytest.mark.parametrize("kind", WRITERS)
@given(boxes=tables())
@settings(max_examples=15, deadline=None)
def test_boxes_are_read_as_written_and_written_again_identically(kind, boxes):
    name, write, tolerance = WRITERS[kind]
    images = boxes[["file", "width", "height"]].drop_duplicates()
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder, "first", name), Path(folder, "second", name)
        write(boxes, first)
        found = read_annotations(first, images)
        assert (found.format, found.problems) == (kind, ())
        assert set(found.lesions) == set(boxes.dropna()["file"])
        rows = []
        for file, width, height in images.itertuples(index=False):
            expected = boxes[boxes["file"].eq(file)].dropna()[["x0", "y0", "x1", "y1"]]
            if not len(expected):
                rows.append((file, width, height, *[np.nan] * 4))
                continue
            scale = (width, height, width, height)
            error = (found.lesions[file].boxes - expected.to_numpy()) * scale
            assert np.abs(error).max() <= tolerance + 1e-6
            rows += [(file, width, height, *box) for box in found.lesions[file].boxes]
        write(table(rows), second)
        assert contents(second) == contents(first)


def test_yolo_has_a_file_for_each_image_also_without_boxes(tmp_path):
    write_yolo(EXAMPLE, tmp_path / "out")
    assert contents(tmp_path / "out") == {
        "2.txt": b"",
        "train/mel/1.txt": b"0 0.300000 0.400000 0.400000 0.400000\n"
        b"0 0.500000 0.500000 1.000000 1.000000\n",
    }


def test_coco_and_csv_list_images_without_boxes(tmp_path):
    write_coco(EXAMPLE, tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [image["file_name"] for image in content["images"]] == ["train/mel/1.jpg", "2.png"]
    assert [a["bbox"] for a in content["annotations"]] == [[20, 20, 80, 40], [0, 0, 200, 100]]
    assert [a["image_id"] for a in content["annotations"]] == [1, 1]
    write_csv(EXAMPLE, tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines[1] == "train/mel/1.jpg,200,100,20.0,20.0,100.0,60.0"
    assert lines[3] == "2.png,50,80,,,,"


@pytest.mark.parametrize("kind", WRITERS)
def test_scores_are_written_and_do_not_disturb_reading(tmp_path, kind):
    name, write, _ = WRITERS[kind]
    write(EXAMPLE.assign(score=[0.8125, 0.25, np.nan]), tmp_path / name)
    text = b"".join(contents(tmp_path / name).values())
    assert text.count(b"0.8125") == text.count(b"0.25") == 1
    found = read_annotations(tmp_path / name, EXAMPLE[["file", "width", "height"]].iloc[1:])
    assert found.problems == ()
    assert len(found.lesions["train/mel/1.jpg"].boxes) == 2


def test_box_of_one_pixel_between_two_pixels_is_not_rounded_to_nothing(tmp_path):
    # 7.5 / 11 * 11 is less than 7.5 in floating-point arithmetic.
    boxes = table([("1.jpg", 11, 11, 6.5 / 11, 0, 7.5 / 11, 1)])
    write_voc(boxes, tmp_path / "voc")
    found = read_annotations(tmp_path / "voc", boxes)
    np.testing.assert_allclose(found.lesions["1.jpg"].boxes * 11, [[7, 0, 8, 11]])


@pytest.mark.parametrize("write", [write_yolo, write_voc])
def test_two_images_that_would_share_a_text_file_are_rejected(tmp_path, write):
    boxes = table([("a/1.jpg", 9, 9, 0, 0, 1, 1), ("A/1.png", 9, 9, 0, 0, 1, 1)])
    with pytest.raises(InputError, match=r"share a text file \(a/1\.jpg, A/1\.png\).*Fix: write"):
        write(boxes, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("write", [write_yolo, write_voc])
def test_folder_with_files_is_not_replaced_and_an_empty_one_is(tmp_path, write):
    (tmp_path / "out").mkdir()
    write(EXAMPLE, tmp_path / "out")
    with pytest.raises(InputError, match=r"exists and is not empty \(.*out\).*Fix: choose another"):
        write(EXAMPLE, tmp_path / "out")


@pytest.mark.parametrize("file", ["../1.jpg", "/1.jpg", "a/../../1.jpg", "C:/1.jpg", "..\\1.jpg"])
@pytest.mark.parametrize("write", [write_yolo, write_voc])
def test_nothing_is_written_outside_of_the_folder(tmp_path, write, file):
    with pytest.raises(ValueError, match="is not a relative path"):
        write(table([(file, 9, 9, 0, 0, 1, 1)]), tmp_path / "a" / "b")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([("1.jpg", 9, 9, 0, 0, 9, 9)], "are not fractions"),
        ([("1.jpg", 9, 9, 0, 0, 1, np.nan)], "are not fractions"),
        ([("1.jpg", 9, 9, 1, 0, 0, 1)], "are not fractions"),
        ([("1.jpg", 9, 9, 0, 0, 1, 1), ("1.jpg", 9, 8, 0, 0, 1, 1)], "different sizes"),
    ],
)
@pytest.mark.parametrize("kind", WRITERS)
def test_invalid_boxes_are_not_written(tmp_path, kind, rows, reason):
    name, write, _ = WRITERS[kind]
    with pytest.raises(ValueError, match=reason):
        write(table(rows), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_missing_score_is_rejected(tmp_path):
    with pytest.raises(ValueError, match="A score of 1.jpg is missing"):
        write_csv(table([("1.jpg", 9, 9, 0, 0, 1, 1)]).assign(score=np.nan), tmp_path / "a.csv")
