"""Original images, decoded from the raw store one at a time and in their own aspect ratio."""

from collections.abc import Sequence
from dataclasses import dataclass

from skin_lesions.data.decoding import decode_within
from skin_lesions.data.image_files import Pixels
from skin_lesions.data.raw_store import ObjectStore


@dataclass(frozen=True)
class OriginalImages:
    """The images of a raw store with these ids: ``images[number]`` is (height, width, 3) uint8.

    Attributes:
        store: The raw images.
        image_ids: One id per image.
        max_area: Maximum number of pixels; larger images are reduced.
    """

    store: ObjectStore
    image_ids: Sequence[str]
    max_area: int

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, number: int) -> Pixels:
        return decode_within(self.store.get(self.image_ids[number]), self.max_area)
