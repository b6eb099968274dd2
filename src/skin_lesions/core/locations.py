"""Paths and URLs that users give, and their form without secrets.

Results and logs must reveal neither credentials nor the folders of a machine.
"""

import re
from pathlib import Path

from skin_lesions.core.text import encodable

# A URL in a text ends before a blank, or before the scheme of another URL.
_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]+)://(?P<rest>(?:(?![a-z][a-z0-9+.-]+://)\S)*)", re.IGNORECASE
)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[\w.-]*)(:\d+)?", re.IGNORECASE)
_PUNCTUATION = "'\".,;:)]"


def url_scheme(location: str) -> str:
    r"""Return the scheme of a URL, and an empty text for a path.

    >>> url_scheme("https://host/x.pth"), url_scheme("C:\\x.pth"), url_scheme("/x.pth")
    ('https', '', '')
    """
    match = _URL.match(location)
    return match["scheme"].lower() if match else ""


def redact(location: str) -> str:
    """Return what results may store: the last part of a path, a URL without secrets.

    >>> redact("/home/me/private/model.pth"), redact("https://me:key@host/x.pth?token=key#top")
    ('model.pth', 'https://host/x.pth')
    >>> redact("file:///home/me/model.pth"), redact("imagenet")
    ('model.pth', 'imagenet')
    """
    if url_scheme(location) in {"", "file"}:
        return encodable(Path(location).name) or location
    return redact_urls(location)


def redact_urls(text: str) -> str:
    """Remove user, password, query and fragment from each URL in a text.

    >>> redact_urls("(see https://me:key@host:80/x?token=key), file:///data/x")
    '(see https://host:80/x), file:///data/x'
    """
    return _URL.sub(_without_secrets, text)


def _without_secrets(url: re.Match[str]) -> str:
    address = url["rest"].rstrip(_PUNCTUATION)
    after = url["rest"][len(address) :]
    visible = re.split("[?#]", address, maxsplit=1)[0]
    authority, slash, path = visible.partition("/")
    host = authority.rpartition("@")[2]
    # A password with a slash continues in the path, where it cannot be recognized.
    if "@" in path or not _HOST.fullmatch(host):
        return f"{url['scheme']}://...{after}"
    return f"{url['scheme']}://{host}{slash}{path}{after}"


def abbreviate_home(path: Path) -> str:
    """Return a path for the log, with ``~`` instead of the home folder."""
    try:
        return str("~" / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):  # outside the home folder; there is no home folder
        return str(path)
