"""COCO JSON files: images, and annotations with boxes ``[x, y, width, height]`` in pixels."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from skin_lesions.core.atomic_files import atomic_write
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.data.annotations.annotation_files import (
    AnnotationError,
    number,
    read_text,
    shortened,
)
from skin_lesions.data.annotations.box_table import boxes_by_image
from skin_lesions.data.annotations.boxes import (
    Found,
    PixelBox,
    image_size,
    lesions_of_boxes,
)
from skin_lesions.data.annotations.image_names import ImageNames, TableImage
from skin_lesions.data.annotations.model import AnnotationProblem

_DECIMALS = 3  # of a pixel
_CATEGORY = {"id": 1, "name": "lesion"}
_EDGES = ("x", "y", "width", "height")
_Size = tuple[float, float] | None
_Image = tuple[TableImage, _Size] | None  # None: the image has a problem of its own


def read_coco(files: Mapping[str, Path], names: ImageNames) -> Found:
    """Read the boxes of one COCO file. Segmentations and categories are not used.

    Raises:
        InputError: The file is not JSON, or not in the format COCO.
    """
    ((file, path),) = files.items()
    images, annotations = _parse(path)
    known, problems = _images(images, printable(file), names)
    found, more = lesions_of_boxes(_entries(annotations, printable(file), known))
    return found, problems + more


def _parse(path: Path) -> tuple[list[object], list[object]]:
    """Return the lists of images and annotations.

    Raises:
        InputError: The file is not JSON, or a list is missing.
    """
    try:
        content = json.loads(read_text(path))
    except AnnotationError as error:
        raise InputError(
            f"Annotation file cannot be used ({printable(path)}): {error}. "
            "Expected a COCO file in UTF-8. Fix: export the annotations again"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"Annotation file is not valid JSON ({printable(path)}): {shortened(error)}. "
            "Expected a COCO file. Fix: export the annotations again"
        ) from None
    fields = content if isinstance(content, dict) else {}
    images, annotations = fields.get("images"), fields.get("annotations")
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise InputError(
            f"JSON file is not a COCO file ({printable(path)}): it has no lists images and "
            "annotations. Fix: export the annotations in the format COCO"
        )
    return images, annotations


def _images(
    images: list[object], file: str, names: ImageNames
) -> tuple[dict[object, _Image], list[AnnotationProblem]]:
    """Return the image of each id, and the problems of the images."""
    known: dict[object, _Image] = {}
    problems = []
    for index, item in enumerate(images):
        place = f"{file}, images[{index}]"
        try:
            entry = _fields(item)
            key = _id(entry, "id")
            if key in known:
                raise AnnotationError(f"the id {shortened(key)} occurs twice")
            known[key] = None
            name = entry.get("file_name")
            if not isinstance(name, str):
                raise AnnotationError("file_name is missing")
            known[key] = (names.find(name), _size(entry))
        except AnnotationError as error:
            problems.append(AnnotationProblem(place, str(error)))
    return known, problems


def _entries(
    annotations: list[object], file: str, known: Mapping[object, _Image]
) -> Iterator[PixelBox | AnnotationProblem]:
    """Yield the box or the problem of each annotation."""
    for index, item in enumerate(annotations):
        place = f"{file}, annotations[{index}]"
        try:
            entry = _fields(item)
            key = _id(entry, "image_id")
            if key not in known:
                raise AnnotationError(f"no image has the id {shortened(key)}")
            image = known[key]
            if image is None:
                raise AnnotationError(f"the image with the id {shortened(key)} cannot be used")
            box = entry.get("bbox")
            if not isinstance(box, list) or len(box) != 4:
                raise AnnotationError("bbox is missing; expected [x, y, width, height]")
            x, y, width, height = (number(v, n) for v, n in zip(box, _EDGES, strict=True))
        except AnnotationError as error:
            yield AnnotationProblem(place, str(error))
        else:
            yield PixelBox(place, image[0], (x, y, x + width, y + height), image[1])


def _fields(item: object) -> dict[str, object]:
    if not isinstance(item, dict):
        raise AnnotationError(f"not an object with fields ({shortened(item)})")
    return item


def _id(entry: Mapping[str, object], name: str) -> int | str:
    value = entry.get(name)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise AnnotationError(f"{name} is missing")
    return value


def _size(entry: Mapping[str, object]) -> _Size:
    """Return the width and height of an image, or None if the file does not contain them.

    Raises:
        AnnotationError: They are not positive numbers.
    """
    if entry.get("width") is None or entry.get("height") is None:
        return None
    return image_size(number(entry["width"], "width"), number(entry["height"], "height"))


def write_coco(boxes: pd.DataFrame, path: Path) -> None:
    """Write boxes as a COCO file with one category, in pixels with three decimals.

    Args:
        boxes: Table as for ``boxes_by_image``.
        path: The new file; an existing one is replaced.

    Raises:
        ValueError: A box is invalid, see ``boxes_by_image``.
    """
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for image_id, entry in enumerate(boxes_by_image(boxes), start=1):
        images.append(
            {
                "id": image_id,
                "file_name": entry.file,
                "width": entry.width,
                "height": entry.height,
            }
        )
        for i, (x0, y0, x1, y1) in enumerate(entry.pixels(_DECIMALS).tolist()):
            width, height = round(x1 - x0, _DECIMALS), round(y1 - y0, _DECIMALS)
            annotation: dict[str, object] = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": _CATEGORY["id"],
                "bbox": [x0, y0, width, height],
                "area": round(width * height, _DECIMALS),
                "iscrowd": 0,
            }
            if (score := entry.score_of(i)) is not None:
                annotation["score"] = score
            annotations.append(annotation)
    content = {"images": images, "annotations": annotations, "categories": [_CATEGORY]}
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
