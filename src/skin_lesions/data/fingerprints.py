"""Short names of content: equal content, equal fingerprint, whatever the version or the row order."""

import hashlib

import pandas as pd

_OF_DATA = ["file", "image_id", "label"]
_OF_SPLIT = ["file", "image_id", "label", "split", "group_id"]


def data_fingerprint(image_table: pd.DataFrame) -> str:
    """Name the images and labels of an image table: 16 hex digits."""
    return _fingerprint(image_table[_OF_DATA])


def split_fingerprint(split_table: pd.DataFrame) -> str:
    """Name the rows of a split table: 16 hex digits."""
    return _fingerprint(split_table[_OF_SPLIT])


def _fingerprint(table: pd.DataFrame) -> str:
    rows = table.sort_values(list(table.columns)).astype(str)
    content = rows.to_csv(index=False, lineterminator="\n").encode()
    return hashlib.sha256(content).hexdigest()[:16]
