"""Escaping of untrusted text in Markdown."""

import html
import re


def markdown_text(value: object) -> str:
    r"""Escape text so that Markdown displays it unchanged, also in tables.

    >>> print(markdown_text("a_b|<i>"))
    a\_b\|&lt;i&gt;
    """
    one_line = html.escape(" ".join(str(value).split()), quote=False)
    escaped = re.sub(r"([\\`*_{}\[\]|~$])", r"\\\1", one_line)
    # At the start of a line, these characters would begin a heading or a list.
    return re.sub(r"^(\d*)([#+.)-])(?=[\s#+-]|$)", r"\1\\\2", escaped)


def markdown_code(value: object) -> str:
    """Format text as inline code.

    Backticks would end the code and bars the table cell, so they are replaced.
    """
    one_line = " ".join(str(value).split()).replace("`", "'").replace("|", "/")
    return f"`{one_line}`"
