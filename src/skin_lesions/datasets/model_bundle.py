"""Kedro data set of the model bundle, a folder."""

from pathlib import Path

from kedro.io import AbstractDataset

from skin_lesions.datasets.previews import JSONPreview
from skin_lesions.deployment.bundle import OnnxPredictor, read_bundle
from skin_lesions.deployment.bundle_content import ModelBundle
from skin_lesions.deployment.bundle_writer import write_bundle
from skin_lesions.models.bundle_files import CONFIG


class ModelBundleDataset(AbstractDataset[ModelBundle, OnnxPredictor]):
    """Writes a bundle into a new folder, and loads it for predictions with ONNX Runtime."""

    def __init__(self, *, filepath: str, metadata: dict[str, object] | None = None):
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> OnnxPredictor:
        """Load the bundle after a check of all its files.

        Raises:
            InputError: A file is missing or has changed, or onnxruntime is not installed.
        """
        return read_bundle(self._path)

    def save(self, data: ModelBundle) -> None:
        """Write the bundle.

        Raises:
            InputError: safetensors is not installed.
        """
        write_bundle(data, self._path)

    def preview(self) -> JSONPreview:
        """Show the configuration in kedro-viz."""
        return JSONPreview((self._path / CONFIG).read_text(encoding="utf-8"))

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self._path)}
