"""Safe unpacking of untrusted ZIP and TAR archives.

Members are checked before anything is written. An archive is unpacked completely or not at all.
"""

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
    *(RuntimeError, ValueError, OSError),  # encryption, unknown compression; names; offsets
)
# Errors of the disk, not of the archive.
_DISK_ERRNOS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EMFILE)
}


class DamagedArchiveError(Exception):
    """An archive cannot be unpacked; the message gives the reason."""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a ZIP or TAR archive into ``folder``, and replace its previous content.

    The archive is unpacked into a temporary folder next to ``folder``, which is then renamed.

    Raises:
        DamagedArchiveError: The archive cannot be unpacked.
        InputError: A member would be written outside the folder.
        OSError: The disk is full or not writable.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _extract(archive, partial)
    except InputError:
        raise
    except _DAMAGED as error:
        if getattr(error, "errno", None) in _DISK_ERRNOS:
            raise
        raise DamagedArchiveError(printable(error)) from error
    else:
        shutil.rmtree(folder, ignore_errors=True)  # incomplete files of a killed run
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _extract(archive: Path, folder: Path) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as archive_file:
            for member in archive_file.infolist():
                _check_member_path(member.filename)
            _check_free_space(sum(member.file_size for member in archive_file.infolist()), folder)
            archive_file.extractall(folder)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            _check_free_space(sum(member.size for member in tar), folder)
            tar.extractall(folder, filter="data")  # rejects paths and links that lead outside
    else:
        raise zipfile.BadZipFile("neither a ZIP nor a TAR archive")


def _check_member_path(name: str) -> None:
    """Reject a member outside the folder, which ``zipfile`` would silently rename."""
    parts = re.split(r"[\\/]", name)
    if ".." in parts or parts[0] == "" or re.match(r"[A-Za-z]:", name):
        raise InputError(f"The archive contains a file outside its folder ({printable(name)})")


def _check_free_space(needed: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"{format_bytes(needed)} needed to unpack, {format_bytes(free)} free",
            folder,
        )
