"""A process that shows the page with a predictor without a network: ``python app_process.py``."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from skin_lesions.commands import app as app_module
from support.clinical import fusion
from support.color_predictor import FEATURES, ColorPredictor
from support.postprocessing import postprocessing, unknown_score
from support.processes import stop_group

TESTS = Path(__file__).parents[1]
SOURCE = TESTS.parent / "src"
CLASSES = ("Melanoma", "Nevus", "Vascular lesions", *(f"Class {i}" for i in range(4, 10)))


@dataclass(frozen=True)
class PageProcess:
    """A process that shows the page.

    Attributes:
        url: Address of the page.
        temporary: Folder for the temporary files of the process.
        process: The process.
    """

    url: str
    temporary: Path
    process: subprocess.Popen

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Stop the process with a signal; return its exit status and the rest of its output."""
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=60)
        return self.process.returncode, output


@contextmanager
def started_page(
    folder: Path, bundle: Path | None = None, **environment: str
) -> Iterator[PageProcess]:
    """Start the page in a new process, and stop the process after the block.

    Args:
        folder: Working directory and folder for temporary files.
        bundle: The model; a predictor without a network if not given.
        environment: Further environment variables of the process.
    """
    temporary = folder / "temporary"
    temporary.mkdir()
    paths = os.pathsep.join([str(SOURCE), str(TESTS)])
    command = [sys.executable, __file__]
    if bundle is not None:
        command = [sys.executable, "-m", "skin_lesions", "app", "--bundle", str(bundle)]
    process = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": paths, "TMPDIR": str(temporary), **environment},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("The page is available at "):
                yield PageProcess(line.split()[5], temporary, process)
                break
        else:
            raise AssertionError(f"The page did not start: exit status {process.wait()}")
    finally:
        stop_group(process)
        if process.stdout is not None:
            process.stdout.close()


def _main() -> None:
    changes = {}
    if "WITH_METADATA" in os.environ:
        changes["postprocessing"] = postprocessing(
            (10,) * len(CLASSES),
            unknown_score=unknown_score(FEATURES),
            metadata_fusion=fusion(CLASSES),
        )
    predictor = ColorPredictor(classes=CLASSES, is_synthetic=True, **changes)
    app_module.read_bundle = lambda path: predictor
    app_module.app(["--bundle", "not-needed"])


if __name__ == "__main__":
    _main()
