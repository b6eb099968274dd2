"""What all figures share: colours, fonts, and a header that says what is found.

Figures are ``matplotlib.figure.Figure``, never pyplot: they hold no global state and need no screen.
They are drawn for 150 dots per inch and shown at two thirds of that, so 10 points are 14 pixels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

from matplotlib import font_manager, rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.reporting.figures.titles import NBSP

# Okabe and Ito (2008), told apart by colour-blind readers too; black is softened to INK.
BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
VERMILLION, SKY = "#D55E00", "#56B4E9"
INK, GRAY, PALE = "#1F2328", "#6B7280", "#D5D9DF"
SPLIT_COLORS = {"train": SKY, "val": ORANGE, "test": BLUE, "not used": PALE}
# Vermillion text on white is too light to read; this one has a contrast of 5.6.
MALIGNANT_NAME = "#A84300"

SYNTHETIC_NOTICE = "Generated images: this says nothing about real skin"

BODY, SMALL, TITLE = 10.0, 9.0, 13.0
_LONGEST_NAME = 40
ROW_HEIGHT = 0.31  # inches, of one class in a list
_PAD, _MARGIN = 8.0, 4.0  # points: above and below the header; at the sides

# DejaVu Sans comes with matplotlib; the others serve where the system has them.
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
    """Give an empty figure in the house style, with a title, a note below it and room for the rest.

    Args:
        size: Width and height of the part below the header, inches.
        title: The finding, one sentence; wrapped to the width.
        note: How to read the figure; smaller and grey.
        synthetic: Say at the top that the images were generated.
    """
    with rc_context(cast(Any, _style())):
        lines = _header_lines(size[0], title, note, synthetic)
        header = sum(height for _, height, _ in lines) + 2 * _PAD
        height = size[1] + header / 72
        figure = Figure(figsize=(size[0], height))
        _write(figure, lines)
        room = (0.0, 0.0, 1.0, size[1] / height)
        figure.set_layout_engine("constrained", rect=room, h_pad=0.06, w_pad=_MARGIN / 72)
        yield figure
        # Makes all ticks now: those made by a later savefig would not have this style.
        figure.draw_without_rendering()


def _style() -> dict[str, Any]:
    return {
        "font.family": installed_fonts(),
        "font.size": BODY,
        "text.parse_math": False,  # class names may hold dollar signs
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


def _header_lines(
    width: float, title: str, note: str, synthetic: bool
) -> list[tuple[str, float, dict[str, Any]]]:
    """Return text, height in points and style of each line."""
    points = width * 72 - 2 * _MARGIN
    tag = {
        "fontsize": SMALL,
        "color": INK,
        "bbox": {"boxstyle": "round,pad=0.35", "facecolor": "#FFE9BF", "edgecolor": ORANGE},
    }
    lines = [(SYNTHETIC_NOTICE, 25.0, tag)] if synthetic else []
    for line in wrap_text(escape_missing_glyphs(title), points, TITLE, "bold"):
        lines.append((line, TITLE * 1.35, {"fontsize": TITLE, "fontweight": "bold"}))
    for line in wrap_text(escape_missing_glyphs(note), points, SMALL):
        lines.append((line, SMALL * 1.5, {"fontsize": SMALL, "color": GRAY}))
    return lines


def _write(figure: Figure, lines: list[tuple[str, float, dict[str, Any]]]) -> None:
    width, height = figure.get_size_inches() * 72
    top = height - _PAD
    for text, tall, style in lines:
        shift = 4.0 if "bbox" in style else 0.0
        figure.text((_MARGIN + shift) / width, (top - shift) / height, text, va="top", **style)
        top -= tall


def wrap_text(text: str, width: float, size: float, weight: str = "normal") -> list[str]:
    """Break a text into as few lines as fit a width in points, of about equal length."""
    lines = _greedy_lines(text, width, size, weight)
    while len(lines) > 1:
        narrower = _greedy_lines(text, 0.97 * width, size, weight)
        if len(narrower) > len(lines) or width < size:
            break
        lines, width = narrower, 0.97 * width
    return lines


def _greedy_lines(text: str, width: float, size: float, weight: str) -> list[str]:
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size, weight) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Return about how wide a drawable text is, points."""
    words = text.split(" ")
    space = _word_width("a b", weight) - _word_width("ab", weight)
    return (
        size / 100 * (sum(_word_width(word, weight) for word in words) + space * (len(words) - 1))
    )


@cache
def _word_width(word: str, weight: str) -> float:
    """Return the width at 100 points."""
    font = font_manager.get_font([_face(family, weight) for family in installed_fonts()])
    font.set_size(100, 72)
    font.set_text(word)
    return font.get_width_height()[0] / 64


@cache
def _face(family: str, weight: str) -> str:
    return font_manager.findfont(font_manager.FontProperties(family=family, weight=weight))


@cache
def installed_fonts() -> list[str]:
    """Return the font families that this machine has, in the order in which they are tried."""
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
    r"""Write characters that no font of this machine has by their number, as ``\u65e5``.

    Boxes in their place would make all names of a script look the same.
    """
    known = _supported_characters()
    return "".join(
        c
        if (c.isprintable() or c == NBSP) and ord(c) in known
        else c.encode("unicode_escape").decode()
        for c in text
    )


def class_name(label: str) -> str:
    """Return a class name as figures show it: drawable, and its middle left out if very long."""
    name = escape_missing_glyphs(label)
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 13]}…{name[-12:]}"


def ellipsize(text: str, width: float, size: float, weight: str = "normal") -> str:
    """Return a text in drawable characters, its middle left out if it is wider than so many points."""
    whole = escape_missing_glyphs(text)
    kept = len(whole)
    short = whole
    while text_width(short, size, weight) > width and kept > 1:
        kept -= 1
        short = f"{whole[: kept // 2]}…{whole[len(whole) - (kept - kept // 2) :]}"
    return short


def name_width(names: list[str], size: float = SMALL) -> float:
    """Return how wide the widest name is, inches."""
    return max(text_width(name, size) for name in names) / 72


def is_malignant(label: str) -> bool:
    """Say whether a class is a known malignant diagnosis."""
    diagnosis = diagnosis_of(label)
    return diagnosis is not None and diagnosis.malignant


def mark_malignant(axes: Axes, labels: list[str], axis: str = "y") -> None:
    """Colour the tick labels of malignant classes."""
    ticks = axes.get_yticklabels() if axis == "y" else axes.get_xticklabels()
    for tick, label in zip(ticks, labels, strict=True):
        if is_malignant(label):
            tick.set_color(MALIGNANT_NAME)


def percent_axis(axis: Axis) -> None:
    """Write the shares of an axis in percent, as the text does."""
    axis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))


def rows_axis(axes: Axes, labels: list[str]) -> None:
    """Make the y axis a list of classes, the first at the top."""
    axes.set_yticks(range(len(labels)), [class_name(label) for label in labels])
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    mark_malignant(axes, labels)


def write_beside_rows(axes: Axes, words: list[str]) -> None:
    """Write a text at the right of each row of a list."""
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(words)), words)
    right.tick_params(length=0, labelcolor=INK)
    right.spines[:].set_visible(False)
