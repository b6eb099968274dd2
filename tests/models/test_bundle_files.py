"""A bundle is used only if all its files are those that were exported."""

import subprocess

import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.models.bundle_files import (
    CHECKSUMS,
    FILES,
    is_bundle,
    manifest_text,
    verify_checksums,
    write_checksums,
)


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        (tmp_path / name).write_text(name)
    write_checksums(tmp_path)
    return tmp_path


def test_unchanged_files_are_accepted_and_other_files_are_ignored(folder):
    (folder / ".gitattributes").write_text("x")
    verify_checksums(folder)
    assert is_bundle(folder)


def test_checksums_have_the_format_of_sha256sum(folder):
    command = ["sha256sum", "--check", "--strict", CHECKSUMS]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.count("OK") == len(FILES)


def test_list_of_checksums_made_by_sha256sum_is_accepted(folder):
    (folder / "README.md").write_text("The author completed the card.")
    with pytest.raises(InputError, match=r"README.md has changed.*sha256sum LICENSES.md README.md"):
        verify_checksums(folder)
    listed = subprocess.run(["sha256sum", *FILES], cwd=folder, capture_output=True, check=True)
    (folder / CHECKSUMS).write_bytes(listed.stdout)
    verify_checksums(folder)


def test_file_that_the_list_does_not_contain_is_named(folder):
    lines = (folder / CHECKSUMS).read_text().splitlines(keepends=True)
    (folder / CHECKSUMS).write_text("".join(line for line in lines if "model.onnx" not in line))
    with pytest.raises(InputError, match=r"model.onnx is missing \(SHA256SUMS does not list it\)"):
        verify_checksums(folder)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"../../etc/passwd", b"x" * 100])
def test_damaged_list_of_checksums_is_rejected(folder, content):
    (folder / CHECKSUMS).write_bytes(content)
    with pytest.raises(InputError, match="is not a (complete )?model bundle"):
        verify_checksums(folder)


def test_folder_without_a_bundle_is_rejected(tmp_path):
    assert not is_bundle(tmp_path)
    assert not is_bundle(tmp_path / "missing")
    with pytest.raises(InputError, match=r"is not a model bundle: SHA256SUMS cannot be read"):
        verify_checksums(tmp_path)


def test_manifest_has_only_hashes_and_splits():
    assert manifest_text([("a1", "test"), ("b2", "val")]) == "image_id,split\na1,test\nb2,val\n"
