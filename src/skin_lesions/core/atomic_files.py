"""Files: written so that a killed run leaves nothing half-made that a later run takes for whole."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a path to write to; rename it to ``path`` once the block ends without an error."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    # A short name of its own: the suffix matters to some writers, and long names have a limit.
    partial = path.with_name(f".{secrets.token_hex(4)}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def format_bytes(size: float) -> str:
    """Give a number of bytes in a unit that suits it.

    >>> size_in_words(950), size_in_words(1_440_000_000)
    ('950 bytes', '1.44 GB')
    """
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.2f} GB"


def file_size(path: Path) -> int:
    """Return the bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0
