"""Parameters of `preprocess`."""

from typing import Literal

from skin_lesions.config.base import ParameterGroup


class Preprocess(ParameterGroup):
    """How a picture becomes a square: ``stretch`` ignores its aspect, ``crop`` takes the centre."""

    resize_mode: Literal["stretch", "center_crop"]
