"""What each file turned out to be: a row of the image table, or a row of the quarantine."""

import logging

import pandas as pd

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable

log = logging.getLogger(__name__)

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
    """Join what the source said with what decoding found.

    Args:
        manifest: One row per file of the source (``RawImages.table``).
        decode_results: Per image_id: width, height, format, or the reason why it can't be read.
        max_unreadable_fraction: More unreadable files than this share of all is an error; files
            without a label don't count.

    Returns:
        The image table (readable, labelled files) and the quarantine (file, reason): every file
        of the manifest is in one of them.

    Raises:
        InputError: Too many files can't be read, or none can.
    """
    found = decode_results.reindex(manifest["image_id"]).reset_index(drop=True)
    reason = manifest["problem"].astype(object).fillna(found["reason"])
    unreadable = int(reason.notna().sum())
    reason = reason.mask(
        manifest["label"].isna() & reason.isna(), "the metadata give no label for it"
    )
    quarantine = pd.DataFrame({"file": manifest["file"], "reason": reason})
    quarantine = quarantine[reason.notna()].reset_index(drop=True)
    _check_unreadable_fraction(quarantine, unreadable, len(manifest), max_unreadable_fraction)

    facts = found[["width", "height", "format"]]
    table = pd.concat([manifest.drop(columns="problem"), facts], axis=1)[reason.isna()]
    table = table.astype({"width": "int64", "height": "int64"})
    rest = [column for column in table if column not in _LEADING_COLUMNS]
    table = table[[*_LEADING_COLUMNS, *rest]].reset_index(drop=True)
    table.attrs = {
        "origin": manifest.attrs["origin"],
        "raw_images_version": manifest.attrs["version"],
    }
    _log_quarantine(quarantine, len(manifest))
    return table, quarantine


def _check_unreadable_fraction(
    quarantine: pd.DataFrame, unreadable: int, files: int, allowed: float
) -> None:
    if unreadable <= allowed * files and len(quarantine) < files:
        return
    reasons = quarantine["reason"].value_counts().head(3)
    told = "; ".join(f"{count} x {reason}" for reason, count in reasons.items())
    raise InputError(
        f"{len(quarantine)} of {files} files can't be used; {unreadable / files:.1%} can't be read, and "
        f"ingest.max_unreadable_fraction allows {allowed:.1%}. Most common: {told}. First: "
        f"{printable(quarantine['file'].iloc[0])}. Mend the source, or raise the limit on purpose."
    )


def _log_quarantine(quarantine: pd.DataFrame, files: int) -> None:
    if len(quarantine):
        log.warning(
            "%d of %d files can't be used, e.g. %s: %s (all in quarantine.csv)",
            len(quarantine),
            files,
            *map(printable, quarantine.iloc[0]),
        )
