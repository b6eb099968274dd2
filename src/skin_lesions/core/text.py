"""Text for messages: printable names, suggestions for misspelled names, root causes."""

import difflib
from collections.abc import Collection


def suggest(name: str, known: Collection[str], limit: int = 1, listing: str | None = None) -> str:
    """Suggest up to ``limit`` names similar to a misspelled one, or list the known names.

    ``listing`` replaces the list of all known names.

    >>> suggest("Foldr", ["demo", "folder"]), suggest("x", ["demo", "folder"])
    ('did you mean folder?', 'expected one of demo, folder')
    """
    close = difflib.get_close_matches(name.lower(), known, n=limit)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return listing or f"expected one of {', '.join(known)}"


def printable(text: object) -> str:
    r"""Escape the control characters in a name from outside, so that it is safe to print.

    >>> printable("naevus 日本.jpg"), printable("a\x1b[2Jb\n.jpg")
    ('naevus 日本.jpg', 'a\\x1b[2Jb\\n.jpg')
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def root_cause(error: BaseException) -> str:
    """Return the reason for a failed request, without the wrapping objects and addresses."""
    inner: object = error.args[0] if error.args else error
    inner = getattr(inner, "reason", inner)
    # The error of a proxy repeats the error that it wraps: "wrapper: reason".
    return str(getattr(inner, "original_error", inner)).rpartition(": ")[2]
