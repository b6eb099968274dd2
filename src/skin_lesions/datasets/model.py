"""Kedro data set of the model file: one dict with everything that inference requires."""

from pathlib import Path
from typing import Any

import torch
from kedro.io import AbstractDataset
from kedro_datasets._typing import JSONPreview

from skin_lesions.models.model_file import describe_model, load_model


class ModelDataset(AbstractDataset[dict[str, Any], dict[str, Any]]):
    """Saves and loads a model dict; loading never executes code from the file."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> dict[str, Any]:
        """Load the dict with all tensors on the CPU."""
        return load_model(self._path)

    def save(self, data: dict[str, Any]) -> None:
        """Save the dict."""
        torch.save(data, self._path)

    def preview(self) -> JSONPreview:
        """Show everything except the weights in kedro-viz."""
        return JSONPreview(describe_model(self.load()))

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
