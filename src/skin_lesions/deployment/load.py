"""Selection of the predictor by path: a folder is a model bundle, a file is a model file."""

from pathlib import Path

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.deployment.predictor import Predictor


def load_predictor(path: Path, device: str, localizer: Path | None = None) -> Predictor:
    """Load a model bundle with ONNX Runtime, or a model file with torch.

    Args:
        path: Folder of a bundle, or a model file.
        device: Device of a model file, as in ``predict.device``. A bundle uses the CPU.
        localizer: Localizer file for a model file. A bundle has its own localizer.

    Raises:
        InputError: A path does not exist, the bundle or a file is not valid, a bundle gets another
            localizer, or the device is not available.
    """
    if path.is_dir():
        if localizer is not None:
            raise InputError(
                f"A model bundle has its own localizer, or none ({printable(path)}). Expected no "
                "other one. Fix: use the model file, or export the bundle with the localizer"
            )
        from skin_lesions.deployment.bundle import read_bundle  # noqa: PLC0415 (onnxruntime)

        return read_bundle(path)
    if not path.is_file():
        raise InputError(
            f"The model does not exist ({printable(path)}). Expected a model file (model.pth) or "
            "the folder of a model bundle"
        )
    from skin_lesions.deployment.torch_predictor import read_torch_predictor  # noqa: PLC0415

    return read_torch_predictor(path, device, localizer)
