"""Parameters of `ingest`."""

from skin_lesions.config.base import Edge, Group, Share


class Ingest(Group):
    """How images are checked and decoded."""

    pixel_size: Edge
    max_unreadable_share: Share
