"""Kedro data set of a model outside of the catalog: a model file or a model bundle."""

from pathlib import Path
from typing import NoReturn

from kedro.io import AbstractDataset, DatasetError

from skin_lesions.deployment.load import load_predictor
from skin_lesions.deployment.predictor import Predictor


class PredictorDataset(AbstractDataset[None, Predictor]):
    """Loads the predictor of a model file or a model bundle.

    Args:
        filepath: Model file, or folder of a bundle.
        device: As in ``predict.device``.
        localizer: Localizer file for a model file.
    """

    def __init__(self, *, filepath: str, device: str, localizer: str | None = None):
        self._path, self._device = Path(filepath), device
        self._localizer = None if localizer is None else Path(localizer)

    def load(self) -> Predictor:
        """Load the predictor.

        Raises:
            InputError: It is neither a valid model file nor a valid bundle.
        """
        return load_predictor(self._path, self._device, self._localizer)

    def save(self, data: None) -> NoReturn:  # noqa: ARG002
        """Raise an error: this data set is only read."""
        raise DatasetError(f"{self._path} is only read")

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self._path)}
