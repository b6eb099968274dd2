"""Uploaded files: read them into memory and delete them from the temporary folder."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skin_lesions.core.text import encodable, printable


@dataclass(frozen=True, kw_only=True)
class Upload:
    """An uploaded file.

    Attributes:
        file: Its name, safe to print.
        size: Size in bytes.
        data: Content, not more than was asked for; None if the file has been deleted.
    """

    file: str
    size: int
    data: bytes | None


def take_uploads(
    uploads: Sequence[Mapping[str, object]], folder: Path, max_bytes: int
) -> list[Upload]:
    """Read uploads and delete their files.

    Args:
        uploads: File data of Gradio with the keys path and orig_name, from the browser.
        folder: Temporary folder of the process; files outside of it are neither read nor deleted.
        max_bytes: Number of bytes that are read of each file.
    """
    root = folder.resolve()
    paths = [Path(str(upload.get("path"))).resolve() for upload in uploads]
    taken = []
    for upload, path in zip(uploads, paths, strict=True):
        size, data = 0, None
        if path.is_relative_to(root) and path.is_file():
            size = path.stat().st_size
            with path.open("rb") as file:
                data = file.read(max_bytes)
        name = Path(str(upload.get("orig_name") or path)).name
        taken.append(Upload(file=printable(encodable(name)), size=size, data=data))
    # Deleted after all are read: two uploads with the same name and content are one file.
    for path in paths:
        if path.is_relative_to(root):
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it contains another upload, or is already deleted
                path.parent.rmdir()
    return taken
