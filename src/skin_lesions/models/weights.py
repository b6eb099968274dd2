"""Weights files: location or download of initial weights, and verification of their sha256."""

import hashlib
import logging
import re
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import url2pathname

import torch

from skin_lesions.core.atomic_files import atomic_write
from skin_lesions.core.errors import InputError
from skin_lesions.core.locations import abbreviate_home, redact, url_scheme
from skin_lesions.core.text import printable
from skin_lesions.models.bundle_files import WEIGHTS, is_bundle
from skin_lesions.models.downloads import DEFAULT_LIMITS, DownloadError, DownloadLimits, download
from skin_lesions.models.state_dicts import load_tensors

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeightsFile:
    """A local weights file and the sha256 of its content."""

    path: Path
    sha256: str


def resolve_weights(
    weights: str,
    sha256: str | None,
    *,
    hash_in_filename: bool = False,
    limits: DownloadLimits = DEFAULT_LIMITS,
) -> WeightsFile:
    """Return a local weights file; a URL is downloaded once.

    Downloads are saved in the cache folder of torch, so that torch and this project reuse each
    other's files.

    Args:
        weights: A URL, or the path of a file or of a model bundle. The file of a bundle is the one
            with its tensors.
        sha256: Expected sha256, 64 hex digits. A file without a sha256 is not verified.
        hash_in_filename: The filename ends with the first digits of the sha256, as in torchvision.
        limits: Limits of a download.

    Raises:
        InputError: The file does not exist, cannot be read, downloaded or saved, or has another
            sha256.
    """
    expected = [sha256]
    if url_scheme(weights) in {"http", "https"}:
        name = _cache_name(weights, is_unique=hash_in_filename)
        path = Path(torch.hub.get_dir()) / "checkpoints" / name
        if hash_in_filename:
            expected.append(sha256_in_filename(name))
        _download_once(weights, path, expected, limits)
        fix = f"Delete it (rm {path}) and run again, or correct train.weights_sha256"
    else:
        path = _local_path(weights)
        fix = "Get the file again, or correct train.weights_sha256"
    actual = _verify_sha256(path, expected, str(path), fix)
    log.info("Weights: %s (sha256 %s)", path.name, actual)
    return WeightsFile(path, actual)


def sha256_in_filename(name: str) -> str | None:
    """Return the first digits of the sha256 in a filename, as torchvision writes them.

    >>> sha256_in_filename("resnet18-f37072fd.pth"), sha256_in_filename("vit_base.pth")
    ('f37072fd', None)
    """
    match = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    return match.group(1) if match else None


def _cache_name(url: str, *, is_unique: bool) -> str:
    """Return the filename of a download: the name that torch uses if it is unique to this URL."""
    name = re.sub(r"[^\w.-]", "_", PurePosixPath(urlsplit(url).path).name)[-100:]
    return name if is_unique else f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.{name}"


def _download_once(
    url: str, path: Path, expected: list[str | None], limits: DownloadLimits
) -> None:
    """Download a file that does not exist yet, so that ``path`` is never incomplete or wrong."""
    shown = printable(redact(url))
    called = f"The file from {shown}"
    # The first digits of a sha256, as in a filename, are too few against a deliberate change.
    is_pinned = any(digits is not None and len(digits) == 64 for digits in expected)
    try:
        if path.exists():
            return
        log.info("Downloading %s to %s", shown, abbreviate_home(path))
        with atomic_write(path) as partial:
            chunks = download(url, allow_http=is_pinned, limits=limits)
            with closing(chunks), partial.open("wb") as file:
                file.writelines(chunks)
            _verify_sha256(partial, expected, called, "Nothing was saved. Run again")
            fix = "Nothing was saved. Run again, or correct train.weights"
            load_tensors(partial, fix, called=called)
    except DownloadError as error:
        raise InputError(
            f"Weights could not be downloaded from {shown}: {error}. "
            "Run the same command again later. Or download this file on another machine and put "
            f"it at {path}, or anywhere, with --params train.weights=/path/to/the/file. To train "
            "from random weights: --params train.weights=none"
        ) from error
    except OSError as error:
        raise InputError(
            f"Weights cannot be saved in {path.parent}: {printable(error.strerror or error)}. Free "
            "some space there and check its permissions, or choose another folder with the "
            "environment variable TORCH_HOME"
        ) from error


def _verify_sha256(path: Path, expected: list[str | None], called: str, fix: str) -> str:
    """Return the sha256 of a file, if it starts with all expected digits."""
    try:
        status = path.stat()
        actual = _sha256(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise InputError(
            f"{called} cannot be read: {printable(error.strerror or error)}. Check its permissions"
        ) from error
    for digits in filter(None, expected):
        if not actual.startswith(digits):
            dots = "..." if len(digits) < len(actual) else ""
            raise InputError(
                f"{called} is not the expected file: its sha256 is {actual}, expected "
                f"{digits}{dots}. {fix}"
            )
    return actual


@lru_cache(maxsize=8)
def _sha256(path: Path, mtime_ns: int, size: int) -> str:  # noqa: ARG001 (keys of the cache)
    """Hash each version of a file once: a run needs it for the preflight and for the training."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _local_path(weights: str) -> Path:
    scheme = url_scheme(weights)
    if scheme == "file":
        path = Path(url2pathname(urlsplit(weights).path))
    elif scheme:
        raise InputError(
            f"train.weights {printable(redact(weights))!r}: {scheme}:// is not supported. Expected "
            "file://, https://, or http:// with train.weights_sha256"
        )
    else:
        path = Path(weights)
    if is_bundle(path):
        return path / WEIGHTS
    if not path.is_file():
        raise InputError(
            f"train.weights: there is no file {printable(path.resolve())}. "
            "Expected imagenet, none, a URL, the path of a file, or the folder of a model bundle"
        )
    return path
