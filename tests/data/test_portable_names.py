import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skin_lesions.data.portable_names import class_folders, file_paths, portable_name
from skin_lesions.data.sources.folder_layout import parse_class_folders

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(NAMES)
@example("../../etc/passwd")
@example("C:\\x")
@example("CON")
@example("com7.tar")
@example("Thumbs.db")
@example(" . ")
@example("é" * 200)
@example("\u202egpj.exe")
def test_portable_name_is_one_visible_component_of_a_path(name):
    found = portable_name(name)
    assert 0 < len(found.encode()) <= 121
    assert found.isprintable()
    assert not set('<>:"/\\|?*') & set(found)
    assert found[0] not in " .=+-@'~"
    assert found[-1] not in " ."
    assert found.casefold().partition(".")[0] not in {"con", "com7"}
    assert portable_name(found) == found


@pytest.mark.parametrize("name", ["ISIC_0024468", "CHP_02_01_1", "naevus 日本", "P017-left (2)"])
def test_usual_names_stay_as_they_are(name):
    assert portable_name(name) == name


@given(st.lists(NAMES.filter(str.strip), min_size=1, max_size=6, unique=True))
@example(["a/b", "a:b", "A_B", "a_b"])
@example(["train", "Test", "class_Test", "nv"])
def test_each_class_has_its_own_folder_on_a_system_that_ignores_case(labels):
    folders = class_folders(labels)
    assert set(folders) == set(labels)
    assert len({name.casefold() for name in folders.values()}) == len(labels)


def test_classes_named_like_a_split_are_found_in_the_copy():
    folders = class_folders(["test", "Validation", "nv"])
    files = [f"train/{name}/1.jpg" for name in folders.values()]
    found = parse_class_folders(files, [], None, [])
    assert [split for _, _, split in found] == ["train"] * 3
    assert sorted(label for _, label, _ in found) == ["class_Validation", "class_test", "nv"]


IDS = [f"{i:064x}" for i in range(1 << 8, 1 << 16, 1 << 8)]


def paths(files, ids=IDS, folder="train/nv", kind="JPEG"):
    n = len(files)
    return file_paths([folder] * n, files, ids[:n], [kind] * n)


def test_name_and_suffix_of_an_image_are_kept():
    assert paths(["a/1.JPG", "b/2.jpeg"]) == ["train/nv/1.JPG", "train/nv/2.jpeg"]


def test_files_without_the_suffix_of_an_image_get_that_of_their_format():
    assert paths(["scan.dat"], kind="PNG") == ["train/nv/scan.dat.png"]
    assert paths(["scan"]) == ["train/nv/scan.jpg"]


def test_files_of_one_name_get_their_hash_in_any_order():
    ids = ["a" * 64, "b" * 64, "c" * 64]
    found = paths(["train/1.jpg", "test/1.JPG", "test/2.jpg"], ids)
    assert found == ["train/nv/1-aaaaaaaa.jpg", "train/nv/1-bbbbbbbb.JPG", "train/nv/2.jpg"]
    assert paths(["test/2.jpg", "test/1.JPG", "train/1.jpg"], ids[::-1]) == found[::-1]


def test_files_of_one_name_in_two_folders_keep_it():
    found = file_paths(["train/nv", "val/nv"], ["a/1.jpg", "b/1.jpg"], IDS[:2], ["JPEG"] * 2)
    assert found == ["train/nv/1.jpg", "val/nv/1.jpg"]


def test_longer_hashes_are_used_if_short_ones_are_equal():
    same_start = ["a" * 63 + "0", "a" * 63 + "1", "b" * 64]
    names = ["x/1.jpg", "y/1.jpg", f"1-{'a' * 8}.jpg"]
    found = paths(names, same_start)
    assert len(set(found)) == 3
    assert found[0] == f"train/nv/1-{'a' * 63}0.jpg"


@given(
    st.lists(st.sampled_from(["1.jpg", "x/1.jpg", "1.JPG", "1-00000000.jpg", "=.png", "_=.png"]))
)
def test_paths_are_distinct_without_case(files):
    found = paths(files)
    assert len({path.casefold() for path in found}) == len(files)
