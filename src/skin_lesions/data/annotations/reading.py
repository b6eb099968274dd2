"""Annotations of a file or folder in any supported format, which is found from the files."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import pluralize, printable
from skin_lesions.data.annotations.boxes import Found
from skin_lesions.data.annotations.coco import read_coco
from skin_lesions.data.annotations.image_names import ImageNames
from skin_lesions.data.annotations.mask_folder import (
    SUFFIXES,
    could_be_image,
    image_names_of,
    read_masks,
)
from skin_lesions.data.annotations.model import AnnotationProblem, Annotations, Format
from skin_lesions.data.annotations.table import has_box_columns, read_csv
from skin_lesions.data.annotations.voc import read_voc
from skin_lesions.data.annotations.yolo import IGNORED, read_yolo
from skin_lesions.data.sources.file_listing import list_files

log = logging.getLogger(__name__)

Files = Mapping[str, Path]

_READERS: dict[Format, Callable[[Files, ImageNames], Found]] = {
    "masks": read_masks,
    "yolo": read_yolo,
    "coco": read_coco,
    "voc": read_voc,
    "csv": read_csv,
}
_SUFFIXES: dict[Format, frozenset[str]] = {
    "masks": SUFFIXES,
    "yolo": frozenset({".txt"}),
    "coco": frozenset({".json"}),
    "voc": frozenset({".xml"}),
    "csv": frozenset({".csv", ".tsv"}),
}
_SINGLE_FILE: tuple[Format, ...] = ("coco", "csv")  # formats with one file for all images
_EXPECTED = (
    "Expected a folder of masks (PNG), YOLO (.txt) or Pascal VOC (.xml) files, or a COCO file "
    "(.json) or table (.csv)"
)


def read_annotations(path: Path, images: pd.DataFrame) -> Annotations:
    """Read annotated lesions and match them to the images.

    Invalid annotations are listed in ``problems``, and the other ones remain usable. Links in a
    folder are followed.

    Args:
        path: Folder of masks, YOLO files or VOC files, or a COCO file or CSV table, or a folder
            with one of these.
        images: Image table with the columns file, width and height (pixels, after applying the EXIF
            orientation).

    Raises:
        InputError: The path does not exist, its format is unknown, it has several formats, its only
            file cannot be parsed, or no annotation is usable.
    """
    names = ImageNames(images)
    kind, files = _find_format(path, names)
    found, problems = _READERS[kind](files, names)
    lesions = {file: found[file] for file in images["file"] if file in found}
    if not lesions:
        raise InputError(_nothing_usable(path, kind, problems, images))
    without = tuple(str(file) for file in images["file"] if file not in found)
    log.info(
        "Annotations read (%s): %d of %d images, %d problems",
        kind,
        len(lesions),
        len(images),
        len(problems),
    )
    return Annotations(kind, lesions, tuple(problems), without)


def _nothing_usable(
    path: Path, kind: Format, problems: Sequence[AnnotationProblem], images: pd.DataFrame
) -> str:
    if not problems:
        return f"Annotations contain no boxes ({printable(path)}, format {kind}). {_EXPECTED}"
    example = printable(images["file"].iloc[0]) if len(images) else "none"
    return (
        f"No annotation is usable ({printable(path)}, format {kind}, "
        f"{pluralize(len(problems), 'problem')}). First problem: {problems[0].place}: "
        f"{problems[0].reason}. First image: {example}. Fix: check the names and the format"
    )


def _find_format(path: Path, names: ImageNames) -> tuple[Format, Files]:
    """Return the format of the annotations, and the path of each of their files.

    Raises:
        InputError: The path does not exist, or it has no format or several formats.
    """
    if path.is_file():
        suffix = path.suffix.casefold()
        kind = next((kind for kind in _SINGLE_FILE if suffix in _SUFFIXES[kind]), None)
        if kind is None:
            raise InputError(f"Unknown format of annotations ({printable(path)}). {_EXPECTED}")
        return kind, {path.name: path}
    if not path.is_dir():
        raise InputError(
            f"Annotations do not exist ({printable(path)}). {_EXPECTED}. Fix: check the path"
        )
    listed, _ = list_files(path, [], None)
    files = {kind: _with_suffix(listed, kind) for kind in _READERS}
    kinds = _likely_formats(files, names) or [kind for kind in _READERS if files[kind]]
    if not kinds:
        raise InputError(f"Folder has no annotations ({printable(path)}). {_EXPECTED}")
    if len(kinds) > 1:
        examples = ", ".join(
            f"{kind} (e.g. {printable(next(iter(files[kind])))})" for kind in kinds
        )
        raise InputError(
            f"Folder has annotations in several formats ({printable(path)}): {examples}. "
            "Fix: choose a file or folder with only one of them"
        )
    (kind,) = kinds
    if kind in _SINGLE_FILE and len(files[kind]) > 1:
        raise InputError(
            f"Folder has {len(files[kind])} {kind} files ({printable(path)}): "
            f"{', '.join(map(printable, list(files[kind])[:3]))}. Fix: choose one of the files"
        )
    return kind, files[kind]


def _with_suffix(listed: Files, kind: Format) -> dict[str, Path]:
    """Return the files that could be annotations in a format, by their name."""
    files = {
        file: path
        for file, path in listed.items()
        if path.suffix.casefold() in _SUFFIXES[kind] and path.name.casefold() not in IGNORED
    }
    if kind == "csv" and len(files) > 1:  # tables of metadata are often in the same folder
        return {file: path for file, path in files.items() if has_box_columns(path)} or files
    return files


def _likely_formats(files: Mapping[Format, Files], names: ImageNames) -> list[Format]:
    """Return the formats with files that are surely annotations.

    A text file, such as a license, is an annotation only if it has the name of an image. An image
    that could be one of the images itself is a mask only if the folder has no other format.
    """
    known_masks = [f for f in files["masks"] if any(map(names.knows, image_names_of(f)))]
    is_likely: dict[Format, bool] = {
        "masks": not all(could_be_image(file, names) for file in known_masks),
        "yolo": any(names.knows(str(PurePosixPath(f).with_suffix(""))) for f in files["yolo"]),
        "coco": bool(files["coco"]),
        "voc": bool(files["voc"]),
        "csv": any(map(has_box_columns, files["csv"].values())),
    }
    likely = [kind for kind, is_one in is_likely.items() if is_one]
    return likely or (["masks"] if known_masks else [])
