"""Figures with the versions of the data that they show."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

_KEY = "skin_lesions.versions"  # text chunk of the PNG


@dataclass(frozen=True)
class DrawnFigure:
    """A figure; ``versions`` has the version of each data set that it shows, by name."""

    figure: Figure
    versions: Mapping[str, str]

    def save(self, path: Path, dpi: int) -> None:
        """Save the figure as PNG, with the versions in a text chunk."""
        # Without date and software version, equal figures give equal files.
        metadata = {"Software": None, _KEY: json.dumps(dict(self.versions))}
        self.figure.savefig(path, format="png", dpi=dpi, metadata=metadata)


def figure_versions(png: bytes) -> dict[str, str]:
    """Return the versions of the data that a saved figure shows, by the name of the data set."""
    with Image.open(io.BytesIO(png)) as image:
        return dict(json.loads(image.info[_KEY]))


def check_png(png: bytes) -> None:
    """Check that a figure is complete and was saved by ``DrawnFigure``.

    Raises:
        ValueError: It is not.
    """
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            image.load()
        figure_versions(png)
    except (OSError, SyntaxError, ValueError, KeyError, Image.DecompressionBombError):
        raise ValueError("not a complete figure of this project") from None
