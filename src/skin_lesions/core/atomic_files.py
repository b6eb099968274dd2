"""Atomic writes of files and folders: after a killed run, no later run reads an incomplete one."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path; rename it to ``path`` when the block ends without an error.

    The block writes a file or a folder at the temporary path. A folder replaces no other folder
    that has content.
    """
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays, because some writers depend on it. Short, because file names have a limit.
    partial = path.with_name(f".{secrets.token_hex(4)}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)
        raise


def format_bytes(size: float) -> str:
    """Format a number of bytes with a suitable unit.

    >>> format_bytes(950), format_bytes(1_440_000_000)
    ('950 bytes', '1.44 GB')
    """
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.2f} GB"


def file_size(path: Path) -> int:
    """Return the size of a file in bytes, or 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0
