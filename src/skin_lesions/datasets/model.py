"""Kedro data set of the model file."""

from pathlib import Path

from kedro.io import AbstractDataset

from skin_lesions.datasets.previews import JSONPreview
from skin_lesions.models.model_file import read_model, write_model
from skin_lesions.models.trained_model import TrainedModel


class ModelDataset(AbstractDataset[TrainedModel, TrainedModel]):
    """Saves and loads a model; loading never executes code from the file."""

    def __init__(self, *, filepath: str, metadata: dict[str, object] | None = None):
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> TrainedModel:
        """Load the model with all tensors on the CPU."""
        return read_model(self._path)

    def save(self, data: TrainedModel) -> None:
        """Save the model."""
        write_model(data, self._path)

    def preview(self) -> JSONPreview:
        """Show everything except the weights and the lists of images in kedro-viz."""
        lists = dict.fromkeys(("train_image_ids", "val_image_ids"), True)
        return JSONPreview(self.load().model_dump_json(exclude=lists | {"localizer": lists}))

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self._path)}
