"""Download of one file over HTTP, with limits for its size and duration.

The library function ``torch.hub.download_url_to_file`` has no limits, and follows redirects from
https:// to http://.
"""

import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse, InvalidURL
from typing import IO
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from skin_lesions.core.atomic_files import format_bytes
from skin_lesions.core.errors import InputError
from skin_lesions.core.locations import redact
from skin_lesions.core.text import format_duration, printable

_CHUNK_SIZE = 1 << 20  # bytes
_FIX = "Download the file with another program, and set train.weights to its path"


@dataclass(frozen=True, kw_only=True)
class DownloadLimits:
    """Limits of a download.

    Attributes:
        max_bytes: Maximum size of the file. The largest published weights have about 8 GB.
        max_seconds: Maximum duration.
        timeout: Maximum time in seconds to connect, and between two parts of a response.
    """

    max_bytes: int = 20_000_000_000
    max_seconds: float = 6 * 3600
    timeout: float = 60


DEFAULT_LIMITS = DownloadLimits()


class DownloadError(Exception):
    """A server cannot be reached, or does not return the complete file; the text is the reason."""


def download(
    url: str, *, allow_http: bool, limits: DownloadLimits = DEFAULT_LIMITS
) -> Generator[bytes, None, None]:
    """Yield the content of a file in chunks; show a progress bar in a terminal.

    Args:
        url: http:// or https://.
        allow_http: Whether https:// may redirect to http://.
        limits: Limits of the download.

    Raises:
        DownloadError: The network or the server fails.
        InputError: A limit is exceeded, the content is compressed, or a redirect is not allowed.
    """
    deadline = time.monotonic() + limits.max_seconds
    opener = build_opener(_RedirectPolicy(allow_http=allow_http))
    # With the user agent of torch.hub: some servers reject that of urllib.
    headers = {"User-Agent": "torch.hub", "Accept-Encoding": "identity"}
    try:
        with (
            opener.open(Request(url, headers=headers), timeout=limits.timeout) as response,  # noqa: S310 (http or https)
            Progress(BarColumn(), DownloadColumn(), TimeRemainingColumn(), transient=True) as bar,
        ):
            bar.disable = not sys.stderr.isatty()
            task = bar.add_task("download", total=response.length)
            for chunk in _chunks(response, limits, deadline, printable(redact(url))):
                bar.advance(task, len(chunk))
                yield chunk
    except (UnicodeError, InvalidURL) as error:
        # The text of the error contains the URL, and so its secrets.
        raise DownloadError("the URL contains characters that are not allowed") from error
    except (OSError, HTTPException) as error:
        # The text of a redirect loop has more lines.
        reason = str(error).removeprefix("<urlopen error ").removesuffix(">").partition("\n")[0]
        reason = reason.removesuffix(".")
        raise DownloadError(printable(reason)) from error


def _chunks(
    response: HTTPResponse, limits: DownloadLimits, deadline: float, called: str
) -> Generator[bytes, None, None]:
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise InputError(
            f"The server compresses the file {called} (Content-Encoding: {printable(encoding)}). "
            f"Expected an unchanged file. {_FIX}"
        )
    expected = response.length  # None if the server does not send it
    size = 0
    while True:
        if max(size, expected or 0) > limits.max_bytes:
            raise InputError(
                f"The file {called} has more than {format_bytes(limits.max_bytes)}, the maximum "
                f"size of a download. Correct train.weights. Or: {_FIX[0].lower()}{_FIX[1:]}"
            )
        if time.monotonic() > deadline:
            raise InputError(
                f"The download of {called} was stopped after "
                f"{format_duration(limits.max_seconds)}, with {format_bytes(size)}. {_FIX}"
            )
        # At most one part of the response, so that a slow server cannot delay the checks.
        chunk = response.read1(_CHUNK_SIZE)
        if not chunk:
            break
        size += len(chunk)
        yield chunk
    if expected is not None and size < expected:
        raise ConnectionError(f"the server sent only {size} of {expected} bytes")


class _RedirectPolicy(HTTPRedirectHandler):
    """Follows redirects to https://, and to http:// only if nothing is lost by it."""

    def __init__(self, *, allow_http: bool):
        self._allow_http = allow_http

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Return the next request.

        Raises:
            InputError: The new URL is not allowed.
        """
        scheme = urlsplit(newurl).scheme
        is_downgrade = req.type == "https" and scheme == "http" and not self._allow_http
        if is_downgrade or scheme not in {"http", "https"}:
            source, target = printable(redact(req.full_url)), printable(redact(newurl))
            raise InputError(
                f"{source} redirects to {target}, and files from {scheme}:// can be changed in "
                "transit. Set train.weights_sha256, or download the file and set train.weights to "
                "its path"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)
