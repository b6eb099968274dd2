"""Detection of the format, problems of single annotations, and files that cannot be used."""

import json
import os
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skin_lesions.core.errors import InputError
from skin_lesions.data.annotations import read_annotations
from support.factories import encoded, write_files

IMAGES = pd.DataFrame({"file": ["a/1.jpg", "a/2.jpg", "b/2.jpg"], "width": 200, "height": 100})
BOX = [[0.1, 0.2, 0.5, 0.6]]  # 20, 20 to 100, 60 pixels


def coco(boxes=((20, 20, 80, 40),), images=None, **fields):
    images = images or [{"id": 7, "file_name": "1.jpg", "width": 200, "height": 100}]
    boxes = [b if isinstance(b, dict) else {"image_id": 7, "bbox": b} for b in boxes]
    return json.dumps({"images": images, "annotations": boxes, **fields}).encode()


def voc(*objects, filename="1.jpg", size=(200, 100), before="", root="annotation"):
    width, height = size
    body = "".join(
        f"<object><name>lesion</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax>"
        f"<ymax>{d}</ymax></bndbox></object>"
        for a, b, c, d in objects or [(20, 20, 100, 60)]
    )
    return (
        f"{before}<{root}><filename>{filename}</filename><size><width>{width}</width>"
        f"<height>{height}</height></size>{body}</{root}>"
    ).encode()


YOLO = b"0 0.3 0.4 0.4 0.4\n"
CSV = b"image,x0,y0,x1,y1\n1,20,20,100,60\n"
MASK = encoded(
    Image.fromarray(np.pad(np.full((40, 80), 255, np.uint8), ((20, 40), (20, 100)))), "PNG"
)
ONE_FILE = {
    "masks": {"1_segmentation.png": MASK},
    "yolo": {"labels/1.txt": YOLO, "classes.txt": b"lesion\n"},
    "coco": {"all.json": coco()},
    "voc": {"1.xml": voc()},
    "csv": {"boxes.csv": CSV},
}
OTHERS = {"LICENSE.txt": b"CC0", "metadata.csv": b"image,age\n1,40\n", "1.jpg": b"", ".x.json": b""}


def read(folder, files):
    return read_annotations(write_files(folder, files), IMAGES)


@pytest.mark.parametrize("kind", ONE_FILE)
@pytest.mark.parametrize("others", [{}, OTHERS], ids=["alone", "other files"])
def test_format_of_a_folder_is_found(tmp_path, kind, others):
    found = read(tmp_path, ONE_FILE[kind] | others)
    assert found.format == kind
    assert list(found.lesions) == ["a/1.jpg"]
    np.testing.assert_allclose(found.lesions["a/1.jpg"].boxes, BOX)
    # Other text files cannot be distinguished from labels of an unknown image.
    listed = ["LICENSE.txt"] if others and kind == "yolo" else []
    assert [problem.place for problem in found.problems] == listed
    assert found.without == ("a/2.jpg", "b/2.jpg")


@pytest.mark.parametrize("kind", ["coco", "csv"])
def test_path_of_a_single_file_is_read(tmp_path, kind):
    ((name, data),) = ONE_FILE[kind].items()
    write_files(tmp_path, {name: data, "1.xml": voc()})
    np.testing.assert_allclose(
        read_annotations(tmp_path / name, IMAGES).lesions["a/1.jpg"].boxes, BOX
    )


@pytest.mark.parametrize(
    "pair", [("masks", "yolo"), ("yolo", "voc"), ("coco", "csv"), ("voc", "masks")]
)
def test_folder_with_two_formats_is_rejected_with_an_example_of_each(tmp_path, pair):
    files = ONE_FILE[pair[0]] | ONE_FILE[pair[1]]
    with pytest.raises(InputError, match="in several formats.*Fix: choose a file") as error:
        read(tmp_path, files)
    assert all(
        re.search(rf"{kind} \(e\.g\. {next(iter(ONE_FILE[kind]))}\)", str(error.value))
        for kind in pair
    )


def test_images_beside_their_labels_are_not_masks(tmp_path):
    images = IMAGES.replace("a/1.jpg", "a/1.png")
    write_files(tmp_path, {"1.png": MASK, "1.txt": YOLO})
    assert read_annotations(tmp_path, images).format == "yolo"


def test_images_beside_their_masks_are_ignored(tmp_path):
    found = read(tmp_path, {"1.jpg": b"", "1.png": MASK})
    assert (found.format, found.problems) == ("masks", ())


# Name of a file -> content; the reason or the InputError.
BROKEN = {
    "no files": ({}, "Folder has no annotations .*Expected a folder of masks"),
    "other files": ({"a.docx": b""}, "Folder has no annotations"),
    "no matching name": (
        {"9.txt": YOLO},
        r"No annotation is usable .*format yolo, 1 problem\)\. First problem: 9\.txt: no image "
        r"has this name \(9\)\. First image: a/1\.jpg\.",
    ),
    "only empty files": ({"1.txt": b""}, "Annotations contain no boxes"),
    "two tables": ({"a.csv": CSV, "b.csv": CSV}, r"Folder has 2 csv files .*a\.csv, b\.csv"),
    "two JSON files": ({"a.json": coco(), "b.json": coco()}, "Folder has 2 coco files"),
    "broken JSON": ({"a.json": b'{"images": ['}, "not valid JSON .*a\\.json.*Expecting"),
    "deep JSON": ({"a.json": b"[" * 100_000}, "not valid JSON"),
    "huge number": ({"a.json": b'{"images": ' + b"1" * 5000}, "not valid JSON"),
    "other encoding": ({"a.json": coco().decode().encode("utf-16")}, "cannot be used .*not UTF-8"),
    "other JSON": ({"a.json": b"[1]"}, "is not a COCO file .*no lists images and annotations"),
    "no list": ({"a.json": b'{"images": {}, "annotations": []}'}, "is not a COCO file"),
    "table without boxes": (
        {"a.csv": b"image,age\n1,40\n"},
        r"no columns of boxes \(x0.*image, age",
    ),
    "table without names": ({"a.csv": b"x0,y0,x1,y1\n1,2,3,4\n"}, r"no columns of image names"),
    "broken table": ({"a.csv": b'image,x0,y0,x1,y1\n"1,2\n'}, "Annotation table cannot be parsed"),
    "fractions": (
        {"a.csv": b"image,x0,y0,x1,y1\n1,.1,.1,.5,1\n"},
        "No box .* larger than one pixel .*Fix: multiply",
    ),
    "pixels": ({"1.txt": b"0 60 40 80 40\n"}, "First problem: 1.txt, line 1: pixels instead of"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_unusable_annotations_are_rejected_with_the_reason(tmp_path, kind):
    files, reason = BROKEN[kind]
    with pytest.raises(InputError, match=reason) as error:
        read(tmp_path, files)
    assert str(tmp_path) in str(error.value)


def test_missing_path_and_unknown_file_are_rejected(tmp_path):
    with pytest.raises(InputError, match=r"do not exist \(.*nowhere\).*Fix: check the path"):
        read_annotations(tmp_path / "nowhere", IMAGES)
    write_files(tmp_path, {"a.pdf": b""})
    with pytest.raises(InputError, match=r"Unknown format of annotations \(.*a\.pdf\)"):
        read_annotations(tmp_path / "a.pdf", IMAGES)


# Content of one more annotation -> place and reason.
YOLO_PROBLEMS = {
    "0 0.3 0.4 0.4": "4 values; expected class cx cy width height (0 0.3 0.4 0.4)",
    "0 0.3 x 0.4 0.4": "cy is not a number (x)",
    "0 0.3 nan 0.4 0.4": "cy is not a finite number (nan)",
    "0 0.3 0.4 0 0.4": "empty box: (60, 20) to (60, 60)",
    "0 0.3 0.4 -0.4 0.4": "inverted box: (100, 20) to (20, 60)",
    "0 0.9 0.5 0.3 0.5": "box outside of the image: (150, 25) to (210, 75), the image has "
    "200 x 100 pixels",
    "0 60 40 80 40": "pixels instead of fractions of 0 to 1 (0 60 40 80 40)",
}
CSV_PROBLEMS = {
    "1,20,20,x,60": "x1 is not a number (x)",
    "1,20,,100,60": "y0 is missing",
    "1,20,1_0,100,60": "y0 is not a number (1_0)",
    "1,20,inf,100,60": "y0 is not a finite number (inf)",
    ",20,20,100,60": "the name of the image is missing",
    "7,20,20,100,60": "no image has this name (7)",
    "2,20,20,100,60": "2 images have this name (a/2.jpg, b/2.jpg); use the complete path",
    "1,100,20,20,60": "inverted box: (100, 20) to (20, 60)",
    "1,20,20,20,60": "empty box: (20, 20) to (20, 60)",
    "1,20,20,202,60": "box outside of the image: (20, 20) to (202, 60), the image has "
    "200 x 100 pixels",
    "1,-1,20,0,60": "box outside of the image: (-1, 20) to (0, 60)",
}
VOC_PROBLEMS = {
    (20, 20, "", 60): "xmax is missing",
    (20, 20, "x", 60): "xmax is not a number (x)",
    (20, 60, 100, 20): "inverted box: (20, 60) to (100, 20)",
    (20, 20, 100, 160): "box outside of the image: (20, 20) to (100, 160), the image has "
    "200 x 100 pixels",
}
COCO_PROBLEMS = [
    ({"image_id": 9, "bbox": [1, 1, 9, 9]}, "no image has the id 9"),
    ({"bbox": [1, 1, 9, 9]}, "image_id is missing"),
    ({"image_id": 7}, "bbox is missing; expected [x, y, width, height]"),
    ({"image_id": 7, "bbox": [1, 1, 9]}, "bbox is missing; expected [x, y, width, height]"),
    ({"image_id": 7, "bbox": [1, "x", 9, 9]}, "y is not a number (x)"),
    ({"image_id": 7, "bbox": [1, True, 9, 9]}, "y is not a number (True)"),
    ({"image_id": 7, "bbox": [1, None, 9, 9]}, "y is missing"),
    ({"image_id": 7, "bbox": [1, 1, 0, 9]}, "empty box: (1, 1) to (1, 10)"),
    ({"image_id": 8, "bbox": [1, 1, 9, 9]}, "the image with the id 8 cannot be used"),
]


def assert_one_problem(found, place, reason):
    assert [(problem.place, problem.reason) for problem in found.problems] == [(place, reason)]
    np.testing.assert_allclose(found.lesions["a/1.jpg"].boxes, BOX)


@pytest.mark.parametrize("line", YOLO_PROBLEMS)
def test_invalid_line_of_yolo_is_listed_and_the_others_are_read(tmp_path, line):
    found = read(tmp_path, {"1.txt": YOLO + b"\n" + line.encode()})
    assert_one_problem(found, "1.txt, line 3", YOLO_PROBLEMS[line])


@pytest.mark.parametrize("row", CSV_PROBLEMS)
def test_invalid_row_of_a_table_is_listed_and_the_others_are_read(tmp_path, row):
    found = read(tmp_path, {"t.csv": CSV + b"\n" + row.encode() + b"\n"})
    assert_one_problem(found, "t.csv, line 4", CSV_PROBLEMS[row])


@pytest.mark.parametrize("box", VOC_PROBLEMS)
def test_invalid_object_of_voc_is_listed_and_the_others_are_read(tmp_path, box):
    found = read(tmp_path, {"1.xml": voc(box, (20, 20, 100, 60))})
    assert_one_problem(found, "1.xml, object 1", VOC_PROBLEMS[box])


@pytest.mark.parametrize(("entry", "reason"), COCO_PROBLEMS)
def test_invalid_annotation_of_coco_is_listed_and_the_others_are_read(tmp_path, entry, reason):
    images = [{"id": 7, "file_name": "1.jpg"}, {"id": 8, "file_name": "8.jpg"}]
    found = read(tmp_path, {"all.json": coco([entry, (20, 20, 80, 40)], images)})
    unknown = ("all.json, images[1]", "no image has this name (8.jpg)")
    listed = [(problem.place, problem.reason) for problem in found.problems]
    assert listed == [unknown, ("all.json, annotations[0]", reason)]
    np.testing.assert_allclose(found.lesions["a/1.jpg"].boxes, BOX)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (3, "not an object with fields (3)"),
        ({"file_name": "1.jpg"}, "id is missing"),
        ({"id": 8}, "file_name is missing"),
        ({"id": 7, "file_name": "2.jpg"}, "the id 7 occurs twice"),
        ({"id": 8, "file_name": "1.jpg", "width": "w", "height": 9}, "width is not a number (w)"),
        (
            {"id": 8, "file_name": "1.jpg", "width": 0, "height": 9},
            "the size of the image is not positive (0 x 9)",
        ),
    ],
)
def test_invalid_image_of_coco_is_listed(tmp_path, image, reason):
    images = [{"id": 7, "file_name": "1.jpg"}, image]
    found = read(tmp_path, {"all.json": coco(images=images)})
    assert_one_problem(found, "all.json, images[1]", reason)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<annotation>", "XML cannot be parsed: no element found"),
        (b"", "XML cannot be parsed: no element found"),
        (b'<?xml version="1.0" encoding="x"?><annotation/>', "XML cannot be parsed: unknown enc"),
        (voc(root="html"), "not a VOC file: the root element is html"),
        (voc(before="<!DOCTYPE annotation>"), "XML with DOCTYPE, which is not allowed"),
        (
            voc(("&a;", 1, 9, 9), before='<!DOCTYPE annotation [<!ENTITY a "1">]>'),
            "XML with DOCTYPE, which is not allowed",
        ),
        (
            voc(before='<!DOCTYPE a [<!ENTITY a "1">]>').decode().encode("utf-16"),
            "XML with DOCTYPE, which is not allowed",
        ),
        (voc(("&a;", 1, 9, 9)), "XML cannot be parsed: undefined entity"),
        (voc(size=(100, 200)), "made for 100 x 200 pixels, but the image has 200 x 100 pixels"),
    ],
)
def test_unusable_xml_is_listed_and_the_other_files_are_read(tmp_path, data, reason):
    found = read(tmp_path, {"1.xml": voc(), "a/2.xml": data})
    (problem,) = found.problems
    assert problem.place.startswith("a/2.xml")
    assert problem.reason.startswith(reason)
    assert list(found.lesions) == ["a/1.jpg"]


@pytest.mark.parametrize(
    ("data", "reason"), [(b"\xff\xfe0", "not UTF-8 text"), (b"0 \0", "a binary file or UTF-16")]
)
def test_binary_labels_are_listed(tmp_path, data, reason):
    found = read(tmp_path, {"1.txt": YOLO, "a/2.txt": data})
    (problem,) = found.problems
    assert problem.place == "a/2.txt"
    assert problem.reason.startswith(reason)


def test_large_labels_are_listed_and_not_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr("skin_lesions.data.annotations.yolo.MAX_TEXT_BYTES", 50)
    found = read(tmp_path, {"1.txt": YOLO, "a/2.txt": YOLO * 9})
    assert found.problems[0].reason == "too large: 162 bytes, at most 50 are allowed"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
@pytest.mark.timeout(60)
def test_a_pipe_is_listed_and_not_read(tmp_path):
    write_files(tmp_path, {"1.txt": YOLO})
    os.mkfifo(tmp_path / "2.txt")
    os.mkfifo(tmp_path / "b.csv")
    found = read(tmp_path, {})
    assert [p.place for p in found.problems] == ["2.txt"]


TABLES = {
    "corners": "image,x0,y0,x1,y1\n1,20,20,100,60\n",
    "names of VOC": "filename,width,height,xmin,ymin,xmax,ymax\n1.jpg,200,100,20,20,100,60\n",
    "size of the box": "img_id,x,y,width,height\n1,20,20,80,40\n",
    "size of box and image": "isic_id,x,y,w,h,image_width,image_height\n1,10,10,40,20,100,50\n",
    "semicolons and case": "File;X_Min;Y_Min;X_Max;Y_Max\na/1.jpg;20;20;100;60\n",
    "another resolution": "image_id,x0,y0,x1,y1,width,height\n1,40,40,200,120,400,200\n",
    "paths": "image,mask,width,height,x0,y0,x1,y1\nold/1.jpg,m/1.png,200,100,20,20,100,60\n",
}


@pytest.mark.parametrize("kind", TABLES)
def test_columns_of_common_tables_are_read(tmp_path, kind):
    found = read(tmp_path, {"t.csv": TABLES[kind].encode()})
    assert found.problems == ()
    np.testing.assert_allclose(found.lesions["a/1.jpg"].boxes, BOX)


def test_several_rows_are_several_boxes_and_a_row_without_corners_is_none(tmp_path):
    rows = b"1,0,0,200,100\na/2.jpg,,,,\n"
    found = read(tmp_path, {"t.csv": CSV + rows})
    np.testing.assert_allclose(found.lesions["a/1.jpg"].boxes, [*BOX, [0, 0, 1, 1]])
    assert found.problems == ()
    assert found.without == ("a/2.jpg", "b/2.jpg")


@pytest.mark.parametrize("excess", [0.5, 1.0])
def test_box_that_crosses_the_edge_by_up_to_one_pixel_is_clipped(tmp_path, excess):
    row = f"1,{-excess},{-excess},{200 + excess},{100 + excess}\n".encode()
    found = read(tmp_path, {"t.csv": b"image,x0,y0,x1,y1\n" + row})
    np.testing.assert_array_equal(found.lesions["a/1.jpg"].boxes, [[0, 0, 1, 1]])


def test_name_of_the_xml_file_takes_precedence_over_the_name_in_it(tmp_path):
    found = read(tmp_path, {"a/2.xml": voc(filename="1.jpg"), "x.xml": voc(filename="1.jpg")})
    assert list(found.lesions) == ["a/1.jpg", "a/2.jpg"]


def test_lesions_have_the_order_of_the_image_table(tmp_path):
    found = read(tmp_path, {"1.txt": YOLO, "b/2.txt": YOLO, "a/2.txt": b"\n"})
    assert list(found.lesions) == ["a/1.jpg", "b/2.jpg"]
    assert found.without == ("a/2.jpg",)
