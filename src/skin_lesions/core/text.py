"""Text: counts, normalized and printable names, suggestions, root causes."""

import difflib
import os
import unicodedata
from collections.abc import Collection

_JOINERS = "\u200c\u200d"  # zero-width non-joiner and joiner


def pluralize(n: int, one: str, many: str | None = None) -> str:
    """Format a number with its noun.

    >>> pluralize(1, "file"), pluralize(2000, "class", "classes")
    ('1 file', '2,000 classes')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def suggest(name: str, known: Collection[str], limit: int = 1, listing: str | None = None) -> str:
    """Suggest up to ``limit`` names similar to a misspelled one, or list the known names.

    ``listing`` replaces the list of all known names.

    >>> suggest("Foldr", ["demo", "folder"]), suggest("x", ["demo", "folder"])
    ('did you mean folder?', 'expected one of demo, folder')
    """
    close = similar_names(name, known, limit)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return listing or f"expected one of {', '.join(known)}"


def similar_names(name: str, known: Collection[str], limit: int = 1) -> list[str]:
    """Return up to ``limit`` known names similar to a name. Case and outer spaces are ignored.

    >>> similar_names("melanom ", ["Nevus", "Melanoma"]), similar_names("x", ["Nevus"])
    (['Melanoma'], [])
    """
    folded = {other.casefold().strip(): other for other in known}
    close = difflib.get_close_matches(name.casefold().strip(), folded, n=limit)
    return [folded[other] for other in close]


def normalize_name(name: str) -> str:
    """Return a name in Unicode normal form C."""
    # macOS stores é as e plus an accent. Without normalization, two names that look the same
    # would be two different classes or keys.
    return unicodedata.normalize("NFC", name)


def without_invisible(text: str) -> str:
    r"""Remove characters that cannot be seen, such as the zero-width space.

    Joiners between letters of other scripts than Latin are kept, because some languages need them.

    >>> without_invisible("mela\u200bnoma"), without_invisible("\u200fnv\ufeff")
    ('melanoma', 'nv')
    """
    kept = [
        c
        for i, c in enumerate(text)
        if unicodedata.category(c) not in {"Cf", "Cc"}
        or (c in _JOINERS and min(text[i - 1 : i], text[i + 1 : i + 2]) > "\u024f")
    ]
    return "".join(kept)


def encodable(name: str) -> str:
    """Return the name of a file as text that UTF-8 can encode; other bytes are escaped."""
    try:
        name.encode()
    except UnicodeEncodeError:  # Python represents bytes that it cannot decode by surrogates
        return os.fsencode(name).decode(errors="backslashreplace")
    return name


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


def format_duration(seconds: float) -> str:
    """Format a duration in its two largest units.

    >>> format_duration(41.2), format_duration(332), format_duration(7300)
    ('41 s', '5 min 32 s', '2 h 1 min')
    """
    total = round(seconds)
    hours, minutes, rest = total // 3600, total // 60 % 60, total % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
