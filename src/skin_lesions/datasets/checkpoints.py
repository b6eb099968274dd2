"""Kedro data set of the checkpoints of unfinished trainings."""

from pathlib import Path
from typing import NoReturn

from kedro.io import AbstractDataset, DatasetError

from skin_lesions.datasets.previews import JSONPreview
from skin_lesions.training.checkpoints import Checkpoints


class CheckpointsDataset(AbstractDataset[None, Checkpoints]):
    """Gives the training a folder for its state. The training writes and deletes the files.

    Not versioned: a checkpoint is identified by the inputs of its training, and is not a result.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, object] | None = None):
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> Checkpoints:
        """Return the store of checkpoints."""
        return Checkpoints(self._path)

    def save(self, data: None) -> NoReturn:  # noqa: ARG002
        """Raise an error: a training writes its checkpoints itself."""
        raise DatasetError(f"Checkpoints in {self._path} are written only by train.fit")

    def preview(self) -> JSONPreview:
        """List the unfinished trainings for kedro-viz."""
        return JSONPreview(Checkpoints(self._path).summary())

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self._path)}
