"""Standard streams of a command."""

import io
import sys


def use_utf_8() -> None:
    """Encode all output as UTF-8. The encoding of some systems lacks characters of class names."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
