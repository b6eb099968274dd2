"""The data that the audit checks, and tables derived from them."""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import pandas as pd

from skin_lesions.audit.shortcuts.probes import Probe, probe_shortcuts
from skin_lesions.config.audit import Audit
from skin_lesions.config.split import Split
from skin_lesions.core.errors import InputError
from skin_lesions.data.groups import NEAR_DUPLICATE_KINDS, add_groups, attach_file_columns
from skin_lesions.data.pixel_store import PixelArray
from skin_lesions.data.raw_store import ObjectStore
from skin_lesions.data.splits import split_images


@dataclass(frozen=True, kw_only=True, eq=False)
class AuditContext:
    """The data that the audit checks. Tables that several checks use are computed once.

    Attributes:
        source_table: One row per file of the source: file and label (None if unknown).
        image_table: One row per readable file.
        image_table_version: The version of this table.
        image_groups: group_id and pixel_id of every such file.
        image_links: The links between files, as returned by ``group_images``.
        quarantine: Unreadable files: file and reason.
        images: The decoded images, resized to squares.
        raw_images: The bytes of the files.
        split: The planned split. It determines how many test images each class will have.
        parameters: Parameters of the audit.
    """

    source_table: pd.DataFrame
    image_table: pd.DataFrame
    image_table_version: str
    image_groups: pd.DataFrame
    image_links: pd.DataFrame
    quarantine: pd.DataFrame
    images: PixelArray
    raw_images: ObjectStore
    split: Split
    parameters: Audit

    @cached_property
    def table(self) -> pd.DataFrame:
        """The image table with the columns group_id and pixel_id."""
        return add_groups(self.image_table, self.image_groups).reset_index(drop=True)

    @cached_property
    def planned_split(self) -> pd.DataFrame | None:
        """The split table of the parameters, or None if the images cannot be split."""
        try:
            return split_images(self.image_table, self.image_groups, self.image_links, self.split)
        except InputError:
            return None

    @cached_property
    def duplicate_pairs(self) -> pd.DataFrame:
        """All pairs of files with equal bytes: columns ``<name>_a`` and ``<name>_b``."""
        table = self.table
        repeated = table[table.duplicated("image_id", keep=False)].sort_values("file")
        pairs = [
            pair for _, rows in repeated.groupby("image_id") for pair in combinations(rows.index, 2)
        ]
        first = table.loc[[a for a, _ in pairs]].reset_index(drop=True).add_suffix("_a")
        second = table.loc[[b for _, b in pairs]].reset_index(drop=True).add_suffix("_b")
        return pd.concat([first, second], axis=1)

    @cached_property
    def links(self) -> pd.DataFrame:
        """The links with the label and the original split of both files."""
        return attach_file_columns(
            self.image_links, self.table[["file", "label", "original_split"]]
        )

    @cached_property
    def near_duplicate_pairs(self) -> pd.DataFrame:
        """The links between images that were found by comparing pixels."""
        return self.links[self.links["kind"].isin(NEAR_DUPLICATE_KINDS.values())]

    @cached_property
    def shortcut_probes(self) -> list[Probe]:
        """How well each input predicts the class without the lesion."""
        return probe_shortcuts(
            self.table,
            self.images,
            self.raw_images,
            sample=self.parameters.max_probe_images,
            seed=self.parameters.seed,
            replicates=self.parameters.bootstrap_replicates,
        )
