"""The checkpoints of trainings that are not over."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import JSONPreview

from skin_lesions.training.checkpoints import Checkpoints


class CheckpointsDataset(AbstractDataset[None, Checkpoints]):
    """Gives the training a place to keep its state in; what is there comes and goes with it.

    Not versioned: a checkpoint is found by the content of its training, and is no result.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> Checkpoints:
        """Return the place."""
        return Checkpoints(self._path)

    def save(self, data: None) -> NoReturn:
        """Refuse: a training writes its checkpoints itself."""
        raise DatasetError(f"{self._path} is written by train.fit")

    def preview(self) -> JSONPreview:
        """Show which trainings are not over, for kedro-viz."""
        return JSONPreview(Checkpoints(self._path).summary())

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
