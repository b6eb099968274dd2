"""Kedro data set that adds versions and atomic writes to another data set."""

import errno
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa
from kedro.io import AbstractDataset, AbstractVersionedDataset, DatasetError, Version
from kedro.io.core import VersionNotFoundError

from skin_lesions.core.atomic_files import atomic_write
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.core.versions import Versioned


class AtomicVersionedDataset(AbstractVersionedDataset[Any, Any]):
    """Adds versions, atomic writes and the loaded version to an unversioned data set.

    Versioned data sets of Kedro write in place. If they are killed while writing, a broken file
    remains as the newest version. Here, a temporary file in the same folder is written and renamed.

    Loaded data that are ``Versioned`` contain their version, so results can record the versions of
    their inputs.

    Args:
        filepath: Versions are at ``<filepath>/<version>/<name>``.
        dataset: Configuration of the data set for one file, without its ``filepath``.
        columns: Columns that a table must have, without missing values.
        version: Set by Kedro.
        metadata: For kedro-viz.
    """

    def __init__(
        self,
        *,
        filepath: str,
        dataset: dict[str, Any],
        columns: Collection[str] = (),
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        super().__init__(
            filepath=PurePosixPath(filepath), version=version, glob_function=find_versions
        )
        self.metadata = metadata
        self._columns = list(columns)
        self._config = dataset
        prototype = self._inner(Path(filepath))
        if hasattr(prototype, "preview"):
            self.preview = self._preview_like(prototype.preview)

    def _inner(self, path: Path) -> AbstractDataset[Any, Any]:
        config = {**self._config, "filepath": str(path)}
        return AbstractDataset.from_config(path.name, config)

    def load(self) -> Any:
        """Load the requested version, or the newest.

        Raises:
            InputError: There is no such version, or it is damaged.
        """
        path = self.load_path()
        with readable_errors(path):
            data = self._inner(path).load()
            if self._columns:
                check_table(getattr(data, "frame", data), self._columns, path)
        if isinstance(data, Versioned):
            return data.with_version(str(self.resolve_load_version()))
        return data

    def save(self, data: Any) -> None:
        """Save a new version."""
        with atomic_write(Path(self._get_save_path())) as partial:
            self._inner(partial).save(data)

    def load_path(self) -> Path:
        """Return the path of the version that ``load`` reads.

        Raises:
            InputError: There is no version, or the requested version does not exist.
        """
        try:
            path = Path(self._get_load_path())
        except VersionNotFoundError:
            raise InputError(
                f"No version of {self._filepath.name} in {self._filepath.parent}. "
                "Create it first: kedro run runs all pipelines (use the same --env and --params)"
            ) from None
        if not path.exists():
            raise InputError(
                f"{self._filepath.name} has no version {path.parent.name!r}. Available: "
                f"{', '.join(self.list_versions(full_path=False)) or 'none'}"
            )
        return path

    def _exists(self) -> bool:
        return Path(self._get_load_path()).exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "type": self._config["type"], "version": self._version}

    def _preview_like(self, preview: Callable[..., Any]) -> Callable[..., Any]:
        # kedro-viz selects the type of preview by the return annotation of this function.
        @wraps(preview)
        def preview_loaded_version(*args: Any, **kwargs: Any) -> Any:
            inner: Any = self._inner(self.load_path())
            return inner.preview(*args, **kwargs)

        return preview_loaded_version


def find_versions(pattern: str) -> list[str]:
    """Return the paths that match ``<folder>/*/<name>``; a replacement of ``glob``.

    In the path of the data root, brackets and other characters have no special meaning.
    """
    folder, name = Path(pattern).parents[1], Path(pattern).name
    try:
        return [str(version / name) for version in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


@contextmanager
def readable_errors(path: Path) -> Iterator[None]:
    """Raise each error while a file is loaded as an ``InputError`` with its path and the fix."""
    try:
        yield
    except InputError:
        raise
    # Kedro wraps any error of another data set in a DatasetError.
    except (DatasetError, OSError, ValueError, pa.ArrowException) as error:
        cause = error.__cause__ if isinstance(error, DatasetError) else error
        if isinstance(cause, InputError):
            raise cause from None
        if isinstance(cause, OSError) and cause.errno in (errno.EACCES, errno.EPERM):
            fix = "change its permissions, so that this user can read it"
        else:
            fix = (
                f"delete {path.parent} to use the previous version, or create it again with the "
                "pipeline that writes it, for example kedro run (same --env and --params)"
            )
        reason = next(iter(str(cause).splitlines()), "") or type(cause).__name__
        raise InputError(f"{path} cannot be read ({printable(reason)}). Fix: {fix}") from None


def check_table(table: pd.DataFrame, columns: Collection[str], path: Path) -> None:
    """Check that a loaded table has some columns without missing values.

    Raises:
        ValueError: It does not, or it is an incomplete text file.
    """
    missing = [name for name in columns if name not in table or table[name].isna().any()]
    if missing:
        raise ValueError(f"the column {missing[0]} is missing or incomplete")
    if path.suffix == ".csv" and not path.read_bytes().endswith(b"\n"):
        raise ValueError("the last line is incomplete")
