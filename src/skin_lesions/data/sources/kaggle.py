"""Kaggle data sets: one download into the cache of kagglehub.

kagglehub does the authentication, the requests, the resumption of downloads, the checksums and the
extraction. This module limits its output, allows one download at a time and adds a fix to its
errors.
"""

import json
import logging
import os
import re
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import kagglehub
import requests
from filelock import FileLock, Timeout
from kagglehub.exceptions import BackendError, CredentialError, DataCorruptionError

from skin_lesions.core.atomic_files import file_size, format_bytes
from skin_lesions.core.errors import InputError
from skin_lesions.core.locations import abbreviate_home
from skin_lesions.core.text import printable, root_cause
from skin_lesions.data.provenance import Origin

log = logging.getLogger(__name__)

_DATASET = re.compile(r"[A-Za-z0-9][\w-]*/[A-Za-z0-9][\w-]*", re.ASCII)
_RETRY_PAUSE = 2  # seconds before an interrupted download is resumed
_CREDENTIALS = (
    "the environment variable KAGGLE_API_TOKEN (or KAGGLE_USERNAME and KAGGLE_KEY) or "
    "~/.kaggle/kaggle.json"
)
# Raised for credentials, notebook services, the disk and damaged archives.
_OTHER_ERRORS = (
    BackendError,
    CredentialError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class DownloadedDataset:
    """A version of a data set in a local folder."""

    folder: Path
    dataset: str
    version: int

    @property
    def origin(self) -> Origin:
        """Origin of the images, as stored with the raw images and the model, and in the report."""
        return Origin(
            kind="kaggle",
            dataset=self.dataset,
            version=self.version,
            license_notes=tuple(license_notes(self.dataset)),
        )


def license_notes(dataset: str) -> list[str]:
    """Describe the known license terms of the images in complete sentences.

    Source:
        ISIC 2019 is published under CC BY-NC 4.0; ``ahmedxc4/skin-ds`` is ISIC 2019 and MSLD
        v2.0, as the number of images in each class shows.
    """
    notes = [f"The license on the Kaggle page of {dataset} was not looked up."]
    if dataset.casefold() == "ahmedxc4/skin-ds":
        notes += [
            "The dermoscopic images come from ISIC 2019, which is licensed under CC BY-NC 4.0 "
            "(attribution, no commercial use), regardless of the license on the page.",
            "The clinical photographs are those of MSLD v2.0 and transformed near-duplicates of "
            "them. The terms of MSLD v2.0 are not known here. Check them before you share images "
            "or a model.",
        ]
    return notes


@dataclass(frozen=True)
class _Request:
    """A version of a data set; ``version`` None is the newest one."""

    dataset: str
    version: int | None

    def __str__(self) -> str:
        which = "the newest version" if self.version is None else f"version {self.version}"
        return f"{which} of {self.dataset}"

    @property
    def cache(self) -> Path:
        """Folder of the data set in the cache of kagglehub."""
        default = Path.home() / ".cache" / "kagglehub"
        return Path(os.environ.get("KAGGLEHUB_CACHE", default)) / "datasets" / self.dataset

    @property
    def downloaded_bytes(self) -> int:
        """Size of the archives that are incomplete or not unpacked yet."""
        return sum(file_size(archive) for archive in self.cache.glob("*.archive"))


def download_dataset(dataset: str, version: int | None) -> DownloadedDataset:
    """Find the data set in the cache of kagglehub, or download it into the cache.

    Args:
        dataset: ``owner/name``, as in the address of its page.
        version: Version number. A version in the cache is used without any request. None requests
            the newest version number from Kaggle.

    Only private data sets require credentials. kagglehub reads them from its environment variables
    and files. An interrupted download resumes where it stopped. In a Kaggle or Colab notebook, the
    notebook service mounts the data set, and nothing is downloaded.

    Raises:
        InputError: The data set does not exist, Kaggle is unreachable or rejects the request, the
            archive cannot be unpacked, or a notebook service does not report the version.
    """
    if not _DATASET.fullmatch(dataset):  # the name becomes part of a path
        raise InputError(
            f"Invalid data set name (source.kaggle.dataset={printable(dataset)}). Expected "
            "owner/name, as in the address of its page. The version belongs in "
            "source.kaggle.version"
        )
    request = _Request(dataset, version)
    with _readable_errors(request), _download_lock(request):
        folder = _download(request)
    if folder.parent.name == "versions":
        version = int(folder.name)
    if version is None:
        raise InputError(
            f"The notebook service does not report the mounted version of {dataset}. "
            "Fix: --params source.kaggle.version=N"
        )
    log.info("Version %d of %s is in %s", version, dataset, abbreviate_home(folder))
    return DownloadedDataset(folder, dataset, version)


@contextmanager
def _download_lock(request: _Request) -> Iterator[None]:
    """Allow one download per data set. Two processes would write to the same files."""
    request.cache.mkdir(parents=True, exist_ok=True)
    if not os.access(request.cache, os.W_OK):  # nothing can be downloaded into a read-only cache
        yield
        return
    lock = FileLock(request.cache / "download.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.info("Another process is downloading %s; waiting for it", request.dataset)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _download(request: _Request) -> Path:
    """Return the folder. After an interruption, resume as long as each attempt adds bytes."""
    handle = request.dataset
    if request.version is not None:
        handle += f"/versions/{request.version}"
    log.info("Downloading %s, unless it is in the cache", request)
    while True:
        bytes_before = request.downloaded_bytes
        try:
            with _limited_output():
                return Path(kagglehub.dataset_download(handle))
        except requests.RequestException as error:
            if request.downloaded_bytes <= bytes_before:
                raise
            log.warning("Download interrupted (%s); resuming", printable(root_cause(error)))
            time.sleep(_RETRY_PAUSE)


@contextmanager
def _limited_output() -> Iterator[None]:
    """Hide the messages of kagglehub. Its progress bar is displayed only in a terminal."""
    logger = logging.getLogger("kagglehub")
    level = logger.level
    with Path(os.devnull).open("w", encoding="utf-8") as hidden:
        progress_bar = sys.stderr if sys.stderr.isatty() else hidden
        with redirect_stdout(hidden), redirect_stderr(progress_bar):
            logger.setLevel(logging.WARNING)
            try:
                yield
            finally:
                logger.setLevel(level)


@contextmanager
def _readable_errors(request: _Request) -> Iterator[None]:
    """Convert errors of the network, Kaggle, the archive and the cache into an ``InputError``."""
    try:
        yield
    except requests.HTTPError as error:
        raise InputError(_rejection(error, request)) from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"The response to the request for {request} is not from Kaggle. It may come from a "
            f"proxy or from the login page of a network. {_remedies(request)}"
        ) from error
    except requests.RequestException as error:
        size = request.downloaded_bytes
        saved = f"{format_bytes(size)} are saved. The next attempt resumes there. " if size else ""
        raise InputError(
            f"Kaggle cannot be reached (request for {request}): {printable(root_cause(error))}. "
            f"{saved}{_remedies(request)}"
        ) from error
    except DataCorruptionError as error:
        raise InputError(
            f"The download of {request} was damaged (checksum mismatch). It was deleted. "
            f"{_remedies(request)}"
        ) from error
    except _OTHER_ERRORS as error:
        raise InputError(
            f"kagglehub cannot load {request}: {printable(error)}. Fix: delete "
            f"{request.cache}/*.archive if the download is damaged, set the environment variable "
            "KAGGLEHUB_CACHE to another folder if this one is full or not writable, or "
            f"{_manual_download(request)}"
        ) from error


def _rejection(error: requests.HTTPError, request: _Request) -> str:
    response = error.response
    if response is None:
        return f"Kaggle rejected {request}: {printable(error)}. {_remedies(request)}"
    status = response.status_code
    try:
        reason = str(response.json()["message"])[:300]
    except (ValueError, KeyError, TypeError, requests.RequestException):
        reason = str(response.reason)
    failure = f"Kaggle returned status {status} ({printable(reason)}) for {request}"
    # A redirected response comes from the download server, which knows no credentials.
    if response.history or status not in {401, 403, 404}:
        return f"{failure}. {_remedies(request)}"
    if status == requests.codes.unauthorized:
        return f"{failure}: it rejects your credentials. Fix: renew or remove {_CREDENTIALS}"
    return (
        f"{failure}. It does not exist, or you do not have access. Fix: check "
        "source.kaggle.dataset (owner/name, as in the address of its page) and "
        f"source.kaggle.version. If it is private, set {_CREDENTIALS}"
    )


def _remedies(request: _Request) -> str:
    markers = request.cache.glob("*.complete")
    versions = sorted(int(marker.stem) for marker in markers if marker.stem.isdecimal())
    cached = (
        f"use a version from the cache ({', '.join(map(str, versions))}) with --params "
        f"source.kaggle.version={versions[-1]}, or "
        if versions
        else ""
    )
    return f"Fix: run the same command again later, or {cached}{_manual_download(request)}"


def _manual_download(request: _Request) -> str:
    return (
        f"download https://www.kaggle.com/datasets/{request.dataset} manually, unpack it, and "
        "run with --params source.kind=folder,source.folder=/path/to/it (same --env)"
    )
