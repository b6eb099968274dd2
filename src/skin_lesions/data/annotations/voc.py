"""Pascal VOC XML files, one per image: objects with boxes in pixels.

The corners are edges: a box of the complete image has xmin 0 and xmax equal to the width. Files
that count pixels from 1 are read without a correction, which shifts a box by at most one pixel.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement, TreeBuilder
from xml.parsers import expat

import pandas as pd

from skin_lesions.core.text import printable
from skin_lesions.data.annotations.annotation_files import (
    MAX_TEXT_BYTES,
    AnnotationError,
    number,
    read_bytes,
    shortened,
)
from skin_lesions.data.annotations.box_table import ImageBoxes, write_file_per_image
from skin_lesions.data.annotations.boxes import Found, PixelBox, lesions_of_boxes
from skin_lesions.data.annotations.image_names import ImageNames
from skin_lesions.data.annotations.model import AnnotationProblem

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc(files: Mapping[str, Path], names: ImageNames) -> Found:
    """Read the boxes of the XML files of a folder.

    The image has the name of the XML file, or else the name in the element ``filename``.
    """
    return lesions_of_boxes(
        entry for file, path in files.items() for entry in _entries(file, path, names)
    )


def _entries(file: str, path: Path, names: ImageNames) -> Iterator[PixelBox | AnnotationProblem]:
    """Yield the box or the problem of each object of a file."""
    try:
        root = _parse(read_bytes(path, MAX_TEXT_BYTES))
        stem = str(PurePosixPath(file).with_suffix(""))
        image = names.find_first(stem, root.findtext("filename") or stem)
        size = _size(root)
    except AnnotationError as error:
        yield AnnotationProblem(printable(file), str(error))
        return
    for index, item in enumerate(root.iter("object"), start=1):
        place = f"{printable(file)}, object {index}"
        try:
            yield PixelBox(place, image, _corners(item), size)
        except AnnotationError as error:
            yield AnnotationProblem(place, str(error))


def _parse(data: bytes) -> Element:
    """Return the root element.

    Raises:
        AnnotationError: The file is not an annotation in XML, or declares a document type. Such a
            declaration can contain entities, which expand to any size or read other files.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _reject_doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)  # noqa: FBT003 (isfinal is positional)
    except (expat.ExpatError, ValueError, LookupError) as error:  # unknown encodings
        raise AnnotationError(f"XML cannot be parsed: {shortened(error)}") from None
    root = builder.close()
    if root.tag != "annotation":
        raise AnnotationError(f"not a VOC file: the root element is {shortened(root.tag)}")
    return root


def _reject_doctype(*_: object) -> None:
    raise AnnotationError("XML with DOCTYPE, which is not allowed; delete the declaration")


def _corners(item: Element) -> tuple[float, float, float, float]:
    """Return the corners of an object.

    Raises:
        AnnotationError: A corner is missing or not a number.
    """
    x0, y0, x1, y1 = (number((item.findtext(f"bndbox/{n}") or "").strip(), n) for n in _CORNERS)
    return x0, y0, x1, y1


def _size(root: Element) -> tuple[float, float] | None:
    """Return the width and height of the image, or None if they are missing or 0.

    Raises:
        AnnotationError: They are not numbers.
    """
    texts = [(root.findtext(f"size/{name}") or "").strip() for name in ("width", "height")]
    if "" in texts:
        return None
    width, height = number(texts[0], "width"), number(texts[1], "height")
    return (width, height) if min(width, height) > 0 else None


def write_voc(boxes: pd.DataFrame, folder: Path) -> None:
    """Write an XML file per image, in the folders of the images, with corners in complete pixels.

    Args:
        boxes: Table as for ``boxes_by_image``. An image without boxes gets a file without objects.
        folder: New or empty folder.

    Raises:
        InputError: The folder is not empty, or two images would share an XML file.
        ValueError: A box is invalid, see ``boxes_by_image``.
    """
    write_file_per_image(boxes, folder, ".xml", _xml)


def _xml(entry: ImageBoxes) -> bytes:
    file = PurePosixPath(entry.file)
    root = Element("annotation")
    if file.parent.name:
        SubElement(root, "folder").text = str(file.parent)
    SubElement(root, "filename").text = file.name
    size = SubElement(root, "size")
    for name, value in (("width", entry.width), ("height", entry.height), ("depth", 3)):
        SubElement(size, name).text = str(value)
    for i, corners in enumerate(entry.pixels(0)):
        item = SubElement(root, "object")
        SubElement(item, "name").text = "lesion"
        if (score := entry.score_of(i)) is not None:
            SubElement(item, "confidence").text = f"{score:.6f}"
        box = SubElement(item, "bndbox")
        for name, value in zip(_CORNERS, corners, strict=True):
            SubElement(box, name).text = str(int(value))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
