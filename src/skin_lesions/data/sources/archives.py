"""Unpack archives of unknown origin: looked through first, and whole or not at all."""

import errno
import lzma
import re
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path

from skin_lesions.core.atomic_files import format_bytes
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable

_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError),
    *(RuntimeError, ValueError, OSError),  # encrypted, packed in an unknown way; names; offsets
)
_DISK_ERRNOS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EMFILE)
}


class DamagedArchiveError(Exception):
    """An archive that can't be unpacked, with the reason."""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a ZIP or TAR archive beside ``folder``, and rename; what lay there goes.

    Raises:
        DamagedArchiveError: It can't be unpacked.
        InputError: A member would lie outside the folder.
        OSError: The disk is full, or can't be written to.
    """
    beside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        _extract(archive, beside)
    except InputError:
        raise
    except _DAMAGED as error:
        if getattr(error, "errno", None) in _DISK_ERRNOS:
            raise
        raise DamagedArchiveError(printable(error)) from error
    else:
        shutil.rmtree(folder, ignore_errors=True)  # what a killed run left half-made
        beside.replace(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _extract(archive: Path, folder: Path) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for member in packed.infolist():
                _check_member_path(member.filename)
            _check_free_space(sum(member.file_size for member in packed.infolist()), folder)
            packed.extractall(folder)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            _check_free_space(sum(member.size for member in tar), folder)
            tar.extractall(folder, filter="data")  # refuses what leads outside, links too
    else:
        raise zipfile.BadZipFile("it is neither a ZIP nor a TAR archive")


def _check_member_path(name: str) -> None:
    """Refuse a member that would lie outside its folder; ``zipfile`` would rename it silently."""
    parts = re.split(r"[\\/]", name)
    if ".." in parts or parts[0] == "" or re.match(r"[A-Za-z]:", name):
        raise InputError(f"the archive holds {printable(name)}, which lies outside its folder")


def _check_free_space(needed: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            errno.ENOSPC, f"{format_bytes(needed)} to unpack, {format_bytes(free)} free", folder
        )
