"""Content fingerprints of the image table and the split table.

Equal content has equal fingerprints, independent of the catalog version and the order of the rows.
"""

import hashlib

import pandas as pd

_DATA_COLUMNS = ["file", "image_id", "label"]
_SPLIT_COLUMNS = ["file", "image_id", "label", "split", "group_id"]


def data_fingerprint(image_table: pd.DataFrame) -> str:
    """Return the fingerprint of the images and labels of an image table: 16 hex digits."""
    return _fingerprint(image_table[_DATA_COLUMNS])


def split_fingerprint(split_table: pd.DataFrame) -> str:
    """Return the fingerprint of the rows of a split table: 16 hex digits."""
    return _fingerprint(split_table[_SPLIT_COLUMNS])


def fingerprint_of_test_images(table: pd.DataFrame) -> str:
    """Return the fingerprint of the test images and their labels: 16 hex digits.

    It does not depend on the other splits, on groups or on file names.

    Args:
        table: A split table or predictions; image_id, label and split.
    """
    return _fingerprint(table.loc[table["split"] == "test", ["image_id", "label"]])


def _fingerprint(table: pd.DataFrame) -> str:
    rows = table.sort_values(list(table.columns)).astype(str)
    content = rows.to_csv(index=False, lineterminator="\n").encode()
    return hashlib.sha256(content).hexdigest()[:16]
