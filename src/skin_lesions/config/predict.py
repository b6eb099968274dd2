"""Parameters of `predict`."""

from typing import Annotated

from pydantic import Field

from skin_lesions.config.base import Device, ParameterGroup
from skin_lesions.core.errors import InputError


class Predict(ParameterGroup):
    """Files to predict, and the model if it is not that of the catalog.

    Attributes:
        input: File, folder or pattern.
        metadata: CSV file with clinical metadata.
        model: Path of a model file or a model bundle; None: the catalog model.
        localizer: ``auto``, a version or a path of the localizer; None: no lesion boxes.
        follow_symlinks: Whether to follow links that lead out of the searched folder.
        batch_size: Images per batch.
        device: Device of the computation.
    """

    input: Annotated[str, Field(min_length=1)] | None
    metadata: Annotated[str, Field(min_length=1)] | None
    model: Annotated[str, Field(min_length=1)] | None
    localizer: Annotated[str, Field(min_length=1)] | None
    follow_symlinks: bool
    batch_size: Annotated[int, Field(ge=1, le=4096)]
    device: Device

    def required_input(self) -> str:
        """Return ``input``.

        Raises:
            InputError: It is not set.
        """
        if self.input is None:
            raise InputError(
                "predict.input is not set. Expected an image file, a folder of images or a "
                "pattern. Fix: --params predict.input=/path/to/images"
            )
        return self.input
