"""What each file turned out to be: a row of the image table, or a row of the quarantine."""

import logging

import pandas as pd

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import shown

log = logging.getLogger(__name__)

_FIRST = [
    "file",
    "image_id",
    "label",
    "shipped_split",
    "source",
    "name_key",
    "width",
    "height",
    "bytes",
    "format",
]


def describe_files(
    manifest: pd.DataFrame, checks: pd.DataFrame, max_unreadable_share: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join what the source said with what decoding found.

    Args:
        manifest: One row per file of the source (``RawImages.table``).
        checks: Per image_id: width, height, format, or the reason why it can't be read.
        max_unreadable_share: More unreadable files than this share of all is an error; files
            without a label don't count.

    Returns:
        The image table (readable, labelled files) and the quarantine (file, reason): every file
        of the manifest is in one of them.

    Raises:
        InputError: Too many files can't be read, or none can.
    """
    found = checks.reindex(manifest["image_id"]).reset_index(drop=True)
    reason = manifest["problem"].astype(object).fillna(found["reason"])
    unreadable = int(reason.notna().sum())
    reason = reason.mask(
        manifest["label"].isna() & reason.isna(), "the metadata give no label for it"
    )
    quarantine = pd.DataFrame({"file": manifest["file"], "reason": reason})
    quarantine = quarantine[reason.notna()].reset_index(drop=True)
    _refuse_too_many(quarantine, unreadable, len(manifest), max_unreadable_share)

    facts = found[["width", "height", "format"]]
    table = pd.concat([manifest.drop(columns="problem"), facts], axis=1)[reason.isna()]
    table = table.astype({"width": "int64", "height": "int64"})
    rest = [column for column in table if column not in _FIRST]
    table = table[[*_FIRST, *rest]].reset_index(drop=True)
    table.attrs = {
        "origin": manifest.attrs["origin"],
        "raw_images_version": manifest.attrs["version"],
    }
    _tell(quarantine, len(manifest))
    return table, quarantine


def _refuse_too_many(quarantine: pd.DataFrame, unreadable: int, files: int, allowed: float) -> None:
    if unreadable <= allowed * files and len(quarantine) < files:
        return
    reasons = quarantine["reason"].value_counts().head(3)
    told = "; ".join(f"{count} x {reason}" for reason, count in reasons.items())
    raise InputError(
        f"{len(quarantine)} of {files} files can't be used; {unreadable / files:.1%} can't be read, and "
        f"ingest.max_unreadable_share allows {allowed:.1%}. Most common: {told}. First: "
        f"{shown(quarantine['file'].iloc[0])}. Mend the source, or raise the limit on purpose."
    )


def _tell(quarantine: pd.DataFrame, files: int) -> None:
    if len(quarantine):
        log.warning(
            "%d of %d files can't be used, e.g. %s: %s (all in quarantine.csv)",
            len(quarantine),
            files,
            *map(shown, quarantine.iloc[0]),
        )
