"""Sessions of ONNX Runtime on the CPU."""

from pathlib import Path
from typing import TYPE_CHECKING

from skin_lesions.core.errors import InputError
from skin_lesions.core.parallel import usable_cpus
from skin_lesions.core.text import printable
from skin_lesions.models.bundle_files import MISSING_EXTRA

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def open_session(network: Path | bytes) -> "InferenceSession":
    """Load an ONNX file, or the content of one.

    Raises:
        InputError: onnxruntime is not installed, or cannot read the network.
    """
    try:
        import onnxruntime  # noqa: PLC0415 (an extra)
        from onnxruntime.capi import onnxruntime_pybind11_state as errors  # noqa: PLC0415
    except ModuleNotFoundError:
        raise InputError(MISSING_EXTRA.format("onnxruntime")) from None
    options = onnxruntime.SessionOptions()
    # The default is the number of CPUs of the machine. A container often has fewer.
    options.intra_op_num_threads = usable_cpus()
    name = "The exported network" if isinstance(network, bytes) else printable(network)
    try:
        return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    except (
        errors.Fail,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NoSuchFile,
        errors.NotImplemented,
    ) as error:
        raise InputError(
            f"{name} cannot be used with onnxruntime {onnxruntime.__version__} "
            f"({printable(str(error).partition(chr(10))[0])}). Fix: pip install -U onnxruntime"
        ) from None
