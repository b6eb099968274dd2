"""Which images belong together: everything that shows one lesion, or one patient, is one group."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# What makes two files belong together, when both have the same value there.
EVIDENCE = ("image_id", "lesion_id", "patient_id", "name_key")


def group_images(image_table: pd.DataFrame) -> pd.DataFrame:
    """Join files that share bytes, lesion, patient or the key in their name, directly or by others.

    Args:
        image_table: One row per file; column ``image_id`` and any others of ``EVIDENCE``.

    Returns:
        One row per file, in the same order: file, image_id, group_id and evidence (what joins the
        group, as ``image_id+lesion_id``; empty for a file alone). A group_id is made from the
        images in the group, so equal data give equal ids.
    """
    columns = [column for column in EVIDENCE if column in image_table]
    labels = _components([_codes(image_table[column]) for column in columns], len(image_table))
    first_image = image_table["image_id"].groupby(labels).transform("min")
    return pd.DataFrame(
        {
            "file": image_table["file"],
            "image_id": image_table["image_id"],
            "group_id": "g" + first_image.str[:16],
            "evidence": _evidence(image_table, columns, labels),
        }
    )


def _codes(column: pd.Series) -> np.ndarray:
    """Number the distinct values of a column; -1 where there is none."""
    known = column.notna() & column.astype(str).str.strip().ne("")
    return np.where(known, pd.factorize(column.astype(str))[0], -1)


def _components(keys: list[np.ndarray], n: int) -> np.ndarray:
    """Number the connected components of n rows that are joined where any key agrees."""
    rows, targets, used = [], [], n
    for codes in keys:
        known = np.flatnonzero(codes >= 0)
        rows.append(known)
        targets.append(codes[known] + used)  # each key's value is a node beside the rows
        used += int(codes.max(initial=-1)) + 1
    i, j = np.concatenate(rows), np.concatenate(targets)
    graph = coo_array((np.ones(len(i), np.int8), (i, j)), shape=(used, used))
    return connected_components(graph, directed=False)[1][:n]


def _evidence(table: pd.DataFrame, columns: list[str], labels: np.ndarray) -> list[str]:
    """Name, for each row, the columns in which its group has a value more than once."""
    repeated = {
        column: set(labels[table[column].notna() & table.duplicated(column, keep=False)])
        for column in columns
    }
    of_group = {
        label: "+".join(column for column in columns if label in repeated[column])
        for label in set(labels)
    }
    return [of_group[label] for label in labels]
