"""Parameters of `ingest`."""

from skin_lesions.config.base import Fraction, ParameterGroup, PixelSize


class Ingest(ParameterGroup):
    """How images are checked and decoded."""

    stored_image_size: PixelSize
    max_unreadable_fraction: Fraction
