"""Benchmark of the notebook on the demo: seconds and peak memory from its first to its last cell.

The kernel runs in the folder of the notebook, as in Jupyter, with a temporary data root. To look at
the outputs:

    python benchmarks/notebook.py --save /tmp/executed.ipynb
"""

import argparse
import re
import resource
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from record import ROOT, save_results

NOTEBOOK = ROOT / "notebooks" / "skin_lesion_classification.ipynb"
_TIMEOUT = 900  # seconds, for one cell


def with_parameters(notebook: NotebookNode, **values: str) -> NotebookNode:
    """Replace assignments in the cell with the tag ``parameters``."""
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    for name, value in values.items():
        cell.source, found = re.subn(
            rf"^{name} = .*$", lambda _, n=name, v=value: f"{n} = {v!r}", cell.source, flags=re.M
        )
        if found != 1:
            raise SystemExit(f"The notebook has {found} assignments of {name}. Expected one.")
    return notebook


def execute(**values: str) -> NotebookNode:
    """Run the notebook with these parameters; return it with its outputs.

    Raises:
        CellExecutionError: A cell raised an error.
    """
    notebook = with_parameters(nbformat.read(NOTEBOOK, as_version=4), **values)
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=_TIMEOUT, resources=resources).execute()
    return notebook


def main(save: Path | None, params: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        start = time.perf_counter()
        executed = execute(DATA_ROOT=root, PARAMS=params)
        seconds = time.perf_counter() - start
    if save:
        nbformat.write(executed, save)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    save_results("notebook", {"params": params, "seconds": seconds, "peak_memory_gb": memory})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path, help="file for the notebook with its outputs")
    parser.add_argument("--params", default="", help="parameters, as in kedro run --params")
    args = parser.parse_args()
    main(args.save, args.params)
