"""Error messages for failed requests to Kaggle.

Errors of the network, of Kaggle and of the cache become an ``InputError`` with a fix.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from kagglehub.cache import Cache
from kagglehub.exceptions import BackendError, CredentialError, DataCorruptionError
from kagglehub.handle import DatasetHandle

from skin_lesions.core.atomic_files import file_size, format_bytes
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable, root_cause


@contextmanager
def translate_errors(handle: DatasetHandle) -> Iterator[None]:
    """Convert errors of the network, Kaggle and the cache into an ``InputError`` with a fix.

    Raises:
        InputError: The request failed.
    """
    try:
        yield
    except requests.HTTPError as error:
        raise InputError(_rejection(error.response, handle)) from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"The response to the request for {describe_request(handle)} is not from Kaggle. It "
            f"may come from a proxy or from the login page of a network. {_remedies(handle)}"
        ) from error
    except requests.RequestException as error:
        raise InputError(_unreachable(error, handle)) from error
    except DataCorruptionError as error:
        raise InputError(
            f"The download of {describe_request(handle)} was damaged (checksum mismatch). It was "
            f"deleted. {_remedies(handle)}"
        ) from error
    except (BackendError, CredentialError) as error:
        raise InputError(
            f"The notebook service cannot mount {describe_request(handle)}: {printable(error)}"
        ) from error
    except OSError as error:
        raise InputError(
            f"The cache of kagglehub cannot be used: {printable(error)}. Fix: correct the cause, "
            "or set the environment variable KAGGLEHUB_CACHE to another folder"
        ) from error


def _unreachable(error: requests.RequestException, handle: DatasetHandle) -> str:
    size = file_size(Path(Cache().get_archive_path(handle)))
    saved = f"{format_bytes(size)} are saved, and the next attempt resumes there. " if size else ""
    reason = printable(root_cause(error))
    return (
        f"Kaggle cannot be reached (request for {describe_request(handle)}): {reason}. "
        f"{saved}{_remedies(handle)}"
    )


def _rejection(response: Any, handle: DatasetHandle) -> str:
    failure = (
        f"Kaggle returned status {response.status_code} ({printable(_server_message(response))})"
    )
    if response.history:  # redirected: the response comes from the download server
        return f"{failure} for the download of {describe_request(handle)}. {_remedies(handle)}"
    if response.status_code == requests.codes.unauthorized:
        return (
            f"{failure}: it rejects your credentials. "
            f"Fix: renew them in {_CREDENTIALS}, or remove them"
        )
    if response.status_code in {requests.codes.forbidden, requests.codes.not_found}:
        return (
            f"{failure} for {describe_request(handle)}. It does not exist, or you do not have "
            "access. Fix: check source.kaggle.dataset (owner/name, as in the address of its page) "
            "and source.kaggle.version. If it is private, store your credentials in "
            f"{_CREDENTIALS}"
        )
    if response.status_code == requests.codes.too_many_requests:
        wait = response.headers.get("Retry-After", "")
        wait = f"{wait} seconds" if wait.isdecimal() else "a few minutes"
        return f"{failure}: too many requests. Wait {wait}. {_remedies(handle)}"
    return f"{failure} for {describe_request(handle)}. {_remedies(handle)}"


_CREDENTIALS = (
    "the environment variable KAGGLE_API_TOKEN (or KAGGLE_USERNAME and KAGGLE_KEY) or in "
    "~/.kaggle/kaggle.json"
)


def _server_message(response: Any) -> str:
    try:
        return str(response.json()["message"])[:300]
    except (ValueError, KeyError, TypeError, requests.RequestException):
        return str(response.reason)


def dataset_name(handle: DatasetHandle) -> str:
    """Return ``owner/name``."""
    return f"{handle.owner}/{handle.dataset}"


def describe_request(handle: DatasetHandle) -> str:
    """Describe the requested version: its number, or the newest version."""
    which = f"version {handle.version}" if handle.is_versioned() else "the newest version"
    return f"{which} of {dataset_name(handle)}"


def _remedies(handle: DatasetHandle) -> str:
    versions = _cached_versions(handle)
    cached = (
        f"use a version from the cache ({', '.join(map(str, versions))}) with --params "
        f"source.kaggle.version={versions[-1]}, or "
        if versions
        else ""
    )
    return f"Fix: run the same command again later, or {cached}{manual_download_hint(handle)}"


def manual_download_hint(handle: DatasetHandle) -> str:
    """Describe the manual alternative: download, unpack, and set the folder."""
    return (
        f"download https://www.kaggle.com/datasets/{dataset_name(handle)} manually, unpack it, and "
        "run with --params source.kind=folder,source.folder=/path/to/it (same --env)"
    )


def _cached_versions(handle: DatasetHandle) -> list[int]:
    markers = Path(Cache().get_archive_path(handle)).parent.glob("*.complete")
    versions = sorted(int(marker.stem) for marker in markers if marker.stem.isdecimal())
    return [v for v in versions if Cache().load_from_cache(handle.with_version(v))]
