"""Fonts of the figures: lookup of installed fonts, names without a glyph, and text widths.

matplotlib draws each character with the first font of a list that has a glyph for it. It also
shapes scripts such as Arabic and Devanagari, and orders right-to-left text.
"""

import logging
import unicodedata
from functools import cache
from hashlib import sha256

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from skin_lesions.reporting.formatting import NBSP

log = logging.getLogger(__name__)

# DejaVu Sans is part of matplotlib. The other families are used if the system has them.
_FAMILIES = (
    "DejaVu Sans",
    "Noto Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "Noto Sans Bengali",
    "Noto Sans Thai",
    "WenQuanYi Zen Hei",
    "Arial Unicode MS",
    "Hiragino Sans",
    "PingFang SC",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Nirmala UI",
)
# One character of each script that has no font in the list above on some systems. For each of
# them, one other installed family is used: Chinese, Japanese, Korean, Arabic, Hebrew, nine scripts
# of India and Sri Lanka, Thai, Lao, Burmese, Khmer, Armenian, Georgian, Ethiopic, and emoji.
_SCRIPTS = "中あ한مאहবਕગதతಕമසกລမកՀქአ🩺"
# This font of matplotlib has the same box for all characters of a script.
_BOXES = "Last Resort High-Efficiency"
_LEFT_TO_RIGHT_MARK = "\u200e"
_INVISIBLE = frozenset({NBSP, "\u200c", "\u200d", _LEFT_TO_RIGHT_MARK})  # spaces and joiners


@cache
def installed_fonts() -> list[str]:
    """Return the font families for all texts, in order of preference."""
    installed = set(font_manager.fontManager.get_font_names())
    families = [family for family in _FAMILIES if family in installed]
    missing = {ord(c) for c in _SCRIPTS}
    for family in families:
        missing -= _characters(family)
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda entry: entry.name):
        if missing and entry.name not in families and entry.name != _BOXES:
            found = {code for code in missing if _has_glyph(entry.fname, code)}
            if found:
                families.append(entry.name)
                missing -= found
    return families


def _has_glyph(file: str, code: int) -> bool:
    try:
        font = FT2Font(file)
    except (OSError, RuntimeError):  # a format that FreeType does not support
        return False
    return font.scalable and font.get_char_index(code) != 0  # emoji bitmaps are not scalable


@cache
def _characters(family: str) -> frozenset[int]:
    """Return the characters that the family has in normal and in bold."""
    normal, bold = (
        font_manager.get_font(_face(family, weight)).get_charmap() for weight in ("normal", "bold")
    )
    return frozenset(normal.keys() & bold.keys())


@cache
def _face(family: str, weight: str) -> str:
    return font_manager.findfont(font_manager.FontProperties(family=family, weight=weight))


@cache
def _supported_characters() -> frozenset[int]:
    return frozenset[int]().union(*(_characters(family) for family in installed_fonts()))


def escape_missing_glyphs(text: str) -> str:
    r"""Replace characters without a glyph in the installed fonts by escapes such as ``\u65e5``.

    With empty boxes instead, all names of an unsupported script would look the same. The parts of a
    text around right-to-left words remain in their order.
    """
    supported = _supported_characters()
    escaped = "".join(
        c
        if (c.isprintable() or c in _INVISIBLE) and ord(c) in supported
        else c.encode("unicode_escape").decode()
        for c in text
    )
    if any(unicodedata.bidirectional(c) in ("R", "AL") for c in escaped):
        return f"{_LEFT_TO_RIGHT_MARK}{escaped}{_LEFT_TO_RIGHT_MARK}"
    return escaped


def figure_name(label: str) -> str:
    """Return the text for a class in figures: its name, or its code (see ``figure_code``)."""
    code = figure_code(label)
    if code is not None:
        _warn_once()
        return code
    return escape_missing_glyphs(label)


def figure_code(label: str) -> str | None:
    """Return a code such as ``class 5d2b18`` if no installed font can draw the name of a class.

    The code depends only on the name, so it is the same in all figures. The report lists it.
    """
    supported = _supported_characters()
    if all(ord(c) in supported for c in label if c.isprintable()):
        return None
    return f"class {sha256(label.encode()).hexdigest()[:6]}"


@cache
def _warn_once() -> None:
    log.warning(
        "No installed font has all characters of some class names. Figures show codes for these "
        "classes, and the report lists the codes. Fix: install a font for this script, for example "
        "of the Noto fonts, and run the same command again."
    )


@cache
def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Estimate the width of a text in points."""
    font = font_manager.get_font([_face(family, weight) for family in installed_fonts()])
    font.set_size(100, 72)  # points, dots per inch; a large size has small rounding errors
    font.set_text(text)
    return size / 100 * font.get_width_height()[0] / 64
