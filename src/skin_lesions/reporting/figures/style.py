"""Common style of the figures: colors, fonts, text fitting and header.

Figures are created as ``matplotlib.figure.Figure``, never with pyplot. They need no global state
and no screen. They are saved at 150 dots per inch and displayed at two thirds of that, so 10 points
are 14 pixels.
"""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Literal

from matplotlib import RcParams, font_manager, rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from skin_lesions.reporting.formatting import NBSP, is_malignant

# Palette of Okabe and Ito (2008), which color-blind readers can distinguish. INK replaces black.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
VERMILLION, SKY = "#D55E00", "#56B4E9"
INK, GRAY, PALE = "#1F2328", "#6B7280", "#D5D9DF"
SPLIT_COLORS = {"train": SKY, "val": ORANGE, "test": BLUE, "not used": PALE}
# Vermillion text on white has too little contrast; this color has a contrast ratio of 5.6.
MALIGNANT_NAME = "#A84300"

SYNTHETIC_NOTICE = "Synthetic images: this figure says nothing about real skin"

BODY, SMALL, TITLE = 10.0, 9.0, 13.0  # points
_MAX_NAME_LENGTH = 40  # characters
ROW_HEIGHT = 0.31  # inches, for one class in a list
_WIDTH_RESERVE = 1.02  # a text saved at 150 dots per inch is up to 2 % wider than text_width
_PAD, _MARGIN = 8.0, 4.0  # points: above and below the header; left and right

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


@contextmanager
def titled_figure(
    size: tuple[float, float], title: str, *, note: str = "", synthetic: bool
) -> Iterator[Figure]:
    """Yield an empty figure in the common style, with title, note and space for the axes.

    Args:
        size: Width and height of the area below the header, inches.
        title: The result in one sentence; wrapped to the width.
        note: How to read the figure; smaller and gray, below the title.
        synthetic: Whether to write at the top that the images are synthetic.
    """
    with rc_context(_style()):
        lines = _header_lines(size[0], title, note, synthetic=synthetic)
        header = sum(line.height for line in lines) + 2 * _PAD
        height = size[1] + header / 72
        figure = Figure(figsize=(size[0], height))
        _write_header(figure, lines)
        # Left, bottom, width and height of the area below the header, in fractions of the figure.
        area = (0.0, 0.0, 1.0, size[1] / height)
        figure.set_layout_engine("constrained", rect=area, h_pad=0.06, w_pad=_MARGIN / 72)
        yield figure
        # Creates all ticks now. Ticks created by a later savefig would not have this style.
        figure.draw_without_rendering()


def _style() -> RcParams:
    style = {
        "font.family": installed_fonts(),
        "font.size": BODY,
        "text.parse_math": False,  # class names may contain dollar signs
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": GRAY,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": BODY,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.axisbelow": True,
        "axes.unicode_minus": False,
        "grid.color": "#E7E9ED",
        "grid.linewidth": 0.8,
        "xtick.color": GRAY,
        "ytick.color": GRAY,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "legend.frameon": False,
        "legend.fontsize": SMALL,
        "figure.facecolor": "white",
        "axes.facecolor": "white",
    }
    return RcParams(style)


@dataclass(frozen=True, kw_only=True)
class _HeaderLine:
    """A line above the axes; sizes and heights are points."""

    text: str
    height: float
    size: float
    weight: Literal["normal", "bold"] = "normal"
    color: str = INK


def _header_lines(width: float, title: str, note: str, *, synthetic: bool) -> list[_HeaderLine]:
    """Return the lines of the header of a figure of this width (inches)."""
    points = width * 72 - 2 * _MARGIN
    lines = []
    if synthetic:
        lines.append(_HeaderLine(text=SYNTHETIC_NOTICE, height=25.0, size=SMALL))
    lines += [
        _HeaderLine(text=text, height=TITLE * 1.35, size=TITLE, weight="bold")
        for text in wrap_text(escape_missing_glyphs(title), points, TITLE, "bold")
    ]
    lines += [
        _HeaderLine(text=text, height=SMALL * 1.5, size=SMALL, color=GRAY)
        for text in wrap_text(escape_missing_glyphs(note), points, SMALL)
    ]
    return lines


def _write_header(figure: Figure, lines: Sequence[_HeaderLine]) -> None:
    width, height = figure.get_size_inches() * 72
    box = {"boxstyle": "round,pad=0.35", "facecolor": "#FFE9BF", "edgecolor": ORANGE}
    top = height - _PAD
    for line in lines:
        boxed = line.text == SYNTHETIC_NOTICE
        shift = 4.0 if boxed else 0.0  # padding of the box
        figure.text(
            (_MARGIN + shift) / width,
            (top - shift) / height,
            line.text,
            va="top",
            fontsize=line.size,
            fontweight=line.weight,
            color=line.color,
            bbox=box if boxed else None,
        )
        top -= line.height


def wrap_text(text: str, width: float, size: float, weight: str = "normal") -> list[str]:
    """Wrap a text into the fewest lines that fit a width in points, of about equal length."""
    fitting: list[str] = []
    for characters in range(len(text), 0, -1):
        lines = textwrap.wrap(text, characters, break_on_hyphens=False)
        if fitting and len(lines) > len(fitting):
            break
        if all(_WIDTH_RESERVE * text_width(line, size, weight) <= width for line in lines):
            fitting = lines
    return fitting


@cache
def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Estimate the width of a text in points."""
    font = font_manager.get_font([_face(family, weight) for family in installed_fonts()])
    font.set_size(100, 72)  # points, dots per inch; a large size has small rounding errors
    font.set_text(text)
    return size / 100 * font.get_width_height()[0] / 64


@cache
def _face(family: str, weight: str) -> str:
    return font_manager.findfont(font_manager.FontProperties(family=family, weight=weight))


@cache
def installed_fonts() -> list[str]:
    """Return the font families installed on this machine, in order of preference."""
    installed = set(font_manager.fontManager.get_font_names())
    return [family for family in _FAMILIES if family in installed]


@cache
def _supported_characters() -> frozenset[int]:
    characters: set[int] = set()
    for family in installed_fonts():
        faces = [
            set(font_manager.get_font(_face(family, weight)).get_charmap())
            for weight in ("normal", "bold")
        ]
        characters |= faces[0] & faces[1]
    return frozenset(characters)


def escape_missing_glyphs(text: str) -> str:
    r"""Replace characters without a glyph in the installed fonts by escapes such as ``\u65e5``.

    With empty boxes instead, all names of an unsupported script would look the same.
    """
    supported = _supported_characters()
    return "".join(
        c
        if (c.isprintable() or c == NBSP) and ord(c) in supported
        else c.encode("unicode_escape").decode()
        for c in text
    )


def class_name(label: str) -> str:
    """Return a class name with drawable characters, without its middle if it is very long."""
    name = escape_missing_glyphs(label)
    if len(name) <= _MAX_NAME_LENGTH:
        return name
    return f"{name[: _MAX_NAME_LENGTH - 13]}…{name[-12:]}"


def ellipsize(text: str, width: float, size: float, weight: str = "normal") -> str:
    """Return a text with drawable characters, without its middle if it is wider than ``width``.

    Args:
        text: Any text.
        width: Maximum width, points.
        size: Font size, points.
        weight: Font weight.
    """
    full = escape_missing_glyphs(text)
    length = len(full)
    short = full
    while text_width(short, size, weight) > width and length > 1:
        length -= 1
        short = f"{full[: length // 2]}…{full[len(full) - (length - length // 2) :]}"
    return short


def name_width(names: Sequence[str], size: float = SMALL) -> float:
    """Return the width of the widest name, inches."""
    return max(text_width(name, size) for name in names) / 72


def mark_malignant(axes: Axes, labels: Sequence[str], axis: str = "y") -> None:
    """Color the tick labels of malignant classes."""
    ticks = axes.get_yticklabels() if axis == "y" else axes.get_xticklabels()
    for tick, label in zip(ticks, labels, strict=True):
        if is_malignant(label):
            tick.set_color(MALIGNANT_NAME)


def percent_axis(axis: Axis) -> None:
    """Format the tick labels of an axis of fractions in percent, as in the text."""
    axis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))


def rows_axis(axes: Axes, labels: Sequence[str]) -> None:
    """Turn the y axis into a list of names, with the first name at the top."""
    axes.set_yticks(range(len(labels)), [class_name(label) for label in labels])
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def write_beside_rows(axes: Axes, texts: Sequence[str]) -> None:
    """Write a text to the right of each row of a list."""
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(texts)), texts)
    right.tick_params(length=0, labelcolor=INK)
    right.spines[:].set_visible(False)
