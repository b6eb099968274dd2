"""A versioned file in any format that another data set can write, whole or not there at all."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, AbstractVersionedDataset, Version
from kedro.io.core import VersionNotFoundError

from skin_lesions.core.atomic_files import atomic_write
from skin_lesions.core.errors import InputError


class AtomicVersionedDataset(AbstractVersionedDataset[Any, Any]):
    """Gives an unversioned data set versions, whole writes, and data that know their version.

    Kedro's own versioned data sets write in place: killed while writing, they leave a broken file
    that is the newest version from then on. Here the file is written beside and renamed.

    What is loaded learns its version: a table in ``attrs["version"]``, a dict with provenance in
    ``["provenance"]["version"]``. So results can say what they were made from.

    Args:
        filepath: Versions lie at ``<filepath>/<version>/<name>``.
        dataset: Configuration of the data set for one file, without its ``filepath``.
        version: Given by Kedro.
        metadata: For kedro-viz.
    """

    def __init__(
        self,
        *,
        filepath: str,
        dataset: dict[str, Any],
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        super().__init__(filepath=PurePosixPath(filepath), version=version)
        self.metadata = metadata
        self._config = dataset
        prototype = self._inner(Path(filepath))
        if hasattr(prototype, "preview"):
            self.preview = self._preview_like(prototype.preview)

    def _inner(self, path: Path) -> AbstractDataset[Any, Any]:
        config = {**self._config, "filepath": str(path)}
        return AbstractDataset.from_config(path.name, config)

    def load(self) -> Any:
        """Load the version asked for, or the newest."""
        data = self._inner(self.load_path()).load()
        if isinstance(data, pd.DataFrame):
            data.attrs["version"] = self.resolve_load_version()
        elif isinstance(data, dict) and "provenance" in data:
            data["provenance"]["version"] = self.resolve_load_version()
        return data

    def save(self, data: Any) -> None:
        """Write a new version."""
        with atomic_write(Path(self._get_save_path())) as partial:
            self._inner(partial).save(data)

    def load_path(self) -> Path:
        """Return where the version lies that ``load`` takes.

        Raises:
            InputError: There is no version yet, or not the one asked for.
        """
        try:
            path = Path(self._get_load_path())
        except VersionNotFoundError:
            raise InputError(
                f"there is no {self._filepath.name} in {self._filepath.parent} yet; make it first: "
                "kedro run takes the whole way (same --env and --params)"
            ) from None
        if not path.exists():
            raise InputError(
                f"{self._filepath.name} has no version {path.parent.name!r}; there are: "
                f"{', '.join(self.list_versions(full_path=False)) or 'none'}"
            )
        return path

    def _exists(self) -> bool:
        return Path(self._get_load_path()).exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "type": self._config["type"], "version": self._version}

    def _preview_like(self, preview: Callable[..., Any]) -> Callable[..., Any]:
        # kedro-viz chooses how to draw a preview by the return type of this very function.
        @wraps(preview)
        def of_loaded_version(*args: Any, **kwargs: Any) -> Any:
            inner: Any = self._inner(self.load_path())
            return inner.preview(*args, **kwargs)

        return of_loaded_version
