"""Parameters of `ingest`."""

from skin_lesions.config.base import Fraction, ParameterGroup, PixelSize


class Ingest(ParameterGroup):
    """Decoding and the limit for unreadable files."""

    stored_image_size: PixelSize
    max_unreadable_fraction: Fraction
