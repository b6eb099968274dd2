"""Kedro data set that adds versions and atomic writes to another data set."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset, AbstractVersionedDataset, Version
from kedro.io.core import VersionNotFoundError

from skin_lesions.core.atomic_files import atomic_write
from skin_lesions.core.errors import InputError
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
        version: Set by Kedro.
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
        """Load the requested version, or the newest."""
        data = self._inner(self.load_path()).load()
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
