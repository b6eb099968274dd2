"""Unusual and unreadable files, processed by the real pipelines."""

import os

import numpy as np
import pytest
from PIL import Image

from skin_lesions.core.errors import InputError
from support.factories import (
    CORNERS,
    class_folders,
    corner_colors,
    corners,
    encoded,
    jpeg,
    write_files,
)
from support.study import Study

STAGES = ["ingest", "audit", "preprocess"]
SIZE = 32


def encoded_corners(kind, **options):
    return encoded(corners().quantize() if kind == "GIF" else corners(), kind, **options)


def rotated_jpeg():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(corners().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)


ANIMATED = {"save_all": True, "append_images": [corners().rotate(180)]}

READABLE = {
    "mel/upper case.JPG": encoded_corners("JPEG"),
    "mel/no suffix": encoded_corners("PNG"),
    "mel/webp as.jpg": encoded_corners("WEBP", lossless=True),
    "mel/jpeg as.png": encoded_corners("JPEG", quality=95),
    "mel/bitmap.bmp": encoded_corners("BMP"),
    "mel/tiff.tif": encoded_corners("TIFF"),
    "mel/one frame.gif": encoded_corners("GIF"),
    "mel/cmyk.jpg": encoded(corners().convert("CMYK"), "JPEG", quality=95),
    "mel/turned.jpg": rotated_jpeg(),
    "mel/opaque.png": encoded(corners().convert("RGBA"), "PNG"),
    "mel/appended.jpg": encoded_corners("JPEG", quality=97) + b"\0" * 99,
    "mel/[1] (copy) 'q\" ;&$.png": encoded_corners("PNG", compress_level=1),
    "mel/日本 é.png": encoded_corners("PNG", compress_level=2),
    "mel/new\nline\x1b[31m.png": encoded_corners("PNG", compress_level=3),
    "mel/=1+1.png": encoded_corners("PNG", compress_level=4),
    "mel/<script>alert(1)<.png": encoded_corners("PNG", compress_level=5),
    "mel/NA": encoded_corners("PNG", compress_level=6),
    "mel/-x.jpg/inside.png": encoded_corners("PNG", compress_level=7),
}
UNREADABLE = {
    "nv/empty.jpg": (b"", "the file is empty"),
    "nv/cut.jpg": (encoded_corners("JPEG")[:-200], "truncated"),
    "nv/cut.png": (encoded_corners("PNG")[:-40], "truncated"),
    "nv/page.jpg": (b"<!DOCTYPE html><html>404", "an HTML page"),
    "nv/pointer.jpg": (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    "nv/notes.txt": (b"these are notes", "not an image in a known format"),
    "nv/animated.gif": (encoded_corners("GIF", **ANIMATED), "2 images in one file"),
    "nv/animated.webp": (encoded_corners("WEBP", **ANIMATED), "2 images in one file"),
    "nv/animated.png": (encoded_corners("PNG", **ANIMATED), "2 images in one file"),
    "nv/zeros.jpg": (b"\0" * 2000, "zero bytes"),
    "nv/float.tif": (
        encoded(Image.new("F", (9, 9), 0.5), "TIFF"),
        "value range of 32-bit pixels is unknown",
    ),
    "nv/=HYPERLINK(1)": (b"=cmd", "not an image in a known format"),
    "nv/\x1b[2Jnothing.jpg": (b"?", "not an image in a known format"),
}
GOOD = class_folders("mel", "nv", each=10)


@pytest.fixture(scope="module")
def study_of_all_files(project, tmp_path_factory):
    """Run the three stages once on all of the files above."""
    folder = tmp_path_factory.mktemp("files")
    write_files(folder / "source", GOOD | READABLE | {f: d for f, (d, _) in UNREADABLE.items()})
    (folder / "source/nv/broken link.jpg").symlink_to(folder / "gone.jpg")
    (folder / "source/nv/folder.jpg").mkdir()
    study = Study(
        project,
        folder / "data",
        "demo",
        source={"kind": "folder", "folder": str(folder / "source")},
        ingest={"stored_image_size": SIZE, "max_unreadable_fraction": 0.5},
        train={"image_size": SIZE},
    )
    study.run(*STAGES)
    return study


def test_every_file_has_one_row_in_the_table_or_the_quarantine(study_of_all_files):
    table, quarantine = (
        study_of_all_files.table("image_table"),
        study_of_all_files.load("quarantine"),
    )
    assert set(table["file"]) == set(GOOD) | set(READABLE)
    unreadable = {*UNREADABLE, "nv/broken link.jpg"}
    assert len(table) == len(GOOD) + len(READABLE)
    assert len(quarantine) == len(unreadable)


@pytest.mark.parametrize("file", READABLE)
def test_readable_images_are_decoded_correctly_with_any_file_name(study_of_all_files, file):
    row = study_of_all_files.table("image_table").set_index("file").loc[file]
    assert (row["width"], row["height"]) == (48, 32)
    square = study_of_all_files.load("pixel_store").at(SIZE)[row["image_id"]]
    np.testing.assert_allclose(corner_colors(square), CORNERS, atol=12)
    assert study_of_all_files.load("raw_images").store.get(row["image_id"]) == READABLE[file]


@pytest.mark.parametrize("file", [f for f in UNREADABLE if f.isprintable() and "=" not in f])
def test_unreadable_files_are_quarantined_with_the_reason(study_of_all_files, file):
    reasons = study_of_all_files.load("quarantine").set_index("file")["reason"]
    assert UNREADABLE[file][1] in reasons[file]


def test_a_broken_symlink_is_quarantined_with_the_reason(study_of_all_files):
    reasons = study_of_all_files.load("quarantine").set_index("file")["reason"]
    assert "broken link: " in reasons["nv/broken link.jpg"]


def test_the_run_continues_with_all_readable_images(study_of_all_files):
    split = study_of_all_files.table("split_table")
    assert set(split["split"]) == {"train", "val", "test"}
    assert (
        split["image_id"].nunique() == study_of_all_files.table("image_table")["image_id"].nunique()
    )


def ingest(study, folder, *, max_unreadable_fraction=0.1):
    run = study(
        source={"kind": "folder", "folder": str(folder)},
        ingest={"stored_image_size": SIZE, "max_unreadable_fraction": max_unreadable_fraction},
        train={"image_size": SIZE},
    )
    run.run("ingest")
    return run


def test_too_many_unreadable_files_are_an_error(study, tmp_path):
    folder = write_files(tmp_path / "source", GOOD | {f"nv/x{i}.jpg": b"no" * i for i in range(3)})
    with pytest.raises(InputError, match=r"3 of 23 files .* 13.0% .* allows 10.0%") as error:
        ingest(study, folder)
    assert "2 x not an image in a known format" in str(error.value)
    assert len(ingest(study, folder, max_unreadable_fraction=0.2).load("quarantine")) == 3


def test_control_characters_in_file_names_are_escaped_in_the_log(study, tmp_path, caplog):
    names = {"nv/\x1b[2J\x07 all is well.jpg": b"", "nv/\x1b]0;title\x07.jpg": b"no"}
    ingest(study, write_files(tmp_path / "source", GOOD | names))
    assert "\\x1b[2J\\x07 all is well.jpg" in caplog.text
    assert not {"\x1b", "\x07"} & set(caplog.text)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can read all files"
)
def test_a_file_without_read_permission_is_quarantined(study, tmp_path):
    folder = write_files(tmp_path / "source", GOOD | {"nv/locked.jpg": jpeg(99)})
    (folder / "nv/locked.jpg").chmod(0)
    quarantine = ingest(study, folder).load("quarantine")
    assert "Permission denied" in quarantine["reason"].item()


def test_a_second_run_on_the_same_files_stores_and_decodes_nothing(study, tmp_path, monkeypatch):
    folder = write_files(tmp_path / "source", GOOD)
    run = ingest(study, folder)
    before = {p: p.stat().st_mtime_ns for p in (run.data_root / "01_raw/objects").rglob("*")}
    monkeypatch.setattr("skin_lesions.data.decoding.decode", None)
    run.run("ingest")
    after = {p: p.stat().st_mtime_ns for p in (run.data_root / "01_raw/objects").rglob("*")}
    assert before == after
    assert len(run.versions("raw_images")) == 2
