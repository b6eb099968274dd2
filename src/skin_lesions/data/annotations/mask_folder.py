"""Folders of masks, as in the ISIC challenges: one image file per annotated image."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from skin_lesions.core.parallel import ordered_map
from skin_lesions.core.text import printable
from skin_lesions.data.annotations.annotation_files import AnnotationError
from skin_lesions.data.annotations.boxes import Found
from skin_lesions.data.annotations.image_names import ImageNames, TableImage
from skin_lesions.data.annotations.masks import boxes_of_mask, check_aspect, read_mask
from skin_lesions.data.annotations.model import AnnotationProblem, Lesions

SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff", ".gif"})  # lossless formats
_ENDINGS = ("_segmentation", "_mask")  # of a file name, after the name of the image
_Entry = tuple[str, Path, TableImage]


def image_names_of(file: str) -> list[str]:
    """Return the possible names of the image of a mask, the more likely one first.

    >>> image_names_of("a/1_mask.png"), image_names_of("a/1.png")
    (['a/1', 'a/1_mask'], ['a/1'])
    """
    stem = str(PurePosixPath(file).with_suffix(""))
    endings = [ending for ending in _ENDINGS if stem.casefold().endswith(ending)]
    return [*(stem[: -len(ending)] for ending in endings), stem]


def could_be_image(file: str, names: ImageNames) -> bool:
    """Return whether a file has the complete name of an image, and is perhaps not its mask."""
    return len(image_names_of(file)) == 1 and names.knows_file_name(file)


def read_masks(files: Mapping[str, Path], names: ImageNames) -> Found:
    """Read the lesions of the masks of a folder.

    Args:
        files: Path of each file, by its relative path.
        names: The images.
    """
    masks: dict[TableImage, list[str]] = defaultdict(list)
    problems = []
    for file in files:
        try:
            masks[names.find_first(*image_names_of(file))].append(file)
        except AnnotationError as error:
            problems.append(AnnotationProblem(printable(file), str(error)))
    entries: list[_Entry] = []
    for image, found in masks.items():
        # The image itself can be in the folder of its mask.
        candidates = [file for file in found if not could_be_image(file, names)] or found
        if len(candidates) > 1:
            reason = f"{len(candidates)} masks of one image ({printable(image.file)}); keep one"
            problems += [AnnotationProblem(printable(file), reason) for file in candidates]
        else:
            entries.append((candidates[0], files[candidates[0]], image))
    lesions = {}
    for (_, _, image), result in zip(entries, ordered_map(_lesions, entries), strict=True):
        if isinstance(result, Lesions):
            lesions[image.file] = result
        else:
            problems.append(result)
    return lesions, problems


def _lesions(entry: _Entry) -> Lesions | AnnotationProblem:
    file, path, image = entry
    try:
        mask = read_mask(path)
        check_aspect(mask.shape[1], mask.shape[0], image)
        return Lesions(boxes_of_mask(mask), path)
    except AnnotationError as error:
        return AnnotationProblem(printable(file), str(error))
