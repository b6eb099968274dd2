"""Parameters of `preprocess`."""

from typing import Literal

from skin_lesions.config.base import Group


class Preprocess(Group):
    """How a picture becomes a square: ``squash`` ignores its aspect, ``crop`` takes the centre."""

    fit: Literal["squash", "crop"]
