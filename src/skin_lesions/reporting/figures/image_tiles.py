"""Square images in figures, as the network receives them, with an optional map on top."""

from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from skin_lesions.data.pixel_store import PixelArray, PixelStore
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.models.localization.localizer_model import Localizer
from skin_lesions.models.trained_model import TrainedModel
from skin_lesions.reporting.figures.fonts import figure_name
from skin_lesions.reporting.figures.style import GRAY, SMALL, ellipsize, wrap_text

MAP_COLORS = "inferno"  # from dark to light; also readable in gray
_MAP_OPACITY = 0.55


@dataclass(frozen=True)
class ImageTiles:
    """Stored images in the framing of a model.

    Attributes:
        images: Stored images.
        preprocessing: Its resize mode or margin determines the framing.
        localizer: Localizer of a model of crops, otherwise None.
    """

    images: PixelArray
    preprocessing: Preprocessing
    localizer: Localizer | None = None

    @classmethod
    def of(cls, store: PixelStore, model: TrainedModel) -> "ImageTiles":
        """Open the images of a store at the size that a model uses."""
        preprocessing = model.preprocessing
        return cls(store.at(preprocessing.stored_image_size), preprocessing, model.localizer)

    def pixels(self, image_id: str) -> NDArray[np.uint8]:
        """Return an image, (size, size, 3), cropped as for the network."""
        square: NDArray[np.uint8] = self.images[image_id]
        if self.localizer is None and self.preprocessing.resize_mode == "stretch":
            return square
        from skin_lesions.data.preprocessing import resize_batch  # noqa: PLC0415 (torch)

        settings = replace(self.preprocessing, image_size=self.images.size)
        width, height = self.images.index.loc[[image_id], ["width", "height"]].to_numpy(float)[0]
        boxes = self._main_lesion(image_id)
        [resized] = resize_batch(square[None], [width / height], settings, boxes)
        return np.asarray(resized.permute(1, 2, 0).numpy(), np.uint8)

    def _main_lesion(self, image_id: str) -> NDArray[np.float64] | None:
        """Return the main lesion of an image, (1, 4); None for a model without crops."""
        if self.localizer is None:
            return None
        import torch  # noqa: PLC0415 (takes a second)

        from skin_lesions.models.localization.lesion_boxes import (  # noqa: PLC0415 (torch)
            locate_main_lesions,
        )

        return locate_main_lesions(self.localizer, self.images, [image_id], 1, torch.device("cpu"))

    def draw(
        self,
        axes: Axes,
        corner: tuple[float, float],
        size: float,
        image_id: str | None,
        heat_map: NDArray[np.float32] | None = None,
    ) -> None:
        """Draw an image; a gray square replaces a missing image.

        Args:
            axes: Axes in inches, with the y axis downwards.
            corner: Upper left corner, inches.
            size: Width and height, inches.
            image_id: The image, or None.
            heat_map: (h, w), values from 0 to 1, drawn on top of the image.
        """
        x, y = corner
        extent = (x, x + size, y + size, y)
        if image_id is not None:
            axes.imshow(self.pixels(image_id), extent=extent, interpolation="antialiased")
        else:
            axes.add_patch(Rectangle(corner, size, size, facecolor="#F1F3F5", zorder=-1))
            center = (x + size / 2, y + size / 2)
            axes.text(*center, "no image", color=GRAY, fontsize=SMALL, ha="center", va="center")
        if heat_map is not None:
            axes.imshow(
                heat_map,
                extent=extent,
                cmap=MAP_COLORS,
                vmin=0,
                vmax=1,
                alpha=_MAP_OPACITY,
                interpolation="bilinear",
            )


def class_name_lines(label: str, width: float, weight: str = "normal") -> list[str]:
    """Return the name of a class in at most two lines.

    Args:
        label: Name of the class.
        width: Maximum width, points. A longer line loses its middle.
        weight: Font weight.
    """
    lines = wrap_text(figure_name(label), width, SMALL, weight)
    if not lines:  # a word is too long
        lines = [figure_name(label)]
    shown = [*lines[:1], " ".join(lines[1:])] if len(lines) > 1 else lines
    return [ellipsize(line, width, SMALL, weight) for line in shown]


def set_inches(axes: Axes, width: float, height: float) -> None:
    """Make the coordinates of axes inches from the upper left corner."""
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_aspect("equal", anchor="NW")
    axes.set_axis_off()
