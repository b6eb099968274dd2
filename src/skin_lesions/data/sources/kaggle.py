"""Kaggle data sets: one download into the cache of kagglehub.

kagglehub does the authentication, the requests, the resumption of downloads and the checksums. This
module adds a fixed version for the entire run, a check of archives before they are unpacked, and
timeouts. It also disables the progress bar without a terminal, and its errors include a fix.
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
from skin_lesions.data.provenance import Origin
from skin_lesions.data.sources.archives import DamagedArchiveError, unpack
from skin_lesions.data.sources.kaggle_errors import (
    dataset_name,
    describe_request,
    manual_download_hint,
    translate_errors,
)

log = logging.getLogger(__name__)

_DATASET = re.compile(r"[A-Za-z0-9][\w-]*/[A-Za-z0-9][\w-]*", re.ASCII)
_TIMEOUT = (10, 60)  # seconds: to connect, and between two parts of a response
_RETRY_PAUSE = 2  # seconds before an interrupted download is resumed
_CONNECTION_ERRORS = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


@dataclass(frozen=True)
class DownloadedDataset:
    """A data set in a local folder.

    ``license`` is the license on the page of the data set. It is empty if the page states none, and
    None if the page was not requested.
    """

    folder: Path
    dataset: str
    version: int
    license: str | None

    @property
    def origin(self) -> Origin:
        """Origin of the images, as stored with the raw images and the model, and in the report."""
        return Origin(
            kind="kaggle",
            dataset=self.dataset,
            version=self.version,
            license=self.license,
            license_notes=tuple(license_notes(self.dataset, self.license)),
        )


def license_notes(dataset: str, license: str | None) -> list[str]:
    """Describe the known license terms of the images in complete sentences.

    Source:
        ISIC 2019 is published under CC BY-NC 4.0; ``ahmedxc4/skin-ds`` is ISIC 2019 and MSLD
        v2.0, as the number of images in each class shows.
    """
    if license:
        notes = [f"The Kaggle page of {dataset} states this license: {printable(license)}."]
    elif license is None:
        notes = [f"The license on the Kaggle page of {dataset} was not looked up."]
    else:
        notes = [f"The Kaggle page of {dataset} states no license."]
    if dataset.casefold() == "ahmedxc4/skin-ds":
        notes += [
            "The dermoscopic images come from ISIC 2019, which is licensed under CC BY-NC 4.0 "
            "(attribution, no commercial use), regardless of the license on the page.",
            "The clinical photographs are those of MSLD v2.0 and transformed near-duplicates of "
            "them. The terms of MSLD v2.0 are not known here. Check them before you share images "
            "or a model.",
        ]
    return notes


def download_dataset(dataset: str, version: int | None) -> DownloadedDataset:
    """Find the data set in the cache of kagglehub, or download it into the cache.

    Args:
        dataset: ``owner/name``, as in the address of its page.
        version: Version number. A version in the cache is used without any request. None requests
            the newest version number from Kaggle, once.

    Only private data sets require credentials. kagglehub reads them from its environment variables
    and files. An interrupted download resumes where it stopped. In a Kaggle or Colab notebook, the
    notebook service mounts the data set, and nothing is downloaded.

    Raises:
        InputError: The data set does not exist, Kaggle is unreachable or rejects the request, the
            archive is damaged, or it contains a file outside its folder.
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
    if not _DATASET.fullmatch(dataset):  # the name becomes part of a path
        raise InputError(
            f"Invalid data set name (source.kaggle.dataset={printable(dataset)}). Expected "
            "owner/name, as in the address of its page. The version belongs in "
            "source.kaggle.version"
        )
    owner, name = dataset.split("/")
    return DatasetHandle(owner=owner, dataset=name, version=version)


def _configure_logging() -> None:
    """Send messages of kagglehub to the log, and show its progress bar only in a terminal."""
    clients.tqdm = partial(tqdm, disable=None)
    clients.already_printed_version_warning = True  # it uses print without a line break
    logger = logging.getLogger("kagglehub")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.WARNING)


def _mounted(handle: DatasetHandle) -> DownloadedDataset | None:
    """Mount the data set with the notebook service, or return None outside of a notebook service.

    Raises:
        InputError: The service does not report the version.
    """
    for resolver in (DatasetColabCacheResolver(), DatasetKaggleCacheResolver()):
        if resolver.is_supported(handle):
            folder, version = resolver(handle)
            version = version or handle.version
            if version is None:
                raise InputError(
                    f"The notebook service does not report the mounted version of {handle}. "
                    "Fix: --params source.kaggle.version=N"
                )
            return DownloadedDataset(Path(folder), dataset_name(handle), int(version), None)
    return None


def _cached(handle: DatasetHandle) -> DownloadedDataset | None:
    """Find a version in the cache. Without a version number, return None."""
    folder = Cache().load_from_cache(handle) if handle.is_versioned() else None
    if folder is None:
        return None
    path = _license_file(handle)
    license = path.read_text(encoding="utf-8") if path.exists() else None
    return DownloadedDataset(Path(folder), dataset_name(handle), handle.version, license)


def _license_file(handle: DatasetHandle) -> Path:
    return Path(Cache().get_archive_path(handle)).with_suffix(".license")


@contextmanager
def _client() -> Iterator[Any]:
    try:
        client = clients.build_kaggle_client()
    except ValueError as error:
        raise InputError(f"{error}. Fix: correct or delete this file") from error
    with client:
        for scheme in ("http://", "https://"):
            client.http_client()._session.mount(scheme, _TimedAdapter())
        yield client


class _TimedAdapter(HTTPAdapter):
    """Sets a timeout for every request. Without it, kagglehub waits forever for a silent server."""

    def send(self, *args: Any, **options: Any) -> requests.Response:
        """Send the request with the default timeout, unless it has a timeout."""
        return super().send(*args, **{**options, "timeout": options.get("timeout") or _TIMEOUT})


def _from_kaggle(client: Any, handle: DatasetHandle) -> DownloadedDataset:
    with translate_errors(handle):
        newest, license = _fetch_page(client, handle)
    version = handle.version or newest
    if version > newest:
        raise InputError(
            f"{dataset_name(handle)} has no version {version}. The newest version is {newest}. "
            "Fix: correct source.kaggle.version"
        )
    handle = handle.with_version(version)
    with translate_errors(handle):
        return _fetch(client, handle, license)


def _fetch_page(client: Any, handle: DatasetHandle) -> tuple[int, str]:
    """Request the newest version number and the license from the page of the data set."""
    request = ApiGetDatasetRequest()
    request.owner_slug, request.dataset_slug = handle.owner, handle.dataset
    page = client.datasets.dataset_api_client.get_dataset(request)
    if page.current_version_number < 1:
        raise InputError(
            f"Kaggle lists no version of {dataset_name(handle)}. "
            f"Fix: {manual_download_hint(handle)}"
        )
    return page.current_version_number, page.license_name


def _fetch(client: Any, handle: DatasetHandle, license: str) -> DownloadedDataset:
    """Download and unpack one version, unless it is in the cache.

    If another process is downloading it, wait for that process.
    """
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
        log.info("Unpacked %s into %s", dataset_name(handle), folder)
    return DownloadedDataset(folder, dataset_name(handle), handle.version, license)


@contextmanager
def _download_lock(path: Path, handle: DatasetHandle) -> Iterator[None]:
    """Allow one download per version. Two processes would write to the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("Another process is downloading %s; waiting for it", dataset_name(handle))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _download(client: Any, handle: DatasetHandle, archive: Path) -> None:
    """Download the archive. After an interruption, resume as long as each attempt adds bytes."""
    while True:
        size_before = file_size(archive)
        try:
            _download_remaining(client, handle, archive)
            return
        except _CONNECTION_ERRORS as error:
            if file_size(archive) <= size_before:
                raise
            log.warning("Download interrupted (%s); resuming", printable(root_cause(error)))
            time.sleep(_RETRY_PAUSE)


def _download_remaining(client: Any, handle: DatasetHandle, archive: Path) -> None:
    request = ApiDownloadDatasetRequest()
    request.owner_slug, request.dataset_slug = handle.owner, handle.dataset
    request.dataset_version_number = handle.version
    with client.datasets.dataset_api_client.download_dataset(request) as response:
        total, downloaded = int(response.headers.get("Content-Length", 0)), file_size(archive)
        progress = f", {format_bytes(downloaded)} already downloaded" if downloaded else ""
        log.info("Downloading %s (%s%s)", describe_request(handle), format_bytes(total), progress)
        clients.download_file(response, str(archive), handle)


def _unpack(archive: Path, folder: Path, handle: DatasetHandle) -> None:
    """Unpack the archive, or delete it if it cannot be used."""
    try:
        unpack(archive, folder)
    except InputError as error:
        archive.unlink()
        raise InputError(
            f"{error}. Nothing was unpacked. If you trust it, {manual_download_hint(handle)}"
        ) from error
    except DamagedArchiveError as error:
        archive.unlink()
        raise InputError(
            f"The downloaded archive of {dataset_name(handle)} was damaged ({error}). It was "
            f"deleted. Fix: run the same command again, or {manual_download_hint(handle)}"
        ) from error
