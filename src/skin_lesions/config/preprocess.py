"""Parameters of `preprocess`."""

from typing import Annotated, Literal

from pydantic import Field

from skin_lesions.config.base import Location, ParameterGroup


class Preprocess(ParameterGroup):
    """Conversion of an image into the square input of the network.

    Attributes:
        resize_mode: ``stretch`` ignores the aspect ratio, ``center_crop`` cuts out the center. It
            is not used with a localizer.
        localizer: Localizer file. The input is then a crop around the main lesion. None: no crop.
        lesion_margin: Margin of the crop on each side, as a fraction of the longer side of the box.
        annotations: Boxes or masks, as for ``localize.annotations``. Training images with one are
            cropped around it. All other images need the localizer.
    """

    resize_mode: Literal["stretch", "center_crop"]
    localizer: Location | None
    lesion_margin: Annotated[float, Field(ge=0, le=5)]
    annotations: Location | None
