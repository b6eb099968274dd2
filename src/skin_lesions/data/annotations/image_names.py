"""Names of images in annotations, matched to the files of the image table."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from skin_lesions.core.text import normalize_name
from skin_lesions.data.annotations.annotation_files import AnnotationError, shortened
from skin_lesions.data.sources.base import has_image_suffix


@dataclass(frozen=True)
class TableImage:
    """An image of the image table.

    Attributes:
        file: Path relative to the source folder.
        width: Width after applying the EXIF orientation, pixels.
        height: Height after applying the EXIF orientation, pixels.
    """

    file: str
    width: int
    height: int


class ImageNames:
    """Finds the image that an annotation names.

    The first of these rules that any image fulfills decides. A name with several such images is
    ambiguous.

    1. The paths are equal.
    2. They are equal without case.
    3. They are equal without case and image suffixes.
    4. One of these paths ends with the other. The longest match decides.
    5. The names without folder, case and image suffix are equal.
    """

    def __init__(self, images: pd.DataFrame):
        """Index the images.

        Args:
            images: Image table with the columns file, width and height.
        """
        self._by_stem: dict[str, list[TableImage]] = defaultdict(list)
        columns = (images["file"], images["width"], images["height"])
        for file, width, height in zip(*columns, strict=True):
            image = TableImage(str(file), int(width), int(height))
            self._by_stem[_stem(_normalize(image.file))].append(image)

    def knows(self, name: str) -> bool:
        """Return whether at least one image has this name. Folders and suffixes are ignored."""
        return _stem(_normalize(name)) in self._by_stem

    def knows_file_name(self, name: str) -> bool:
        """Return whether at least one image has this name and suffix. Folders are ignored."""
        path = _normalize(name).casefold()
        images = self._by_stem.get(_stem(path), [])
        ends = {_normalize(image.file).casefold().rpartition("/")[2] for image in images}
        return path.rpartition("/")[2] in ends

    def find(self, name: str) -> TableImage:
        """Return the image with a name or path. The suffix of an image can be missing.

        Raises:
            AnnotationError: No image or several images have this name.
        """
        path = _normalize(name)
        candidates = self._by_stem.get(_stem(path), [])
        if not candidates:
            raise AnnotationError(f"no image has this name ({shortened(name)})")
        found = _best(path, candidates)
        if len(found) > 1:
            raise AnnotationError(
                f"{len(found)} images have this name ({shortened(found[0].file)}, "
                f"{shortened(found[1].file)}); use the complete path"
            )
        return found[0]

    def find_first(self, *names: str) -> TableImage:
        """Return the image of the first name that any image has.

        Raises:
            AnnotationError: No image has one of these names, or the first match is ambiguous.
        """
        return self.find(next(filter(self.knows, names), names[0]))


def _best(path: str, candidates: list[TableImage]) -> list[TableImage]:
    """Return the images that fulfill the first possible rule of ``ImageNames``."""
    folded = _without_suffix(path.casefold())
    keys = {image: _normalize(image.file) for image in candidates}
    without_suffix = {image: _without_suffix(key.casefold()) for image, key in keys.items()}
    overlap = {image: _overlap(folded, key) for image, key in without_suffix.items()}
    longest = max(overlap.values())
    rules = (
        [image for image in candidates if keys[image] == path],
        [image for image in candidates if keys[image].casefold() == path.casefold()],
        [image for image in candidates if without_suffix[image] == folded],
        [image for image in candidates if overlap[image] == longest > 0],
    )
    return next((found for found in rules if found), candidates)


def _overlap(first: str, second: str) -> int:
    """Return the length of the shorter path if the longer one ends with it, else 0."""
    shorter, longer = sorted((f"/{first}", f"/{second}"), key=len)
    return len(shorter) if longer.endswith(shorter) else 0


def _normalize(path: str) -> str:
    return normalize_name(path.strip()).replace("\\", "/").removeprefix("./").lstrip("/")


def _stem(path: str) -> str:
    return _without_suffix(path.casefold()).rpartition("/")[2]


def _without_suffix(path: str) -> str:
    return str(PurePosixPath(path).with_suffix("")) if has_image_suffix(path) else path
