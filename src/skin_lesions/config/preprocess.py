"""Parameters of `preprocess`."""

from typing import Literal

from skin_lesions.config.base import ParameterGroup


class Preprocess(ParameterGroup):
    """Resizing to a square.

    ``stretch`` ignores the aspect ratio, ``center_crop`` cuts out the center.
    """

    resize_mode: Literal["stretch", "center_crop"]
