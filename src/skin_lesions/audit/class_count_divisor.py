"""Common divisor of the class counts: a sign that files were augmented before the split."""

import numpy as np
import pandas as pd
from scipy.special import zeta

from skin_lesions.audit.context import AuditContext
from skin_lesions.audit.finding import Finding
from skin_lesions.data.diagnoses import diagnosis_of

_MIN_DIVISOR = 3  # 2 divides three random counts in one of eight datasets
_MIN_COUNTS = 3  # different ones; equal counts show only that the dataset was balanced
_MAX_FALSE_ALARM_RATE = 1e-3  # of one subset
_ROUND = 50  # multiples of 50 are typical of a number of files that was chosen by hand


def class_counts_share_divisor(context: AuditContext) -> list[Finding]:
    """Report class counts that are all multiples of one number of at least 3.

    If each original was augmented k-fold before the data were shared or split, each class has k
    times as many files as originals. A dataset combined from several sources was often augmented
    only in part. All classes are therefore checked, and then the classes of each origin
    (diagnoses.py); of both, all files and each original split.

    A divisor is reported only if chance rarely produces one that is as large: with three classes
    from 23, with four from 8, with six from 4.
    """
    image_table = context.image_table
    diagnoses = {label: diagnosis_of(label) for label in image_table["label"].unique()}
    origins = image_table["label"].map({label: d.origin for label, d in diagnoses.items() if d})
    subsets = [("", image_table)]
    subsets += [(f"{origin} ", rows) for origin, rows in image_table.groupby(origins)]
    for origin, rows in subsets:
        divisors = {"": _common_divisor(rows)}
        for split, split_rows in rows.groupby("original_split"):
            divisors[str(split)] = _common_divisor(split_rows)
        divisors = {split: k for split, k in divisors.items() if k >= _MIN_DIVISOR}
        if divisors:
            return [_finding(origin, rows, divisors)]
    return []


def _common_divisor(rows: pd.DataFrame) -> int:
    """Return the greatest common divisor of the class counts; 1 if chance could explain it."""
    counts = rows["label"].value_counts().unique()
    if len(counts) < _MIN_COUNTS:
        return 1
    divisor = int(np.gcd.reduce(counts))
    # Any j of at least the divisor divides n random counts with probability 1 / j**n each. The sum
    # over all j is the Hurwitz zeta function.
    chance = zeta(len(counts), divisor)
    return divisor if chance < _MAX_FALSE_ALARM_RATE else 1


def _finding(origin: str, rows: pd.DataFrame, divisors: dict[str, int]) -> Finding:
    """Describe the divisors of the classes of one origin, by split (empty: all splits together)."""
    split, k = next(iter(divisors.items()))
    in_split = rows[rows["original_split"].eq(split)] if split else rows
    counts = in_split["label"].value_counts().sort_index()
    others = {name: divisor for name, divisor in divisors.items() if name != split}
    also = ", ".join(f"in {name}: multiples of {divisor}" for name, divisor in others.items())
    details: dict[str, int | float] = {"divisor": k, "classes": len(counts)}
    details |= {f"divisor in {name}": divisor for name, divisor in others.items()}
    where = f" in {split}" if split else ""
    chosen = k % _ROUND == 0
    why = "each original was augmented to this number of files before the data were split"
    if chosen:
        why = "someone chose how many files to take"
    return Finding(
        id="class_counts_share_divisor",
        severity="info" if chosen else "medium",
        message=f"All {len(counts)} {origin}classes have file counts{where} that are exact "
        f"multiples of {k}{f' ({also})' if also else ''}. "
        f"A likely reason is that {why}.",
        count=len(counts),
        details=details,
        examples=[[str(label), f"{n:,} = {k} x {n // k:,}"] for label, n in counts.items()],
        recommendation="Ask the source how the files were made. All files made from one original "
        "belong in one split. split.policy=grouped ensures this if they are linked by filename, "
        "lesion, patient or pixels.",
    )
