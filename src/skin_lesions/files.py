"""Writing so that a killed run leaves nothing half-made under a name that a later run takes for whole."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
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
