"""Group keys in file names."""

import logging
import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable

log = logging.getLogger(__name__)
# MSLD v2.0: disease, patient, image, copy. One patient's pictures belong together.
_MSLD_NAME = re.compile(r"^((?:MKP|CHP|CWP|MSL|HFMD|HEALTHY)_\d+)_\d+(?:_\d+)?$", re.IGNORECASE)
_ISIC_NAME = re.compile(r"^(ISIC_\d{7})(?:_downsampled)?$", re.IGNORECASE)


def filename_key(file: str, pattern: str | None = None) -> str | None:
    r"""Return what a file's name, without folders and suffix, says it belongs to, or None.

    Args:
        file: The name or path of the file.
        pattern: Regular expression looked for in place of the built-in ones (MSLD v2.0, ISIC). The key is
            what its group, or of several the one named ``key``, captures; without a group all that
            it matches.

    >>> filename_key("train/Chickenpox/CHP_02_01_1.jpg"), filename_key("ISIC_0024468.jpg"), filename_key("1.jpg")
    ('CHP_02', 'ISIC_0024468', None)
    >>> filename_key("nv/P017-left-2.jpg", r"^(P\d+)-"), filename_key("CHP_02_01.jpg", r"^(P\d+)-")
    ('P017', None)
    """
    stem = normalize_name(PurePosixPath(file).stem)
    if pattern is None:
        match = _MSLD_NAME.match(stem) or _ISIC_NAME.match(stem)
        return match.group(1).upper() if match else None
    found = re.search(pattern, stem)
    if found is None:
        return None
    part = "key" if "key" in found.re.groupindex else min(found.re.groups, 1)
    return found[part] or None


def filename_keys(files: Sequence[str], pattern: str | None) -> list[str | None]:
    """Return the key of each file name, or None."""
    keys = [filename_key(file, pattern) for file in files]
    if pattern is None:
        return keys
    known = [key for key in keys if key is not None]
    if not known:
        raise InputError(
            f"source.filename_pattern {printable(pattern)} matches none of the {len(files)} file names, e.g. "
            f"{PurePosixPath(files[0]).stem!r} (without folders and suffix); mend it, or take the built-in "
            "patterns: --params source.filename_pattern=null"
        )
    log.info(
        "source.filename_pattern: %d of %d file names have a key, e.g. %s; %d different keys",
        len(known),
        len(files),
        printable(known[0]),
        len(set(known)),
    )
    return keys


def normalize_name(name: str) -> str:
    """Return a name in Unicode normal form C."""
    # macOS writes é as e and an accent: two classes or keys that nobody could tell apart.
    return unicodedata.normalize("NFC", name)
