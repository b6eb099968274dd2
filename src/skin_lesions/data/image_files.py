"""Image files: bytes to RGB pixels at their original size, or the reason why they are unreadable.

Pillow reads the header, so the format is known before any pixel is decoded. ``data.jpeg`` then
decodes JPEG files, and Pillow decodes all other formats. Importing this module does not import
torch.
"""

import io
import struct
import threading
import warnings
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from skin_lesions.core.text import printable
from skin_lesions.data.color_profiles import convert_to_srgb
from skin_lesions.data.jpeg import decode_jpeg

Pixels = npt.NDArray[np.uint8]

# Only formats that are pure data: Pillow passes an EPS file, for example, to an interpreter.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")
MAX_PIXELS = 100_000_000  # 300 MB when decoded; a larger image is treated as a decompression bomb

_TRUNCATED = "damaged or truncated: the file starts like an image, but its header cannot be read"
# (offset in bytes, signature in lower case, reason)
_OTHER_FILE_TYPES = (
    (
        0,
        b"version https://git-lfs",
        "a Git LFS pointer, not the image; download the image with: git lfs pull",
    ),
    (0, b"<!doctype html", "an HTML page, not an image; the download failed"),
    (0, b"<html", "an HTML page, not an image; the download failed"),
    (4, b"ftyp", "HEIC, AVIF or video, which is not supported; convert it to JPEG"),
    (128, b"dicm", "DICOM, which is not supported; export it as JPEG or PNG"),
    *[(0, signature, _TRUNCATED) for signature in (b"\xff\xd8\xff", b"\x89png", b"bm", b"gif8")],
    *[(0, signature, _TRUNCATED) for signature in (b"riff", b"ii*\0", b"mm\0*")],
)
_EXIF_ORIENTATION = 0x0112
_ALPHA_MODES = {"RGBA", "LA", "PA", "RGBa", "La"}


class UnreadableImageError(Exception):
    """The bytes are not a supported image; the message is the reason shown to the user."""


@dataclass(frozen=True)
class StoredPixels:
    """Pixels as they are stored in an image file: not rotated yet, in the colors of the file.

    Resizing to a square commutes with rotation, and almost with the conversion of colors. Both are
    cheaper for a small image, so ``finish`` does them after resizing.

    Attributes:
        pixels: (height, width, 3) uint8, RGB; (height, width, 1) for 16-bit gray images.
        orientation: EXIF orientation, 1 to 8.
        mode: Mode of the image as named by Pillow.
        icc_profile: Embedded ICC profile, or None.
        format: Format as named by Pillow.
    """

    pixels: Pixels
    orientation: int
    mode: str
    icc_profile: bytes | None
    format: str

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height after applying the EXIF orientation, pixels."""
        height, width = self.pixels.shape[:2]
        if self.orientation >= 5:  # stored rotated by 90 degrees
            return height, width
        return width, height

    def finish(self, resized: Pixels) -> Pixels:
        """Apply the EXIF orientation and convert the colors to sRGB.

        Args:
            resized: The pixels at another size, (height, width, 3), RGB.

        Returns:
            The upright image, (height, width, 3) uint8; height and width may be exchanged.
        """
        upright = _apply_orientation(resized, self.orientation)
        return convert_to_srgb(upright, self.icc_profile, self.mode)


class _IgnoreDecoderWarnings:
    """Ignores the warnings of the decoders while at least one thread decodes.

    Their warnings about a damaged file are either in the reason or irrelevant. Filters belong to
    the process: with one ``catch_warnings`` per thread, a thread could restore the filters that
    another thread has set. So the first thread sets the filter, and the last one removes it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._previous_filters = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._threads == 0:
                self._previous_filters.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._threads += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._threads -= 1
            if self._threads == 0:
                self._previous_filters.close()


_ignore_decoder_warnings = _IgnoreDecoderWarnings()


def read_pixels(data: bytes) -> StoredPixels:
    """Decode one image file, but do not resize it.

    Transparent pixels are blended with white, and 16-bit values are scaled to 8 bits.

    Args:
        data: Complete content of the file.

    Raises:
        UnreadableImageError: The bytes are not exactly one complete image in a format of
            ``FORMATS``.
    """
    with _ignore_decoder_warnings:
        image = _open(data)
        orientation = _orientation(image)
        return StoredPixels(
            pixels=_decode_pixels(image, data),
            orientation=orientation,
            mode=image.mode,
            icc_profile=image.info.get("icc_profile"),
            format=str(image.format),
        )


def _open(data: bytes) -> ImageFile.ImageFile:
    """Read the header, but no pixels.

    Raises:
        UnreadableImageError: The header is damaged, or the file has too many pixels or frames.
    """
    if not data:
        raise UnreadableImageError("the file is empty")
    try:
        image = _read_header(data)
        frames = getattr(image, "n_frames", 1)
    except (UnreadableImageError, MemoryError):  # MemoryError: not a property of the file
        raise
    except Image.DecompressionBombError as error:  # some plugins check the size themselves
        raise UnreadableImageError(_first_line(error)) from None
    except Exception as error:  # Pillow's parsers raise arbitrary errors for damaged headers
        raise UnreadableImageError(f"damaged or truncated header: {_first_line(error)}") from None
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableImageError(
            f"{image.width} x {image.height} pixels exceed the limit of {MAX_PIXELS:,} pixels"
        )
    if frames > 1 and image.format != "MPO":  # MPO: JPEG of a phone, followed by a preview
        raise UnreadableImageError(f"{frames} images in one file; it is not known which one to use")
    return image


def _read_header(data: bytes) -> ImageFile.ImageFile:
    """Do what ``Image.open`` does, without its limit, which belongs to the process."""
    Image.init()  # Pillow knows some formats only after all its plugins are loaded
    for name in FORMATS:
        factory, accept = Image.OPEN[name]
        if accept is not None and accept(data[:16]) is True:
            try:
                return factory(io.BytesIO(data), "")
            except (SyntaxError, IndexError, TypeError, struct.error):  # as in Image.open
                break
    raise UnreadableImageError(_sniff_type(data))


def _sniff_type(data: bytes) -> str:
    if not any(data):
        return "only zero bytes; the copy or download of the file failed"
    for offset, signature, description in _OTHER_FILE_TYPES:
        if data[offset:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(signature):
            return description
    return f"not an image in a known format ({', '.join(FORMATS)})"


def _orientation(image: ImageFile.ImageFile) -> int:
    if image.format == "TIFF":  # Pillow applies the orientation of TIFF files itself
        return 1
    if image.format == "PNG" and "exif" not in image.info:  # getexif would decode the complete file
        return 1
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # damaged EXIF data is common and must not make an image unreadable
        return 1
    return int(value) if value in range(1, 9) else 1


def _decode_pixels(image: ImageFile.ImageFile, data: bytes) -> Pixels:
    """Return the pixels: (height, width, 3), or (height, width, 1) for 16-bit gray images."""
    try:
        if image.format in ("JPEG", "MPO"):
            return _rgb_from_jpeg(image, data)
        if image.mode.startswith("I;16"):
            return _to_uint8(np.asarray(image))[..., None]
        return _rgb_from_pillow(image)
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:  # each decoder has its own errors, all with the same meaning here
        raise UnreadableImageError(f"damaged or truncated: {_first_line(error)}") from None


def _rgb_from_jpeg(image: ImageFile.ImageFile, data: bytes) -> Pixels:
    if image.mode != "CMYK":
        return decode_jpeg(data, "RGB")
    cmyk = decode_jpeg(data, "CMYK")
    if "adobe" in image.info:  # only Adobe inverts CMYK
        cmyk = 255 - cmyk
    return np.array(Image.fromarray(cmyk, "CMYK").convert("RGB"))


def _rgb_from_pillow(image: Image.Image) -> Pixels:
    if image.mode in ("I", "F"):
        raise UnreadableImageError("the value range of 32-bit pixels is unknown")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size, "white")
        image.paste(rgba, mask=rgba)
    return np.array(image.convert("RGB"))


def _to_uint8(values: npt.NDArray[np.uint16]) -> Pixels:
    """Scale 0..65535 to 0..255, rounded."""
    # (255 * value + 32895) >> 16 equals round(value / 257) for all 16-bit values.
    return ((values.astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8)


def _apply_orientation(pixels: Pixels, orientation: int) -> Pixels:
    """Undo one of the eight EXIF orientations of an image, (height, width, 3)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _first_line(error: Exception) -> str:
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return printable(first_line[:120])
