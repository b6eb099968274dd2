"""Kedro data set of all versions of another data set."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError, Version

from skin_lesions.core.errors import InputError
from skin_lesions.core.versions import NamedResults, StoredVersions, Versioned
from skin_lesions.datasets.versioned import AtomicVersionedDataset, find_versions, readable_errors


class StoredVersionsDataset(AbstractDataset[None, StoredVersions[Any]]):
    """Gives access to all versions of a data set, and to its files in other data roots.

    Loading reads no file: a node selects what it reads. It has no version of its own.

    Args:
        filepath: As of the other data set; versions are at ``<filepath>/<version>/<name>``.
        dataset: Configuration of the data set for one file, as of the other data set.
        columns: Columns that a table must have, as of the other data set.
        metadata: For kedro-viz.
    """

    def __init__(
        self,
        *,
        filepath: str,
        dataset: dict[str, Any],
        columns: list[str] | None = None,
        metadata: dict[str, object] | None = None,
    ):
        self._path, self.metadata = Path(filepath), metadata
        self._config, self._columns = dataset, columns or []

    def load(self) -> StoredVersions[Any]:
        """List the versions, newest first."""
        pattern = str(self._path / "*" / self._path.name)
        files = [Path(file) for file in find_versions(pattern)]
        versions = sorted((file.parent.name for file in files if file.is_file()), reverse=True)
        return StoredVersions(
            name=self._path.stem,
            versions=tuple(versions),
            load_version=lambda version: self._load_version(self._path, version),
            load_path=self._load_path,
        )

    def _load_version(self, folder: Path, version: str | None) -> Any:
        dataset = AtomicVersionedDataset(
            filepath=folder.as_posix(),
            dataset=self._config,
            columns=self._columns,
            version=Version(version, None),
        )
        try:
            return dataset.load()
        except DatasetError as error:  # Kedro wraps the InputError, which has the fix
            raise error.__cause__ or error from None

    def _load_path(self, path: Path) -> Any:
        """Load a file, a version of the data set, or the newest version in a data root."""
        name = self._path.name
        if path.is_dir():
            folder = path / self._path.parent.name / name
            if folder.is_dir():  # a data root
                return self._load_version(folder, None)
            if (path / name).is_file():  # the folder of one version
                return self._load_path(path / name)
            if path.name == name:  # the folder of all versions
                return self._load_version(path, None)
            raise InputError(
                f"{path} contains no {name}. Expected a data root, a folder of versions or a file"
            )
        if path.parents[1].name == name:
            return self._load_version(path.parents[1], path.parent.name)
        with readable_errors(path):
            inner: AbstractDataset[Any, Any] = AbstractDataset.from_config(
                name, {**self._config, "filepath": str(path)}
            )
            data = inner.load()
        # A copy of a file outside of a data root has no version.
        return data.with_version(path.name) if isinstance(data, Versioned) else data

    def save(self, data: None) -> NoReturn:  # noqa: ARG002
        """Raise an error: the other data set saves the versions."""
        raise DatasetError(f"{self._path.stem} is saved by the data set of this name")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self._path), "type": self._config["type"]}


class NamedResultsDataset(AbstractDataset[None, NamedResults[Any]]):
    """Gives access to all versions of a data set that exists for several names.

    Loading reads no file. A name is a folder below ``folder``.

    Args:
        folder: Folder with one folder for each name.
        file: Path of the data set below the folder of a name.
        dataset: Configuration of the data set for one file, as of the other data set.
        metadata: For kedro-viz.
    """

    def __init__(
        self,
        *,
        folder: str,
        file: str,
        dataset: dict[str, Any],
        metadata: dict[str, object] | None = None,
    ):
        self._folder, self._file, self._config = Path(folder), file, dataset
        self.metadata = metadata

    def load(self) -> NamedResults[Any]:
        """List the names that have a version."""
        try:
            names = sorted(path.name for path in self._folder.iterdir() if path.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            names = []
        stored = {
            name: StoredVersionsDataset(
                filepath=(self._folder / name / self._file).as_posix(), dataset=self._config
            ).load()
            for name in names
        }
        return NamedResults({name: found for name, found in stored.items() if found.versions})

    def save(self, data: None) -> NoReturn:  # noqa: ARG002
        """Raise an error: the other data set saves the versions."""
        raise DatasetError(f"{self._file} is saved by the data set of one name")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, object]:
        return {"folder": str(self._folder), "file": self._file, "type": self._config["type"]}
