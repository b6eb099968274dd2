import os
from pathlib import Path
from threading import Timer

import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.data.sources.file_listing import MAX_BYTES
from support.factories import jpeg_files, table, write_files
from support.sources import folder_rows, open_folder_source


def test_hidden_files_system_files_and_metadata_are_not_listed(tmp_path):
    junk = [".DS_Store", ".git/config", "Thumbs.db", "desktop.ini", "mel/._1.jpg", "mel/thumbs.DB"]
    write_files(tmp_path, dict.fromkeys([*junk, "__MACOSX/mel/1.jpg"], b"x"))
    metadata = table(tmp_path / "mel" / "metadata.csv", [{"image": "1.jpg"}])
    assert folder_rows(tmp_path, ["mel/1.jpg", "nv/2.jpg"], metadata=metadata) == [
        ("mel/1.jpg", "mel", None),
        ("nv/2.jpg", "nv", None),
    ]


def test_read_returns_the_bytes_of_each_listed_file(tmp_path):
    files = jpeg_files(["mel/1.jpg", "nv/1.jpg"])
    found = open_folder_source(write_files(tmp_path, files))
    assert {file: found.read(file) for file in found.table["file"]} == files
    assert found.table["source"].unique().tolist() == [tmp_path.name]


def test_symlinks_are_followed_without_cycles(tmp_path):
    store = write_files(tmp_path / "store", jpeg_files(["a.jpg", "deep/b.jpg"]))
    images = write_files(tmp_path / "images", jpeg_files(["mel/1.jpg"]))
    (images / "mel/2.jpg").symlink_to(store / "a.jpg")
    (images / "nv").symlink_to(store, target_is_directory=True)
    (images / "mel/up").symlink_to(images, target_is_directory=True)
    (store / "deep/back").symlink_to(store, target_is_directory=True)
    found = open_folder_source(images, follow_symlinks=True)
    assert found.table["file"].tolist() == ["mel/1.jpg", "mel/2.jpg", "nv/a.jpg", "nv/deep/b.jpg"]
    assert found.read("mel/2.jpg") == found.read("nv/a.jpg") == (store / "a.jpg").read_bytes()


def test_folders_that_link_to_each_other_do_not_loop(tmp_path):
    write_files(tmp_path, jpeg_files(["x/1.jpg", "y/2.jpg"]))
    (tmp_path / "x/to y").symlink_to(tmp_path / "y", target_is_directory=True)
    (tmp_path / "y/to x").symlink_to(tmp_path / "x", target_is_directory=True)
    found = open_folder_source(tmp_path).table["file"].tolist()
    assert found == ["x/1.jpg", "x/to y/2.jpg", "y/2.jpg", "y/to x/1.jpg"]


def test_links_within_the_source_folder_are_read(tmp_path):
    images = write_files(tmp_path / "images", jpeg_files(["originals/nv/1.jpg", "nv/2.jpg"]))
    (tmp_path / "link").symlink_to(images, target_is_directory=True)
    (images / "mel").mkdir()
    (images / "mel/1.jpg").symlink_to("../originals/nv/1.jpg")
    (images / "linked").symlink_to(images / "originals/nv", target_is_directory=True)
    found = open_folder_source(tmp_path / "link")
    assert found.read("mel/1.jpg") == found.read("originals/nv/1.jpg")
    assert "linked/1.jpg" in found.table["file"].tolist()


def test_links_to_files_outside_are_not_read_by_default(tmp_path):
    outside = write_files(tmp_path / "images of others", jpeg_files(["a.jpg"])) / "a.jpg"
    images = write_files(tmp_path / "images", jpeg_files(["mel/1.jpg"]))
    (images / "mel/2.jpg").symlink_to(outside)
    (images / "mel/3.jpg").symlink_to(images / "mel/2.jpg")  # through a link inside
    found = open_folder_source(images)
    for file in ("mel/2.jpg", "mel/3.jpg"):
        with pytest.raises(OSError, match="leads out of .* set source.follow_symlinks=true"):
            found.read(file)
        assert open_folder_source(images, follow_symlinks=True).read(file) == outside.read_bytes()


def test_links_to_folders_outside_are_an_error_that_names_the_parameter(tmp_path):
    store = write_files(tmp_path / "images2", jpeg_files(["a.jpg"]))  # same prefix as the source
    images = write_files(tmp_path / "images", jpeg_files(["mel/1.jpg"]))
    (images / "nv").symlink_to(store, target_is_directory=True)
    with pytest.raises(InputError, match=r"nv -> .*images2.*set source.follow_symlinks=true"):
        open_folder_source(images)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_file_name_that_is_not_utf8_is_escaped_and_readable(tmp_path):
    write_files(tmp_path, jpeg_files(["nv/1.jpg"]))
    (tmp_path / "mel").mkdir()
    path = os.path.join(os.fsencode(tmp_path), b"mel", b"caf\xe9.jpg")  # noqa: PTH118
    Path(os.fsdecode(path)).write_bytes(b"these bytes")
    found = open_folder_source(tmp_path)
    assert found.table["file"].tolist() == ["mel/caf\\xe9.jpg", "nv/1.jpg"]
    assert found.read("mel/caf\\xe9.jpg") == b"these bytes"


@pytest.fixture
def pipe(tmp_path):
    """Create a pipe without a writer. A timer unblocks a reader after 5 seconds."""
    path = tmp_path / "mel/pipe.jpg"
    path.parent.mkdir()
    os.mkfifo(path)
    timer = Timer(5, lambda: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK)))
    timer.start()
    yield path
    timer.cancel()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_pipe_input_is_rejected(pipe):
    with pytest.raises(OSError, match="a pipe, socket or device"):
        open_folder_source(pipe.parents[1]).read("mel/pipe.jpg")


def test_broken_link_and_oversized_file_are_rejected(tmp_path):
    write_files(tmp_path, jpeg_files(["mel/1.jpg"]))
    (tmp_path / "mel/broken.jpg").symlink_to(tmp_path / "gone.jpg")
    with (tmp_path / "mel/huge.jpg").open("wb") as huge:
        huge.truncate(MAX_BYTES + 1)
    found = open_folder_source(tmp_path)
    with pytest.raises(OSError, match=r"broken link: .*gone.jpg does not exist"):
        found.read("mel/broken.jpg")
    with pytest.raises(OSError, match=r"too large: 134,217,729 bytes, at most 134,217,728 are"):
        found.read("mel/huge.jpg")
