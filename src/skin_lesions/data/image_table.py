"""Image table and quarantine.

Each file of the source is either a row of the image table or a row of the quarantine.
"""

import logging

import pandas as pd

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable

log = logging.getLogger(__name__)

NO_LABEL = "the metadata contain no label for this file"  # reason of readable files
_LEADING_COLUMNS = [
    "file",
    "image_id",
    "label",
    "original_split",
    "source",
    "filename_key",
    "width",
    "height",
    "bytes",
    "format",
]


def build_image_table(
    manifest: pd.DataFrame, decode_results: pd.DataFrame, max_unreadable_fraction: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Combine the description of the source with the results of decoding.

    Args:
        manifest: One row per file of the source (``RawImages.table``).
        decode_results: One row per image_id: width, height and format, or the reason why it is
            unreadable.
        max_unreadable_fraction: Maximum fraction of unreadable files among all files. Files without
            a label do not count as unreadable.

    Returns:
        The image table (readable, labeled files) and the quarantine (file, reason). Every file of
        the manifest is in exactly one of them.

    Raises:
        InputError: Too many files are unreadable, or no file can be used.
    """
    decoded = decode_results.reindex(manifest["image_id"]).reset_index(drop=True)
    reason = manifest["problem"].astype(object).fillna(decoded["reason"])
    unreadable = int(reason.notna().sum())
    reason = reason.mask(manifest["label"].isna() & reason.isna(), NO_LABEL)
    quarantine = pd.DataFrame({"file": manifest["file"], "reason": reason})
    quarantine = quarantine[reason.notna()].reset_index(drop=True)
    _check_unreadable_fraction(quarantine, unreadable, len(manifest), max_unreadable_fraction)

    properties = decoded[["width", "height", "format"]]
    table = pd.concat([manifest.drop(columns="problem"), properties], axis=1)[reason.isna()]
    table = table.astype({"width": "int64", "height": "int64"})
    other_columns = [column for column in table if column not in _LEADING_COLUMNS]
    table = table[[*_LEADING_COLUMNS, *other_columns]].reset_index(drop=True)
    _log_quarantine(quarantine, len(manifest))
    return table, quarantine


def _check_unreadable_fraction(
    quarantine: pd.DataFrame, unreadable: int, files: int, allowed: float
) -> None:
    if unreadable <= allowed * files and len(quarantine) < files:
        return
    reasons = quarantine["reason"].value_counts().head(3)
    most_common = "; ".join(f"{count} x {reason}" for reason, count in reasons.items())
    raise InputError(
        f"{len(quarantine)} of {files} files cannot be used: {unreadable / files:.1%} are "
        f"unreadable, ingest.max_unreadable_fraction allows {allowed:.1%}. Most common: "
        f"{most_common}. First: {printable(quarantine['file'].iloc[0])}. Fix: correct the source, "
        "or deliberately raise the limit."
    )


def _log_quarantine(quarantine: pd.DataFrame, files: int) -> None:
    if len(quarantine):
        log.warning(
            "%d of %d files cannot be used, e.g. %s: %s (all are listed in quarantine.csv)",
            len(quarantine),
            files,
            *map(printable, quarantine.iloc[0]),
        )


def rows_of_images(images: pd.DataFrame, image_table: pd.DataFrame) -> pd.DataFrame:
    """Return the row of the image table of each image, in the same order.

    Args:
        images: Table with the column file, such as a split table or predictions.
        image_table: The image table.

    Raises:
        InputError: A file is not in the image table.
    """
    by_file = image_table.set_index("file", drop=False)
    absent = images.loc[~images["file"].isin(by_file.index), "file"]
    if len(absent):
        raise InputError(
            f"{len(absent)} images (e.g. {printable(absent.iloc[0])}) are not in the image table. "
            "Expected the image table that the split was made from. "
            "Fix: kedro run --pipelines preprocess,train,evaluate,report"
        )
    return by_file.loc[images["file"]].reset_index(drop=True)
