"""Text for messages: safe to print, with suggestions for misspelled names."""

import difflib
from collections.abc import Collection
from typing import Any


def suggest(name: str, known: Collection[str], most: int = 1, listing: str | None = None) -> str:
    """Ask for the names that are like a misspelt one, or say what there is: by default, all.

    >>> did_you_mean("Foldr", ["demo", "folder"]), did_you_mean("x", ["demo", "folder"])
    ('did you mean folder?', 'there are demo, folder')
    """
    close = difflib.get_close_matches(name.lower(), known, n=most)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return listing or f"there are {', '.join(known)}"


def printable(text: object) -> str:
    r"""Make a name that others chose safe to print: what would steer a terminal is spelt out.

    >>> shown("naevus 日本.jpg"), shown("a\x1b[2Jb\n.jpg")
    ('naevus 日本.jpg', 'a\\x1b[2Jb\\n.jpg')
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def root_cause(error: BaseException) -> str:
    """Return why a request failed, without the objects and addresses that wrap the reason."""
    inner: Any = error.args[0] if error.args else error
    inner = getattr(inner, "reason", inner)
    return str(getattr(inner, "original_error", inner)).rpartition(": ")[2]  # of a proxy
