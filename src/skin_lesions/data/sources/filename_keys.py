"""Filename keys: the part of a file name that identifies the lesion or patient.

The naming schemes of MSLD v2.0 and ISIC are built in. ``source.filename_pattern`` replaces them.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import normalize_name, printable

log = logging.getLogger(__name__)
# MSLD v2.0: disease, patient, image, duplicate. All images of a patient form one group.
_MSLD_NAME = re.compile(r"^((?:MKP|CHP|CWP|MSL|HFMD|HEALTHY)_\d+)_\d+(?:_\d+)?$", re.IGNORECASE)
_ISIC_NAME = re.compile(r"^(ISIC_\d{7})(?:_downsampled)?$", re.IGNORECASE)


def filename_key(file: str, pattern: str | None = None) -> str | None:
    r"""Return the key in a file name, or None. Folders and suffix are ignored.

    Args:
        file: The name or path of the file.
        pattern: Regular expression that replaces the built-in ones (MSLD v2.0, ISIC). The key is
            the text captured by its group. If it has several groups, the group named ``key`` is
            used. If it has no group, the key is the complete match.

    >>> filename_key("train/Chickenpox/CHP_02_01_1.jpg"), filename_key("ISIC_0024468.jpg")
    ('CHP_02', 'ISIC_0024468')
    >>> filename_key("1.jpg") is None
    True
    >>> filename_key("nv/P017-left-2.jpg", r"^(P\d+)-"), filename_key("CHP_02_01.jpg", r"^(P\d+)-")
    ('P017', None)
    """
    stem = normalize_name(PurePosixPath(file).stem)
    if pattern is None:
        match = _MSLD_NAME.match(stem) or _ISIC_NAME.match(stem)
        return match.group(1).upper() if match else None
    match = re.search(pattern, stem)
    if match is None:
        return None
    # Group 0 is the complete match; it is used if the pattern has no group.
    group = "key" if "key" in match.re.groupindex else min(match.re.groups, 1)
    return match[group] or None


def filename_keys(files: Sequence[str], pattern: str | None) -> list[str | None]:
    """Return the key of each file name, or None.

    Raises:
        InputError: The pattern matches no file name.
    """
    keys = [filename_key(file, pattern) for file in files]
    if pattern is None:
        return keys
    found = [key for key in keys if key is not None]
    if not found:
        raise InputError(
            f"source.filename_pattern={printable(pattern)} matches none of the {len(files)} file "
            f"names, e.g. {PurePosixPath(files[0]).stem!r} (without folders and suffix). "
            "Fix: correct the pattern, or use the built-in patterns: --params "
            "source.filename_pattern=null"
        )
    log.info(
        "filename_pattern: %d of %d file names have a key, e.g. %s; %d distinct keys",
        len(found),
        len(files),
        printable(found[0]),
        len(set(found)),
    )
    return keys
