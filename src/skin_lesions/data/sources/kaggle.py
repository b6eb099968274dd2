"""Get a data set from Kaggle: downloaded once, into the cache that kagglehub keeps.

kagglehub signs in, asks, resumes and compares checksums. Added here: one version for the whole
run, archives that are looked through before they are unpacked, time limits, silence without a
terminal, and errors that name the remedy.
"""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import requests
from filelock import FileLock, Timeout
from kagglehub import clients
from kagglehub.cache import Cache
from kagglehub.colab_cache_resolver import DatasetColabCacheResolver
from kagglehub.handle import DatasetHandle
from kagglehub.kaggle_cache_resolver import DatasetKaggleCacheResolver
from kagglesdk.datasets.types.dataset_api_service import (
    ApiDownloadDatasetRequest,
    ApiGetDatasetRequest,
)
from requests.adapters import HTTPAdapter
from tqdm import tqdm

from skin_lesions.core.atomic_files import file_size, format_bytes
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable, root_cause
from skin_lesions.data.sources.archives import DamagedArchiveError, unpack
from skin_lesions.data.sources.kaggle_errors import (
    dataset_name,
    describe_request,
    manual_download_hint,
    translate_errors,
)

log = logging.getLogger(__name__)

_DATASET = re.compile(r"[A-Za-z0-9][\w-]*/[A-Za-z0-9][\w-]*", re.ASCII)
_TIMEOUT = (10, 60)  # seconds: to connect, and between two pieces of an answer
_RETRY_PAUSE = 2  # seconds before a broken download goes on
_CONNECTION_ERRORS = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


@dataclass(frozen=True)
class DownloadedDataset:
    """A data set in a folder of this machine.

    ``licence`` is what the data set's page states: empty where it states none, None where it
    could not be asked.
    """

    folder: Path
    dataset: str
    version: int
    license: str | None

    @property
    def origin(self) -> dict[str, Any]:
        """What the raw images, the model and the report say of where the images came from."""
        return {
            "kind": "kaggle",
            "dataset": self.dataset,
            "version": self.version,
            "licence": self.license,
            "license_notes": license_notes(self.dataset, self.license),
        }


def license_notes(dataset: str, license: str | None) -> list[str]:
    """Say in plain sentences what is known of the terms under which the images may be used.

    Source:
        ISIC 2019 is published under CC BY-NC 4.0; ``ahmedxc4/skin-ds`` is ISIC 2019 and MSLD
        v2.0, by the number of images in each class.
    """
    if license:
        notes = [f"The Kaggle page of {dataset} states this licence: {printable(license)}."]
    elif license is None:
        notes = [f"The licence that the Kaggle page of {dataset} states was not looked up."]
    else:
        notes = [f"The Kaggle page of {dataset} states no licence."]
    if dataset.casefold() == "ahmedxc4/skin-ds":
        notes += [
            "Its dermoscopic images are those of ISIC 2019, which are under CC BY-NC 4.0 (name the "
            "source, no commercial use), whatever licence the page states.",
            "Its photographs are those of MSLD v2.0 and changed copies of them; the terms of MSLD "
            "v2.0 are not known here: look them up before you share images or a model.",
        ]
    return notes


def download_dataset(dataset: str, version: int | None) -> DownloadedDataset:
    """Find the data set in kagglehub's cache, or download it there.

    Args:
        dataset: ``owner/name``, as in the address of its page.
        version: None asks Kaggle, once, which version is the newest; a version that is in the
            cache is taken from there without any request.

    Credentials are needed only for what is private; kagglehub finds them in its own environment
    variables and files. A download that broke off goes on where it stopped. In a Kaggle or
    Colab notebook the service mounts the data set, and nothing is downloaded.

    Raises:
        InputError: There is no such data set, Kaggle can't be reached or refuses, or the archive
            is damaged or would write outside its folder.
    """
    handle = _handle(dataset, version)
    _configure_logging()
    with translate_errors(handle):
        found = _mounted(handle) or _cached(handle)
    if found is None:
        with _client() as client:
            found = _from_kaggle(client, handle)
    return found


def _handle(dataset: str, version: int | None) -> DatasetHandle:
    if not _DATASET.fullmatch(dataset):  # it becomes part of a path
        raise InputError(
            f"source.kaggle.dataset must be owner/name, as in the address of the data set's page, "
            f"got {printable(dataset)} (its version goes into source.kaggle.version)"
        )
    owner, name = dataset.split("/")
    return DatasetHandle(owner=owner, dataset=name, version=version)


def _configure_logging() -> None:
    """Let kagglehub speak through our log, and draw its bar only in a terminal."""
    clients.tqdm = partial(tqdm, disable=None)
    clients.already_printed_version_warning = True  # printed without a line break, into anything
    logger = logging.getLogger("kagglehub")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.WARNING)


def _mounted(handle: DatasetHandle) -> DownloadedDataset | None:
    """Let a notebook service mount the data set, where one is there to do it."""
    for resolver in (DatasetColabCacheResolver(), DatasetKaggleCacheResolver()):
        if resolver.is_supported(handle):
            folder, version = resolver(handle)
            version = version or handle.version
            if version is None:
                raise InputError(
                    f"this notebook service does not tell which version of {handle} it mounted; "
                    "name one with --params source.kaggle.version=N"
                )
            return DownloadedDataset(Path(folder), dataset_name(handle), int(version), None)
    return None


def _cached(handle: DatasetHandle) -> DownloadedDataset | None:
    """Find one version in the cache; an unnamed version is never there."""
    folder = Cache().load_from_cache(handle) if handle.is_versioned() else None
    if folder is None:
        return None
    stated = _license_file(handle)
    license = stated.read_text(encoding="utf-8") if stated.exists() else None
    return DownloadedDataset(Path(folder), dataset_name(handle), handle.version, license)


def _license_file(handle: DatasetHandle) -> Path:
    return Path(Cache().get_archive_path(handle)).with_suffix(".licence")


@contextmanager
def _client() -> Iterator[Any]:
    try:
        client = clients.build_kaggle_client()
    except ValueError as error:
        raise InputError(f"{error}; mend the file or remove it") from error
    with client:
        for scheme in ("http://", "https://"):
            client.http_client()._session.mount(scheme, _TimedAdapter())
        yield client


class _TimedAdapter(HTTPAdapter):
    """Gives every request a time limit: kagglehub would wait for a silent server for ever."""

    def send(self, *args: Any, **options: Any) -> requests.Response:
        """Send, with the limit unless there is one."""
        return super().send(*args, **{**options, "timeout": options.get("timeout") or _TIMEOUT})


def _from_kaggle(client: Any, handle: DatasetHandle) -> DownloadedDataset:
    with translate_errors(handle):
        newest, license = _fetch_page(client, handle)
    version = handle.version or newest
    if version > newest:
        raise InputError(
            f"{dataset_name(handle)} has no version {version}: the newest is {newest}; "
            "correct source.kaggle.version"
        )
    handle = handle.with_version(version)
    with translate_errors(handle):
        return _fetch(client, handle, license)


def _fetch_page(client: Any, handle: DatasetHandle) -> tuple[int, str]:
    """Ask Kaggle for the newest version and the licence that the page states."""
    request = ApiGetDatasetRequest()
    request.owner_slug, request.dataset_slug = handle.owner, handle.dataset
    page = client.datasets.dataset_api_client.get_dataset(request)
    if page.current_version_number < 1:
        raise InputError(
            f"Kaggle names no version of {dataset_name(handle)}; {manual_download_hint(handle)}"
        )
    return page.current_version_number, page.license_name


def _fetch(client: Any, handle: DatasetHandle, license: str) -> DownloadedDataset:
    """Download and unpack one version, unless it is in the cache or another process does it now."""
    archive = Path(Cache().get_archive_path(handle))
    folder = Path(Cache().get_path(handle))
    with _download_lock(archive.with_suffix(".lock"), handle):
        is_new = Cache().load_from_cache(handle) is None
        if is_new:
            _download(client, handle, archive)
            _unpack(archive, folder, handle)
        _license_file(handle).write_text(license, encoding="utf-8")
        Cache().mark_as_complete(handle)
        archive.unlink(missing_ok=True)
    if is_new:
        log.info("%s lies unpacked in %s", dataset_name(handle), folder)
    return DownloadedDataset(folder, dataset_name(handle), handle.version, license)


@contextmanager
def _download_lock(path: Path, handle: DatasetHandle) -> Iterator[None]:
    """Wait for another process that downloads the same: two would write into one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another process downloads %s; waiting for it", dataset_name(handle))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _download(client: Any, handle: DatasetHandle, archive: Path) -> None:
    """Download the archive; go on after a break as long as each try brings more."""
    while True:
        had = file_size(archive)
        try:
            _download_rest(client, handle, archive)
            return
        except _CONNECTION_ERRORS as error:
            if file_size(archive) <= had:
                raise
            log.warning("the download broke off (%s); going on", printable(root_cause(error)))
            time.sleep(_RETRY_PAUSE)


def _download_rest(client: Any, handle: DatasetHandle, archive: Path) -> None:
    request = ApiDownloadDatasetRequest()
    request.owner_slug, request.dataset_slug = handle.owner, handle.dataset
    request.dataset_version_number = handle.version
    with client.datasets.dataset_api_client.download_dataset(request) as response:
        total, here = int(response.headers.get("Content-Length", 0)), file_size(archive)
        rest = f", {format_bytes(here)} of it here" if here else ""
        log.info("downloading %s (%s%s)", describe_request(handle), format_bytes(total), rest)
        clients.download_file(response, str(archive), handle)


def _unpack(archive: Path, folder: Path, handle: DatasetHandle) -> None:
    """Unpack; an archive that can't be used is deleted."""
    try:
        unpack(archive, folder)
    except InputError as error:
        archive.unlink()
        raise InputError(
            f"{error}; nothing was unpacked. If you trust it, {manual_download_hint(handle)}"
        ) from error
    except DamagedArchiveError as error:
        archive.unlink()
        raise InputError(
            f"the archive of {dataset_name(handle)} that came is damaged ({error}) and was deleted; "
            f"run the same command again, or {manual_download_hint(handle)}"
        ) from error
