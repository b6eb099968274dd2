"""The ledger keeps every row through damage, kills and concurrent runs."""

import csv
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from skin_lesions.core import atomic_files
from skin_lesions.core.errors import InputError
from skin_lesions.datasets import TestLedgerDataset
from skin_lesions.evaluation.test_ledger import LedgerRow, TestLedger, evaluation_of
from support.report_inputs import VERSION, two_classes, with_frame, with_provenance


@pytest.fixture(scope="module")
def study():
    return two_classes()


@pytest.fixture(scope="module")
def entry(study):
    return evaluation_of(study.metrics, study.predictions)


def dataset(tmp_path) -> TestLedgerDataset:
    return TestLedgerDataset(filepath=str(tmp_path / "reporting" / "test_ledger.csv"))


def file_of(tmp_path):
    return tmp_path / "reporting" / "test_ledger.csv"


def of_model(entry, version):
    return entry.model_copy(update={"model_version": version})


def test_rows_are_loaded_as_they_were_saved_with_their_time(tmp_path, entry):
    for version in ("V1", "V2"):
        dataset(tmp_path).save(of_model(entry, version))
    rows = dataset(tmp_path).load().rows
    assert [row.model_version for row in rows] == ["V1", "V2"]
    assert rows[0].time <= rows[1].time
    assert rows[0].time.endswith("+00:00")
    assert rows[0].model_dump(exclude={"time"}) == of_model(entry, "V1").model_dump()


def test_entry_has_the_headline_metrics_and_versions(study, entry):
    test = study.metrics.test
    assert entry.balanced_accuracy == test["balanced_accuracy"].value
    assert entry.auroc_macro_high == test["auroc_macro"].high
    assert (entry.test_images, entry.test_groups) == (test.n, test.groups)
    assert (entry.model_version, entry.predictions_version) == (VERSION, VERSION)


def test_unknown_metrics_stay_unknown(tmp_path, study):
    untested = two_classes(untested=("Melanoma",))
    dataset(tmp_path).save(evaluation_of(untested.metrics, untested.predictions))
    assert dataset(tmp_path).load().rows[0].auroc_macro is None


def test_appending_keeps_the_bytes_of_earlier_rows(tmp_path, entry):
    dataset(tmp_path).save(entry)
    before = file_of(tmp_path).read_bytes()
    dataset(tmp_path).save(entry)
    assert file_of(tmp_path).read_bytes().startswith(before)


def test_identical_evaluations_are_counted_and_models_only_once(tmp_path, entry):
    for version in ("V1", "V1", "V2"):
        dataset(tmp_path).save(of_model(entry, version))
    summary = dataset(tmp_path).load().summary("V1")
    assert "evaluated 3 times" in summary
    assert "with 2 models" in summary


def test_other_test_images_are_counted_separately(tmp_path, study, entry):
    frame = study.predictions.frame
    fewer = with_frame(
        study.predictions, frame.drop(index=frame.query("split == 'test'").index[:1])
    )
    metrics = with_provenance(study.metrics, model_version="V2")
    dataset(tmp_path).save(entry)
    dataset(tmp_path).save(evaluation_of(metrics, fewer))
    ledger = dataset(tmp_path).load()
    assert "evaluated 1 time " in ledger.summary(VERSION)
    assert "evaluated 1 time " in ledger.summary("V2")
    assert "no evaluation of this model" in ledger.summary("V3")


def test_other_validation_images_are_the_same_test_split(study, entry):
    frame = study.predictions.frame
    fewer = with_frame(study.predictions, frame.drop(index=frame.query("split == 'val'").index[:1]))
    assert evaluation_of(study.metrics, fewer).test_fingerprint == entry.test_fingerprint


def test_cells_do_not_begin_like_a_formula(tmp_path, entry):
    dataset(tmp_path).save(of_model(entry, "=cmd|' /C calc'!A0"))
    with file_of(tmp_path).open(encoding="utf-8-sig", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert dataset(tmp_path).load().rows[0].model_version == "=cmd|' /C calc'!A0"


def drop_end(content: bytes) -> bytes:
    return content[:-20]


def other_header(content: bytes) -> bytes:
    return content.replace(b"model_version", b"network", 1)


def text_as_number(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join([lines[0], lines[1].replace(b'"18"', b'"many"'), *lines[2:]])


def binary(content: bytes) -> bytes:
    return content.replace(b"grouped", b"\xff\xfe\xfd", 1)


def missing_cell(content: bytes) -> bytes:
    return content.replace(b',"grouped"', b"", 1)


@pytest.mark.parametrize(
    ("damage", "line"),
    [(drop_end, 3), (other_header, 1), (text_as_number, 2), (binary, 2), (missing_cell, 2)],
)
def test_damaged_line_is_reported_and_nothing_is_lost(tmp_path, entry, damage, line):
    numbered = entry.model_copy(update={"test_groups": 18})
    for _ in range(2):
        dataset(tmp_path).save(numbered)
    content = damage(file_of(tmp_path).read_bytes())
    file_of(tmp_path).write_bytes(content)
    for action in (dataset(tmp_path).load, lambda: dataset(tmp_path).save(entry)):
        with pytest.raises(Exception, match=rf"Line {line} of .* is damaged") as error:
            action()
        cause = error.value if isinstance(error.value, InputError) else error.value.__cause__
        assert isinstance(cause, InputError)
        assert "Nothing was changed" in str(cause)
    assert file_of(tmp_path).read_bytes() == content


def test_concurrent_saves_lose_no_row(tmp_path, entry):
    names = [f"V{i}" for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: dataset(tmp_path).save(of_model(entry, name)), names))
    assert sorted(row.model_version for row in dataset(tmp_path).load().rows) == sorted(names)


def test_killed_save_leaves_the_earlier_ledger(tmp_path, entry, monkeypatch):
    """The process ends without cleaning up, between writing and renaming the new file."""
    dataset(tmp_path).save(entry)
    before = file_of(tmp_path).read_bytes()
    code = f"""
import os, pathlib
pathlib.Path.replace = lambda *_: os._exit(9)
from skin_lesions.datasets import TestLedgerDataset
from skin_lesions.evaluation.test_ledger import LedgerEntry
entry = LedgerEntry.model_validate_json({entry.model_dump_json()!r})
TestLedgerDataset(filepath={str(file_of(tmp_path))!r}).save(entry)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert file_of(tmp_path).read_bytes() == before
    dataset(tmp_path).save(entry)  # the lock of the ended process is free
    assert len(dataset(tmp_path).load().rows) == 2


def test_failed_write_changes_nothing(tmp_path, entry, monkeypatch):
    dataset(tmp_path).save(entry)
    before = file_of(tmp_path).read_bytes()
    monkeypatch.setattr(atomic_files.Path, "write_bytes", lambda *_: os.write(-1, b""))
    with pytest.raises(Exception, match="Bad file descriptor"):
        dataset(tmp_path).save(entry)
    monkeypatch.undo()
    assert file_of(tmp_path).read_bytes() == before
    assert [
        path.suffix for path in file_of(tmp_path).parent.iterdir() if path.suffix != ".lock"
    ] == [".csv"]


def test_preview_shows_the_newest_rows_first(tmp_path, entry):
    for version in ("V1", "V2"):
        dataset(tmp_path).save(of_model(entry, version))
    preview = dataset(tmp_path).preview(nrows=1)
    assert preview["columns"] == LedgerRow.columns()
    assert preview["data"][0][1] == "V2"


def test_empty_ledger_has_no_evaluation_of_a_model():
    assert "no evaluation" in TestLedger(rows=()).summary("V1")
