"""Factories for audits: a context without image files, and its findings by id."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skin_lesions.audit.context import AuditContext
from skin_lesions.audit.finding import Finding
from skin_lesions.audit.shortcuts.probes import Probe
from skin_lesions.data.groups import group_images
from skin_lesions.data.raw_store import ObjectStore
from support.factories import AUDIT, SPLIT


class NoiseImages:
    """In place of the decoded images: all images are the same noise."""

    size = 32

    def __init__(self) -> None:
        noise = np.random.default_rng(0).integers(60, 200, (1, self.size, self.size, 3))
        self.array = noise.astype(np.uint8)

    def rows(self, image_ids: Iterable[str]) -> npt.NDArray[np.int64]:
        return np.zeros(len(list(image_ids)), np.int64)


class ContextWithoutProbes(AuditContext):
    """An audit context whose shortcut probes are not computed, because there are no files."""

    shortcut_probes: list[Probe] = []  # noqa: RUF012  (replaces a cached property)


def audit_context(
    image_table: pd.DataFrame, near_duplicates: pd.DataFrame | None = None, **values: Any
) -> AuditContext:
    """Make a context from an image table; other values of the context can be given.

    The table needs only the columns file, image_id and label.
    """
    defaults = {"original_split": None, "width": 640, "height": 480}
    missing = {name: value for name, value in defaults.items() if name not in image_table}
    image_table = image_table.assign(**missing)
    groups, links = group_images(image_table, near_duplicates)
    given = {
        "source_table": image_table,
        "image_table": image_table,
        "image_table_version": "v1",
        "image_groups": groups,
        "image_links": links,
        "quarantine": pd.DataFrame(columns=["file", "reason"]),
        "images": NoiseImages(),
        "raw_images": ObjectStore(Path("no files")),
        "split": SPLIT,
        "parameters": AUDIT,
    }
    return ContextWithoutProbes(**given | values)


def by_id(findings: Iterable[Finding]) -> dict[str, Finding]:
    """Return the findings by id; each id must occur once."""
    findings = list(findings)
    found = {finding.id: finding for finding in findings}
    assert len(found) == len(findings)
    return found
