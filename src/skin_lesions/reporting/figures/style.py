"""Common style of the figures: colors, text fitting, header and legend.

Figures are created as ``matplotlib.figure.Figure``, never with pyplot. They need no global state
and no screen. They are saved at 150 dots per inch and displayed at two thirds of that, so 10 points
are 14 pixels.
"""

import textwrap
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib import RcParams, rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter
from matplotlib.typing import ColorType

from skin_lesions.metrics.intervals import FEW_IMAGES
from skin_lesions.reporting.figures.fonts import (
    escape_missing_glyphs,
    figure_name,
    installed_fonts,
    text_width,
)

# Text and reference lines. INK replaces black.
INK, GRAY = "#1F2328", "#6B7280"
# Each of the other colors has one meaning in all figures. They are from the palette of Okabe and
# Ito (2008), which color-blind readers can distinguish. MALIGNANT is a darker vermillion, because
# class names in the original color have too little contrast.
TRAIN, VAL, TEST, NOT_USED = "#56B4E9", "#E69F00", "#0072B2", "#D5D9DF"
MALIGNANT, NOT_MALIGNANT = "#A84300", "#4B5563"
CORRECT, WRONG = "#009E73", "#CC79A7"
SPLIT_COLORS = {"train": TRAIN, "val": VAL, "test": TEST, "not used": NOT_USED}
MIN_CONTRAST = 4.5  # of text, WCAG 2.2, level AA

SYNTHETIC_NOTICE = "Synthetic images: this figure says nothing about real skin"

BODY, SMALL, TITLE = 10.0, 9.0, 13.0  # points
_MAX_NAME_LENGTH = 40  # characters
ROW_HEIGHT = 0.31  # inches, for one class in a list
_WIDTH_RESERVE = 1.04  # a text drawn at 100 dots per inch is up to 4 % wider than text_width
_PAD, _MARGIN = 8.0, 4.0  # points: above and below the header; left and right


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
    box = {"boxstyle": "round,pad=0.35", "facecolor": "#FFF7C2", "edgecolor": INK}
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


def class_name(label: str) -> str:
    """Return the name of a class in figures, without its middle if it is very long."""
    return _shorten(figure_name(label))


def short_text(text: str) -> str:
    """Return a text with drawable characters, without its middle if it is very long."""
    return _shorten(escape_missing_glyphs(text))


def _shorten(text: str) -> str:
    if len(text) <= _MAX_NAME_LENGTH:
        return text
    return f"{text[: _MAX_NAME_LENGTH - 13]}…{text[-12:]}"


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


def mark_malignant(
    axes: Axes, labels: Sequence[str], malignant: Collection[str], axis: str = "y"
) -> None:
    """Color the tick labels of malignant classes; ``malignant_names`` explains the color."""
    ticks = axes.get_yticklabels() if axis == "y" else axes.get_xticklabels()
    for tick, label in zip(ticks, labels, strict=True):
        if label in malignant:
            tick.set_color(MALIGNANT)


def malignant_names(malignant: Collection[str]) -> list[Patch]:
    """Return the legend entry for the color of malignant class names, if there are any."""
    if not malignant:
        return []
    return [Patch(color=MALIGNANT, label="name of a malignant class")]


def point(color: ColorType, label: str, marker: str = "o", *, filled: bool = True) -> Line2D:
    """Return the legend entry of a point with its interval."""
    face = color if filled else "white"
    return Line2D([], [], color=color, marker=marker, markerfacecolor=face, label=label)


def few_images_point() -> Line2D:
    """Return the legend entry of the open points of numbers from few images."""
    return Line2D(
        [],
        [],
        linestyle="",
        color=GRAY,
        marker="o",
        markerfacecolor="white",
        label=f"open: fewer than {FEW_IMAGES} images",
    )


def add_legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Add a legend below the axes; there is none without entries."""
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=len(handles))


def text_color_on(background: ColorType) -> str:
    """Return a text color with at least ``MIN_CONTRAST`` on a background.

    One of white and black always has a ratio of at least 4.58, the square root of 21.
    """
    return next(c for c in ("white", INK, "black") if contrast(c, background) >= MIN_CONTRAST)


def contrast(a: ColorType, b: ColorType) -> float:
    """Return the contrast ratio of two colors, 1 to 21.

    Source:
        Web Content Accessibility Guidelines (WCAG) 2.2, "contrast ratio" and "relative luminance".
    """
    channels = np.array([to_rgb(a), to_rgb(b)])  # (2, 3): sRGB, 0 to 1
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    darker, lighter = np.sort(linear @ [0.2126, 0.7152, 0.0722]) + 0.05  # relative luminances
    return float(lighter / darker)


def percent_axis(axis: Axis) -> None:
    """Format the tick labels of an axis of fractions in percent, as in the text."""
    axis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))


def rows_axis(axes: Axes, names: Sequence[str]) -> None:
    """Turn the y axis into a list of names, with the first name at the top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def write_beside_rows(axes: Axes, texts: Sequence[str]) -> None:
    """Write a text to the right of each row of a list."""
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(texts)), texts)
    right.tick_params(length=0, labelcolor=INK)
    right.spines[:].set_visible(False)
