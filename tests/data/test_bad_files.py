"""Every kind of file that people have in their folders, through the real pipelines."""

import os

import numpy as np
import pytest
from PIL import Image

from skin_lesions.core.errors import InputError
from support.factories import (
    CORNERS,
    class_folders,
    corner_colours,
    corners,
    encoded,
    jpeg,
    written,
)
from support.study import Study

STAGES = ["ingest", "audit", "preprocess"]
SIZE = 32


def picture(kind, **options):
    return encoded(corners().quantize() if kind == "GIF" else corners(), kind, **options)


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(corners().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)


ANIMATED = {"save_all": True, "append_images": [corners().rotate(180)]}

READABLE = {
    "mel/upper case.JPG": picture("JPEG"),
    "mel/no suffix": picture("PNG"),
    "mel/webp as.jpg": picture("WEBP", lossless=True),
    "mel/jpeg as.png": picture("JPEG", quality=95),
    "mel/bitmap.bmp": picture("BMP"),
    "mel/tiff.tif": picture("TIFF"),
    "mel/one frame.gif": picture("GIF"),
    "mel/cmyk.jpg": encoded(corners().convert("CMYK"), "JPEG", quality=95),
    "mel/turned.jpg": turned(),
    "mel/opaque.png": encoded(corners().convert("RGBA"), "PNG"),
    "mel/appended.jpg": picture("JPEG", quality=97) + b"\0" * 99,
    "mel/[1] (copy) 'q\" ;&$.png": picture("PNG", compress_level=1),
    "mel/日本 é.png": picture("PNG", compress_level=2),
    "mel/new\nline\x1b[31m.png": picture("PNG", compress_level=3),
    "mel/=1+1.png": picture("PNG", compress_level=4),
    "mel/<script>alert(1)<.png": picture("PNG", compress_level=5),
    "mel/NA": picture("PNG", compress_level=6),
    "mel/-x.jpg/inside.png": picture("PNG", compress_level=7),
}
UNREADABLE = {
    "nv/empty.jpg": (b"", "the file is empty"),
    "nv/cut.jpg": (picture("JPEG")[:-200], "truncated"),
    "nv/cut.png": (picture("PNG")[:-40], "truncated"),
    "nv/page.jpg": (b"<!DOCTYPE html><html>404", "an HTML page"),
    "nv/pointer.jpg": (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    "nv/notes.txt": (b"these are notes", "not an image in a known format"),
    "nv/animated.gif": (picture("GIF", **ANIMATED), "2 pictures in one file"),
    "nv/animated.webp": (picture("WEBP", **ANIMATED), "2 pictures in one file"),
    "nv/animated.png": (picture("PNG", **ANIMATED), "2 pictures in one file"),
    "nv/zeros.jpg": (b"\0" * 2000, "zero bytes"),
    "nv/float.tif": (encoded(Image.new("F", (9, 9), 0.5), "TIFF"), "no known range"),
    "nv/=HYPERLINK(1)": (b"=cmd", "not an image in a known format"),
    "nv/\x1b[2Jnothing.jpg": (b"?", "not an image in a known format"),
}
GOOD = class_folders("mel", "nv", each=10)


@pytest.fixture(scope="module")
def everything(project, tmp_path_factory):
    """One run of the three stages on all of the above."""
    folder = tmp_path_factory.mktemp("files")
    written(folder / "source", GOOD | READABLE | {f: d for f, (d, _) in UNREADABLE.items()})
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


def test_every_file_has_one_row_in_the_table_or_the_quarantine(everything):
    table, quarantine = everything.load("image_table"), everything.load("quarantine")
    assert set(table["file"]) == set(GOOD) | set(READABLE)
    reasons = {*UNREADABLE, "nv/broken link.jpg"}
    assert len(table) == len(GOOD) + len(READABLE)
    assert len(quarantine) == len(reasons)


@pytest.mark.parametrize("file", READABLE)
def test_a_file_that_is_a_picture_is_read_rightly_whatever_its_name(everything, file):
    row = everything.load("image_table").set_index("file").loc[file]
    assert (row["width"], row["height"]) == (48, 32)
    square = everything.load("pixel_store").at(SIZE)[row["image_id"]]
    np.testing.assert_allclose(corner_colours(square), CORNERS, atol=12)
    assert everything.load("raw_images").store.get(row["image_id"]) == READABLE[file]


@pytest.mark.parametrize("file", [f for f in UNREADABLE if f.isprintable() and "=" not in f])
def test_a_file_that_is_no_picture_is_quarantined_with_its_reason(everything, file):
    reasons = everything.load("quarantine").set_index("file")["reason"]
    assert UNREADABLE[file][1] in reasons[file]


def test_a_broken_link_is_quarantined_as_such(everything):
    reasons = everything.load("quarantine").set_index("file")["reason"]
    assert "a link to" in reasons["nv/broken link.jpg"]


def test_the_run_goes_on_to_a_split_of_all_that_is_readable(everything):
    split = everything.load("split_table")
    assert set(split["split"]) == {"train", "val", "test"}
    assert split["image_id"].nunique() == everything.load("image_table")["image_id"].nunique()


def ingested(study, folder, *, share=0.1):
    run = study(
        source={"kind": "folder", "folder": str(folder)},
        ingest={"stored_image_size": SIZE, "max_unreadable_fraction": share},
        train={"image_size": SIZE},
    )
    run.run("ingest")
    return run


def test_more_unreadable_files_than_allowed_stop_the_run(study, tmp_path):
    folder = written(tmp_path / "source", GOOD | {f"nv/x{i}.jpg": b"no" * i for i in range(3)})
    with pytest.raises(InputError, match=r"3 of 23 files .* 13.0% .* allows 10.0%") as refused:
        ingested(study, folder)
    assert "2 x not an image in a known format" in str(refused.value)
    assert len(ingested(study, folder, share=0.2).load("quarantine")) == 3


def test_no_file_name_reaches_the_log_raw(study, tmp_path, caplog):
    names = {"nv/\x1b[2J\x07 all is well.jpg": b"", "nv/\x1b]0;title\x07.jpg": b"no"}
    ingested(study, written(tmp_path / "source", GOOD | names))
    assert "\\x1b[2J\\x07 all is well.jpg" in caplog.text
    assert not {"\x1b", "\x07"} & set(caplog.text)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_file_without_permission_is_quarantined(study, tmp_path):
    folder = written(tmp_path / "source", GOOD | {"nv/locked.jpg": jpeg(99)})
    (folder / "nv/locked.jpg").chmod(0)
    quarantine = ingested(study, folder).load("quarantine")
    assert "Permission denied" in quarantine["reason"].item()


def test_a_second_run_on_the_same_files_stores_and_decodes_nothing(study, tmp_path, monkeypatch):
    folder = written(tmp_path / "source", GOOD)
    run = ingested(study, folder)
    before = {p: p.stat().st_mtime_ns for p in (run.data_root / "01_raw/objects").rglob("*")}
    monkeypatch.setattr("skin_lesions.data.pixel_store.decode", None)
    run.run("ingest")
    after = {p: p.stat().st_mtime_ns for p in (run.data_root / "01_raw/objects").rglob("*")}
    assert before == after
    assert len(run.versions("raw_images")) == 2
