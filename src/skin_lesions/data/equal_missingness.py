"""Equal missing rates: drop known values at random, so that they are known equally often by class.

A model must not learn the class from which values are missing.
"""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import pandas as pd

from skin_lesions.data.missing_values import is_missing


def equalize_missing(train: pd.DataFrame, columns: Sequence[str], seed: int) -> pd.DataFrame:
    """Make the missing rates of columns equal over the classes within each source.

    In each source, the classes keep the fraction of known values of the class with the lowest one.
    Of each class, that fraction of the images is rounded to a whole number.

    Args:
        train: One row per training image: file, source, label and the columns.
        columns: Columns to equalize.
        seed: Seed of the random choice. It does not depend on the order of rows and columns.

    Returns:
        The table with missing values instead of the dropped ones.
    """
    equalized = train.copy()
    ordered = train.sort_values("file")
    for column in columns:
        known = ~is_missing(ordered[column])
        rates = known.groupby([ordered["source"], ordered["label"]]).transform("mean")
        target = rates.groupby(ordered["source"]).transform("min")
        rng = np.random.default_rng([seed, crc32(column.encode())])
        order = pd.Series(rng.random(len(ordered)), ordered.index).where(known, np.inf)
        # Number of each image among the known ones of its class, from 0 in random order.
        cell = [ordered["source"], ordered["label"]]
        rank = order.groupby(cell).rank(method="first") - 1
        size = known.groupby(cell).transform("size")
        kept = known & (rank < (target * size).round())
        equalized[column] = equalized[column].where(kept.reindex(equalized.index), None)
    return equalized
