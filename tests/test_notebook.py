"""The notebook: it runs from the first to the last cell, and is stored without outputs."""

import base64
import io
import re

import nbformat
import numpy as np
import pytest
from PIL import Image

from support.benchmarks import import_benchmark

benchmark = import_benchmark("notebook")
# One epoch of small images: the test is about the notebook, not about the numbers.
QUICK = "train.epochs=1,train.image_size=32,ingest.stored_image_size=64,train.device=cpu"


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(benchmark.NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    root = tmp_path_factory.mktemp("notebook")
    return benchmark.execute(DATA_ROOT=str(root), PARAMS=QUICK)


def outputs_of(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [output for cell in cells for output in cell.outputs]


def data_of(notebook, kind):
    return [o.data[kind] for o in outputs_of(notebook) if "data" in o and kind in o.data]


def test_notebook_is_stored_without_outputs(stored):
    nbformat.validate(stored)
    cells = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


def test_notebook_has_no_path_or_name_of_a_machine(stored):
    sources = "\n".join(cell.source for cell in stored.cells)
    assert not re.search(r"/(home|root|Users|work|tmp)/", sources)


@pytest.mark.slow
def test_every_cell_runs_and_no_cell_warns(executed):
    cells = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    text = "".join(output.get("text", "") for output in outputs_of(executed))
    assert "Traceback" not in text
    assert not [o for o in outputs_of(executed) if o.get("name") == "stderr"]


@pytest.mark.slow
def test_figures_are_shown(executed):
    figures = [
        Image.open(io.BytesIO(base64.b64decode(png))) for png in data_of(executed, "image/png")
    ]
    assert len(figures) == 8
    for figure in figures:
        assert min(figure.size) > 200
        assert np.asarray(figure.convert("L")).std() > 5


@pytest.mark.slow
def test_leaked_and_clean_test_images_and_both_splits_are_compared(executed):
    (accuracy,) = data_of(executed, "text/markdown")
    assert re.search(r"original split: \d+\.\d %\*\*, 74 images, 95 % interval \d", accuracy)
    tables = "".join(data_of(executed, "text/html"))
    for text in ("leaked test images", "clean test images", "Exact duplicates are in different"):
        assert text in tables
