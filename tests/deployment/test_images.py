import os
from pathlib import Path

import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.deployment.images import find_images
from support.factories import write_files

OPTION = "--follow-symlinks"


def find(*inputs, follow_symlinks=False):
    texts = [str(text) for text in inputs]
    return find_images(texts, follow_symlinks=follow_symlinks, option=OPTION)


@pytest.fixture
def folder(tmp_path):
    names = ["1.jpg", "b/2.PNG", "b/c/3", "b/c/4.heic", "é/=5.jpg", "[6].jpg"]
    return write_files(tmp_path / "images", {name: name.encode() for name in names})


def test_folder_is_searched_recursively_and_sorted(folder):
    found = find(folder)
    assert found.names == ["1.jpg", "[6].jpg", "b/2.PNG", "b/c/3", "b/c/4.heic", "é/=5.jpg"]
    assert {found.read(name).decode() for name in found.names} == set(found.names)


def test_hidden_and_system_files_are_not_images(folder):
    junk = [".DS_Store", ".git/config", "Thumbs.db", "b/._1.jpg", "__MACOSX/1.jpg"]
    write_files(folder, dict.fromkeys(junk, b"x"))
    assert len(find(folder).names) == 6


def test_tables_and_texts_in_a_folder_are_skipped_and_counted(folder):
    write_files(folder, {"labels.csv": b"x", "b/README.TXT": b"x"})
    found = find(folder)
    assert (len(found.names), found.skipped) == (6, 2)
    assert find(folder / "labels.csv").names == ["labels.csv"]  # requested individually


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.jpg", ["1.jpg", "[6].jpg"]),
        ("**/*.jpg", ["1.jpg", "[6].jpg", "é/=5.jpg"]),
        ("b/*", ["b/2.PNG"]),
        ("b/**", ["b/2.PNG", "b/c/3", "b/c/4.heic"]),
        ("*/c/?", ["b/c/3"]),
        ("**/c/*.h*", ["b/c/4.heic"]),
        ("*/[!1-3]*.*", ["é/=5.jpg"]),
    ],
)
def test_pattern_selects_files_by_relative_path(folder, pattern, names):
    found = find(folder / pattern)
    assert [(found.folder / name).relative_to(folder).as_posix() for name in found.names] == names


def test_names_with_special_characters_of_patterns_are_paths_first(folder):
    assert find(folder / "[6].jpg").names == ["[6].jpg"]


def test_several_inputs_have_names_relative_to_their_common_folder(folder):
    found = find(folder / "b/c", folder / "é/=5.jpg", folder / "b/*", folder / "b/c/3")
    assert found.names == ["b/2.PNG", "b/c/3", "b/c/4.heic", "é/=5.jpg"]
    assert found.folder == folder


def test_relative_inputs_start_at_the_working_directory(folder, monkeypatch):
    monkeypatch.chdir(folder / "b")
    assert find("c/4.heic").names == ["4.heic"]
    assert find("*").names == ["2.PNG"]


def test_missing_input_is_an_error_with_the_name(folder):
    with pytest.raises(InputError, match=r"does not exist \(.*no\.jpg\).*Expected an image file"):
        find(folder / "no.jpg")
    with pytest.raises(InputError, match=r"folder of the pattern does not exist"):
        find(folder / "x/*.jpg")
    with pytest.raises(InputError, match="does not exist"):
        find("")


def test_input_without_images_is_an_error(tmp_path):
    with pytest.raises(InputError, match="No image files found"):
        find(write_files(tmp_path / "empty", {"a.csv": b""}))
    with pytest.raises(InputError, match="No image files found"):
        find(tmp_path / "*.jpg")


def test_linked_folder_outside_of_the_searched_folder_is_followed_only_on_request(folder, tmp_path):
    outside = write_files(tmp_path / "outside", {"7.jpg": b"7"})
    (folder / "link").symlink_to(outside)
    with pytest.raises(InputError, match="leads out of the folder.*Fix: set --follow-symlinks"):
        find(folder)
    found = find(folder, follow_symlinks=True)
    assert found.read("link/7.jpg") == b"7"


def test_linked_file_outside_of_the_searched_folder_is_unreadable(folder, tmp_path):
    write_files(tmp_path, {"secret.txt": b"secret"})
    (folder / "8.jpg").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(OSError, match="leads out of the folder.*set --follow-symlinks"):
        find(folder).read("8.jpg")
    assert find(folder, follow_symlinks=True).read("8.jpg") == b"secret"
    assert find(folder / "8.jpg").read("8.jpg") == b"secret"  # requested individually
    (folder / "9.jpg").symlink_to(folder / "1.jpg")
    assert find(folder).read("9.jpg") == b"1.jpg"


def test_broken_links_and_pipes_are_unreadable(folder):
    (folder / "9.jpg").symlink_to(folder / "missing")
    os.mkfifo(folder / "pipe.jpg")
    found = find(folder)
    with pytest.raises(OSError, match="broken link"):
        found.read("9.jpg")
    with pytest.raises(OSError, match="not a regular file"):
        found.read("pipe.jpg")


def test_folder_tree_is_not_searched_deeper_than_a_pattern(folder, monkeypatch):
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(Path(path)) or scandir(path))
    find(folder / "*/*")
    assert folder / "b" in listed
    assert folder / "b/c" not in listed
