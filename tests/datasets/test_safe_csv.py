import csv

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skin_lesions.datasets.safe_csv import SafeCSVDataset


def cells(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [cell for row in csv.reader(file) for cell in row]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "'=", "''@"])
def test_no_cell_begins_like_a_formula(tmp_path, start):
    path = tmp_path / "t.csv"
    SafeCSVDataset(filepath=str(path)).save(pd.DataFrame({"file": [f"{start}cmd|' /C calc'!A0"]}))
    assert cells(path)[1].startswith("'")


def test_other_cells_are_unchanged(tmp_path):
    path = tmp_path / "t.csv"
    names = ["mel/1.jpg", '日本 "q" it\'s, <script>.jpg', "1=1", "NA", "'quoted'"]
    SafeCSVDataset(filepath=str(path)).save(pd.DataFrame({"file": names}))
    assert cells(path) == ["file", *names]
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")


text = st.text(st.sampled_from("'=+-@\t\r\n\",;a日 0"), max_size=5) | st.sampled_from(["NA", "1e3"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(text, max_size=5))
def test_loaded_table_is_equal_to_the_saved_one(tmp_path, names):
    dataset = SafeCSVDataset(filepath=str(tmp_path / "t.csv"))
    table = pd.DataFrame({"file": names, "reason": names[::-1]}, dtype=object)
    dataset.save(table)
    assert dataset.load().to_numpy().tolist() == table.to_numpy().tolist()
