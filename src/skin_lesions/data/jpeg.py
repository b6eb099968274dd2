"""JPEG decoder that also rejects files with damaged image data.

libjpeg decodes damaged image data without an error and only gives a warning. The pixels after the
damage are then shifted or have wrong colors. Harmless warnings are distinguished from damage.
"""

import io
import re
from typing import Literal

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

Pixels = npt.NDArray[np.uint8]

# Warnings of libjpeg about unusual headers. They do not change any pixel.
_HARMLESS_WARNINGS = (
    "Warning: unknown JFIF revision number",
    "Unknown Adobe color transform code",
    "Invalid SOS parameters for sequential JPEG",
    "Corrupt JPEG data: bad ICC marker",
)
_EXTRANEOUS_BYTES = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_FILL_BYTES = b"\x00\xff"
_MAX_UNCOUNTED = 16  # bytes before a marker; libjpeg reads 8 values ahead, each 1 or 2 bytes


def decode_jpeg(data: bytes, colorspace: Literal["RGB", "CMYK"]) -> Pixels:
    """Return the pixels of a JPEG file, (height, width, 3) or (height, width, 4).

    Raises:
        ValueError: The file is damaged or truncated; the message is that of libjpeg.
    """
    try:
        # The fast methods differ by some gray levels from the pixels of other decoders.
        return simplejpeg.decode_jpeg(data, colorspace, fastdct=False, fastupsample=False)
    except ValueError as warning:  # or an error, which is not in the list of harmless warnings
        if not _is_harmless(str(warning), data):
            raise
    Image.init()
    open_jpeg, _ = Image.OPEN["JPEG"]  # not Image.open: its pixel limit belongs to the process
    pixels = np.asarray(open_jpeg(io.BytesIO(data), "").convert(colorspace))
    return pixels if colorspace == "RGB" else 255 - pixels  # Pillow inverts CMYK


def _is_harmless(warning: str, data: bytes) -> bool:
    """Return whether the first warning about a file does not mean that pixels are wrong."""
    extraneous = _EXTRANEOUS_BYTES.search(warning)
    if extraneous is None:
        return warning.startswith(_HARMLESS_WARNINGS)
    # Some cameras fill the space before the end marker. After damage, the bytes before the marker
    # are image data that were not decoded.
    marker = b"\xff" + bytes.fromhex(extraneous[2])
    return any(
        _are_fill_bytes(data, match.start(), int(extraneous[1]))
        for match in re.finditer(re.escape(marker), data)
    )


def _are_fill_bytes(data: bytes, end: int, count: int) -> bool:
    """Return whether about ``count`` bytes before ``end`` are fill bytes.

    If many more bytes are fill bytes, a block of zeros has replaced image data.
    """
    before = data[max(0, end - count - _MAX_UNCOUNTED - 1) : end]
    n_fill_bytes = len(before) - len(before.rstrip(_FILL_BYTES))
    return count <= n_fill_bytes <= count + _MAX_UNCOUNTED
