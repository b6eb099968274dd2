import errno
import hashlib
import os
from pathlib import Path

import pandas as pd
import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.data import cleaned_folder
from skin_lesions.data.cleaned_folder import (
    LIST_FILE,
    METADATA_FILE,
    check_output_folder,
    write_cleaned_folder,
)
from skin_lesions.data.cleaned_metadata import (
    cleaned_metadata,
    metadata_cells,
    select_copied_files,
)
from skin_lesions.data.provenance import path_hash
from skin_lesions.data.raw_store import ObjectStore
from skin_lesions.data.sources.metadata_files import read_table

LISTED = pd.DataFrame({"file": ["=1+2.jpg"], "action": ["drop"], "split": [""]})


@pytest.fixture
def store(tmp_path):
    return ObjectStore(tmp_path / "data" / "01_raw" / "objects")


def stored(store, n=3):
    """Store n files; return their image_ids."""
    return [store.put(f"file {i}".encode())[0] for i in range(n)]


def metadata(image_ids):
    files = [f"train/nv/{i}.jpg" for i in range(len(image_ids))]
    return pd.DataFrame({"file": files, "image_id": image_ids})


def write(output, store, *, hard_links=True):
    image_ids = stored(store)
    table = metadata(image_ids)
    linked = write_cleaned_folder(output, table, LISTED, store, hard_links=hard_links)
    return table, linked


def test_files_have_the_bytes_of_their_image_id(tmp_path, store):
    table, linked = write(tmp_path / "clean", store, hard_links=False)
    for file, image_id in table.itertuples(index=False):
        assert hashlib.sha256((tmp_path / "clean" / file).read_bytes()).hexdigest() == image_id
    assert linked == 0
    tables = {path.name for path in (tmp_path / "clean").iterdir()} - {"train"}
    assert tables == {METADATA_FILE, LIST_FILE}


def test_links_lead_to_the_raw_store(tmp_path, store):
    table, linked = write(tmp_path / "clean", store)
    assert linked == len(table)
    for file, image_id in table.itertuples(index=False):
        assert (tmp_path / "clean" / file).samefile(store.path(image_id))


def test_copies_are_independent_of_the_raw_store(tmp_path, store):
    table, _ = write(tmp_path / "clean", store, hard_links=False)
    (tmp_path / "clean" / table["file"][0]).write_bytes(b"edited")
    assert store.get(table["image_id"][0]) == b"file 0"


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_files_are_copied_where_the_system_makes_no_links(tmp_path, store, monkeypatch, code):
    def no_link(*_):
        raise OSError(code, "no link")

    monkeypatch.setattr(os, "link", no_link)
    table, linked = write(tmp_path / "clean", store)
    assert linked == 0
    assert (tmp_path / "clean" / table["file"][2]).read_bytes() == b"file 2"


def test_damaged_stored_file_stops_the_copy_and_leaves_no_folder(tmp_path, store):
    table = metadata(stored(store))
    damaged = store.path(table["image_id"][1])
    damaged.chmod(0o644)
    damaged.write_bytes(b"damaged")
    with pytest.raises(InputError, match="has changed since it was stored"):
        write_cleaned_folder(tmp_path / "clean", table, LISTED, store, hard_links=True)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_folder_has_its_name_only_when_it_is_complete(tmp_path, store, monkeypatch):
    names = []
    write_csv = cleaned_folder._write_csv

    def observe(path, cells):
        names.append(sorted(path.name for path in tmp_path.iterdir() if path.name != "data"))
        write_csv(path, cells)

    monkeypatch.setattr(cleaned_folder, "_write_csv", observe)
    write(tmp_path / "clean", store)
    assert all(name.startswith(".clean.") for (name,) in names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clean", "data"]


def test_empty_folder_is_filled_and_a_link_to_it_stays_a_link(tmp_path, store):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", store)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / METADATA_FILE).is_file()


def test_folder_that_another_program_filled_is_not_replaced(tmp_path, store, monkeypatch):
    def fill(path, cells):
        (tmp_path / "clean").mkdir(exist_ok=True)
        (tmp_path / "clean" / "thesis.txt").write_text("work")

    monkeypatch.setattr(cleaned_folder, "_write_csv", fill)
    with pytest.raises(InputError, match="is not empty"):
        write(tmp_path / "clean", store)
    assert [path.name for path in (tmp_path / "clean").iterdir()] == ["thesis.txt"]


def test_folder_that_cannot_be_created_is_reported(tmp_path, store):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"cannot be written \(Not a directory\)"):
        write(tmp_path / "file" / "clean", store)


def test_full_disk_leaves_no_folder(tmp_path, store, monkeypatch):
    def full(path, cells):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cleaned_folder, "_write_csv", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "clean", store)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_cells_that_look_like_formulas_are_text(tmp_path, store):
    write(tmp_path / "clean", store)
    assert '"\'=1+2.jpg"' in (tmp_path / "clean" / LIST_FILE).read_text("utf-8-sig")
    cells = metadata_cells(pd.DataFrame({"@x": ["=cmd()", "-1", "+1.5e3", "-", None, 3.5]}))
    assert cells["'@x"].tolist() == ["'=cmd()", "-1", "+1.5e3", "'-", "", "3.5"]


def check(output, root, **given):
    values = {"source_folder": None, "source_hash": None, **given}
    check_output_folder(Path(output), data_root=root, **values)


def test_new_and_empty_folders_are_accepted(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "source").mkdir()
    for name in ("empty", "new/below", "source-2"):
        check(tmp_path / name, tmp_path / "data", source_folder=tmp_path / "source")


def test_used_folders_and_files_are_rejected(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is not empty"):
        check(tmp_path, tmp_path / "data")
    for name in ("file", "broken"):
        with pytest.raises(InputError, match="is not a folder"):
            check(tmp_path / name, tmp_path / "data")


def test_mount_point_is_rejected(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    with pytest.raises(InputError, match=r"mount point.*cleaned"):
        check(tmp_path, tmp_path / "data")


@pytest.mark.parametrize("exists", [True, False])
def test_data_root_and_output_may_not_contain_one_another(tmp_path, exists):
    root = tmp_path / "data"
    if exists:
        root.mkdir()
        with pytest.raises(InputError, match="contain one another"):
            check(root / "clean", root)
    with pytest.raises(InputError, match="contain one another"):
        check(root, root / "study")


def test_output_inside_the_source_is_rejected_also_through_links(tmp_path):
    source, elsewhere = tmp_path / "source", tmp_path / "elsewhere"
    source.mkdir()
    elsewhere.mkdir()
    (tmp_path / "link").symlink_to(source)
    (source / "nv").symlink_to(elsewhere)
    for output in (source / "clean", tmp_path / "link" / "clean", elsewhere / "clean"):
        with pytest.raises(InputError, match="is inside the source folder"):
            check(output, tmp_path / "data", source_folder=source)


def test_output_inside_the_source_of_an_earlier_run_is_rejected(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    with pytest.raises(InputError, match="is inside the source folder"):
        check(source / "a" / "clean", tmp_path / "data", source_hash=path_hash(source))
    check(tmp_path / "clean", tmp_path / "data", source_hash=path_hash(source))


def image_table(**columns):
    table = {
        "file": ["b/1.jpg", "a/1.jpg", "c/2.dat"],
        "image_id": ["b" * 64, "a" * 64, "c" * 64],
        "label": ["nv", "nv", "mel"],
        "original_split": [None, "test", None],
        "source": "s",
        "filename_key": None,
        "width": 9,
        "height": 9,
        "bytes": 9,
        "format": ["JPEG", "JPEG", "PNG"],
        "lesion_id": ["7", None, "-1"],
        **columns,
    }
    return pd.DataFrame(table)


SPLIT = pd.DataFrame(
    {"file": ["a/1.jpg", "b/1.jpg", "c/2.dat"], "split": ["train", "train", "test"]}
).assign(group_id=["g1", "g2", "g3"])
NOTHING = pd.DataFrame(columns=["file", "split"], dtype=object)


def test_metadata_have_the_path_split_identifiers_and_columns_of_each_file(tmp_path):
    selected = select_copied_files(image_table(), SPLIT, NOTHING)
    cells = metadata_cells(cleaned_metadata(selected))
    assert cells.columns.tolist() == [
        *("file", "label", "split", "image_id", "group_id", "original_file", "original_split"),
        "lesion_id",
    ]
    assert cells["file"].tolist() == [
        "test/mel/2.dat.png",
        "train/nv/1-aaaaaaaa.jpg",
        "train/nv/1-bbbbbbbb.jpg",
    ]
    assert cells["original_file"].tolist() == ["c/2.dat", "a/1.jpg", "b/1.jpg"]
    assert cells["group_id"].tolist() == ["g3", "g1", "g2"]
    assert cells["lesion_id"].tolist() == ["-1", "", "7"]
    cleaned_folder._write_csv(tmp_path / "m.csv", cells)
    assert read_table(tmp_path / "m.csv")["lesion_id"].tolist() == ["-1", None, "7"]


def test_metadata_column_with_the_name_of_an_own_column_is_renamed():
    table = image_table(original_file="x", metadata_original_file="y")
    found = cleaned_metadata(select_copied_files(table, SPLIT, NOTHING))
    assert found["metadata_original_file"].eq("x").all()
    assert found["metadata_metadata_original_file"].eq("y").all()


def test_files_that_the_list_leaves_out_are_not_copied():
    left_out = pd.DataFrame({"file": ["a/1.jpg", "c/2.dat"], "split": ["", "test"]})
    found = select_copied_files(image_table(), SPLIT, left_out)
    assert found["file"].tolist() == ["b/1.jpg", "c/2.dat"]


def test_list_of_other_tables_is_rejected():
    twice = image_table(image_id="a" * 64)
    for table, split in ((twice, SPLIT), (image_table(), SPLIT.iloc[:2])):
        with pytest.raises(InputError, match="cleaning_list does not belong"):
            select_copied_files(table, split, NOTHING)
