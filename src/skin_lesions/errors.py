"""The one error for what a user can mend: it names the thing, what was expected, and the remedy."""

from typing import Any


class InputError(ValueError):
    """Something given to us (a folder, a table, a parameter, a file) cannot be used as it is.

    The command line shows its text alone, without a traceback.
    """


def shown(text: object) -> str:
    r"""Make a name that others chose safe to print: what would steer a terminal is spelt out.

    >>> shown("naevus 日本.jpg"), shown("a\x1b[2Jb\n.jpg")
    ('naevus 日本.jpg', 'a\\x1b[2Jb\\n.jpg')
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def innermost_reason(error: BaseException) -> str:
    """Return why a request failed, without the objects and addresses that wrap the reason."""
    inner: Any = error.args[0] if error.args else error
    inner = getattr(inner, "reason", inner)
    return str(getattr(inner, "original_error", inner)).rpartition(": ")[2]  # of a proxy
