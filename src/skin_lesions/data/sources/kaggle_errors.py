"""What goes wrong with Kaggle, told with the remedy."""

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
    """Turn what goes wrong with the network, with Kaggle or the cache into words and a remedy."""
    try:
        yield
    except requests.HTTPError as error:
        raise InputError(_rejection(error.response, handle)) from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"what was answered when asked for {describe_request(handle)} is not from Kaggle; a proxy, or "
            f"the log-in page of a network, may stand between. {_remedies(handle)}"
        ) from error
    except requests.RequestException as error:
        raise InputError(_unreachable(error, handle)) from error
    except DataCorruptionError as error:
        raise InputError(
            f"{describe_request(handle)} arrived damaged (its checksum differs) and was deleted. "
            f"{_remedies(handle)}"
        ) from error
    except (BackendError, CredentialError) as error:
        raise InputError(
            f"the notebook service can't mount {describe_request(handle)}: {printable(error)}"
        ) from error
    except OSError as error:
        raise InputError(
            f"kagglehub's cache can't be used: {printable(error)}. Mend that, or take another folder "
            "with the environment variable KAGGLEHUB_CACHE"
        ) from error


def _unreachable(error: requests.RequestException, handle: DatasetHandle) -> str:
    size = file_size(Path(Cache().get_archive_path(handle)))
    kept = f"{format_bytes(size)} of it are kept, and the next try goes on there. " if size else ""
    reason = printable(root_cause(error))
    return f"Kaggle can't be reached for {describe_request(handle)}: {reason}. {kept}{_remedies(handle)}"


def _rejection(response: Any, handle: DatasetHandle) -> str:
    answer = f"Kaggle answered {response.status_code} ({printable(_server_message(response))})"
    if response.history:  # it is the store that the download was sent on to
        return f"{answer} to the download of {describe_request(handle)}. {_remedies(handle)}"
    if response.status_code == requests.codes.unauthorized:
        return (
            f"{answer}: it refuses your credentials. Renew them in {_CREDENTIALS}, or remove them"
        )
    if response.status_code in {requests.codes.forbidden, requests.codes.not_found}:
        return (
            f"{answer} when asked for {describe_request(handle)}: there is none, or you may not see it. "
            "Check source.kaggle.dataset (owner/name, as in the address of its page) and "
            f"source.kaggle.version; if it is private, put your credentials into {_CREDENTIALS}"
        )
    if response.status_code == requests.codes.too_many_requests:
        wait = response.headers.get("Retry-After", "")
        wait = f"{wait} seconds" if wait.isdecimal() else "a few minutes"
        return f"{answer}: it limits requests. Wait {wait}. {_remedies(handle)}"
    return f"{answer} when asked for {describe_request(handle)}. {_remedies(handle)}"


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
    """Say what was asked for: a version, or the newest."""
    which = f"version {handle.version}" if handle.is_versioned() else "the newest version"
    return f"{which} of {dataset_name(handle)}"


def _remedies(handle: DatasetHandle) -> str:
    others = _cached_versions(handle)
    cached = (
        f"take one that is in the cache ({', '.join(map(str, others))}) with --params "
        f"source.kaggle.version={others[-1]}, or "
        if others
        else ""
    )
    return f"Run the same command again later, or {cached}{manual_download_hint(handle)}"


def manual_download_hint(handle: DatasetHandle) -> str:
    """Tell the way round: download, unpack, and name the folder."""
    return (
        f"download https://www.kaggle.com/datasets/{dataset_name(handle)} by hand, unpack it, and run "
        "with --params source.kind=folder,source.folder=/path/to/it (same --env)"
    )


def _cached_versions(handle: DatasetHandle) -> list[int]:
    marks = Path(Cache().get_archive_path(handle)).parent.glob("*.complete")
    versions = sorted(int(mark.stem) for mark in marks if mark.stem.isdecimal())
    return [v for v in versions if Cache().load_from_cache(handle.with_version(v))]
