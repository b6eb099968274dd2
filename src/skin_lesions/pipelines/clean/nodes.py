"""Nodes of the pipeline `clean`."""

import logging
from pathlib import Path

import pandas as pd

from skin_lesions.audit import cleaning_list as cleaning
from skin_lesions.audit.image_quality import find_quality_faults
from skin_lesions.config.clean import Clean
from skin_lesions.config.ingest import Ingest
from skin_lesions.core.locations import abbreviate_home
from skin_lesions.core.text import pluralize
from skin_lesions.data.cleaned_folder import write_cleaned_folder
from skin_lesions.data.cleaned_metadata import cleaned_metadata, select_copied_files
from skin_lesions.data.file_selection import select_files
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.raw_store import RawImages
from skin_lesions.data.tables import ImageTable, SplitTable

log = logging.getLogger(__name__)


def list_files(
    image_table: ImageTable,
    image_groups: pd.DataFrame,
    image_links: pd.DataFrame,
    quarantine: pd.DataFrame,
    split_table: SplitTable,
    pixel_store: PixelStore,
    ingest: Ingest,
) -> pd.DataFrame:
    """List the files to drop, merge or check, and log their numbers."""
    table = image_table.frame
    selected = select_files(table, image_groups, image_links, split_table.frame)
    faults = find_quality_faults(table, pixel_store.at(ingest.stored_image_size))
    listed = cleaning.list_files(selected, image_links, quarantine, faults)
    counts = listed["action"].value_counts()
    log.info(
        "%s of %d need attention: %s. A cleaned copy has %d files",
        pluralize(len(listed), "file"),
        len(table) + len(quarantine),
        ", ".join(f"{counts.get(action, 0)} to {action}" for action in cleaning.ACTIONS),
        selected["split"].notna().sum(),
    )
    return listed


def write_copy(
    image_table: ImageTable,
    split_table: SplitTable,
    cleaning_list: pd.DataFrame,
    raw_images: RawImages,
    clean: Clean,
) -> None:
    """Write a cleaned copy of the images to ``clean.output``, if it is set."""
    if clean.output is None:
        return
    selected = select_copied_files(image_table.frame, split_table.frame, cleaning_list)
    linked = write_cleaned_folder(
        Path(clean.output),
        cleaned_metadata(selected),
        cleaning_list,
        raw_images.store,
        hard_links=clean.hard_links,
    )
    log.info(
        "Cleaned copy: %s (%d linked and %d copied)",
        abbreviate_home(Path(clean.output)),
        linked,
        len(selected) - linked,
    )
