"""Annotation files: their bytes, text and numbers, or the reason why they cannot be used."""

import math
from pathlib import Path

from skin_lesions.core.text import printable
from skin_lesions.data.sources.file_listing import read_image_bytes

MAX_TEXT_BYTES = 16 << 20  # of the annotations of one image; the text is parsed in memory


class AnnotationError(Exception):
    """An annotation cannot be used; the message is the reason shown to the user."""


def read_bytes(path: Path, max_bytes: int | None = None) -> bytes:
    """Return the content of a file.

    Raises:
        AnnotationError: The file cannot be read, is not a regular file, or is too large.
    """
    try:
        data = read_image_bytes(path, None)
    except OSError as error:
        raise AnnotationError(f"cannot be read: {printable(error.strerror or error)}") from None
    if max_bytes is not None and len(data) > max_bytes:
        raise AnnotationError(f"too large: {len(data):,} bytes, at most {max_bytes:,} are allowed")
    return data


def read_text(path: Path, max_bytes: int | None = None) -> str:
    """Return the content of a text file in UTF-8.

    Raises:
        AnnotationError: As for ``read_bytes``, or the file is not UTF-8 text.
    """
    try:
        text = read_bytes(path, max_bytes).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise AnnotationError("not UTF-8 text") from None
    if "\0" in text:
        raise AnnotationError("a binary file or UTF-16 text, because it contains zero bytes")
    return text


def number(value: object, name: str) -> float:
    """Return a finite number from a cell or from JSON.

    Args:
        value: A text or a number.
        name: Name of the value, for the reason.

    Raises:
        AnnotationError: It is missing or not a finite number.
    """
    if value is None or value == "":
        raise AnnotationError(f"{name} is missing")
    try:
        # float() also accepts "1_000", and bool is a subtype of int.
        if not isinstance(value, str | int | float) or isinstance(value, bool) or "_" in str(value):
            raise ValueError
        parsed = float(value)
    except (ValueError, OverflowError):
        raise AnnotationError(f"{name} is not a number ({shortened(value)})") from None
    if not math.isfinite(parsed):
        raise AnnotationError(f"{name} is not a finite number ({shortened(value)})")
    return parsed


def shortened(value: object) -> str:
    """Return the start of an untrusted value, safe to print."""
    text = printable(value)
    return text if len(text) <= 60 else text[:57] + "..."
