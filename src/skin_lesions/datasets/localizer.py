"""Kedro data set of the localizer file."""

from pathlib import Path

from kedro.io import AbstractDataset

from skin_lesions.datasets.previews import JSONPreview
from skin_lesions.models.localization.localizer_model import Localizer


class LocalizerDataset(AbstractDataset[Localizer, Localizer]):
    """Saves and loads a localizer; loading never executes code from the file."""

    def __init__(self, *, filepath: str, metadata: dict[str, object] | None = None):
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> Localizer:
        """Load the localizer with all tensors on the CPU."""
        from skin_lesions.models.localization.localizer_file import (  # noqa: PLC0415 (torch)
            read_localizer,
        )

        return read_localizer(self._path)

    def save(self, data: Localizer) -> None:
        """Save the localizer."""
        from skin_lesions.models.localization.localizer_file import (  # noqa: PLC0415 (torch)
            write_localizer,
        )

        write_localizer(data, self._path)

    def preview(self) -> JSONPreview:
        """Show everything except the weights and the lists of images in kedro-viz."""
        return JSONPreview(
            self.load().model_dump_json(exclude={"train_image_ids", "val_image_ids"})
        )

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self._path)}
