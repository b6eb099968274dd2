"""Class counts: common divisors, balanced classes, and classes too small to evaluate.

A common divisor shows that files were augmented before the split.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from skin_lesions.audit.finding import Finding, Severity
from skin_lesions.config.split import Split
from skin_lesions.core.text import pluralize
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.groups import add_groups
from skin_lesions.data.splits import SPLITS, has_label_conflict
from skin_lesions.metrics.intervals import wilson_interval

# A divisor is reported only if chance produces one like it in fewer than one of 1,000 datasets.
_MAX_FALSE_ALARM_RATE = 1e-3
# No source augments an image this many times, so larger common divisors are not searched.
_LARGEST_DIVISOR = 2_000
# Recall at which the width of an interval is predicted: typical of good classifiers.
_ASSUMED_RECALL = 0.8
# With fewer lesions or patients in test, an interval covers half of the range from 0 to 1.
_MIN_TEST_GROUPS = 9


def repeated_class_counts(image_table: pd.DataFrame) -> Finding:
    """Find class counts that are exact multiples of one number.

    If each original was augmented k-fold before the data were shared or split, each class has k
    times as many files as originals. Among n random counts, the probability that k divides m or
    more of them is the binomial tail probability of m hits at 1/k. This probability is summed over
    all divisors of at least k and multiplied by the number of questions asked (each m, each subset
    of the data). The result is how often chance would produce such counts.

    The subsets are all files and each original split. Of each, all classes are checked, and also
    the classes of one origin (diagnoses.py), because a dataset combined from several sources was
    often augmented only in part. Equal counts are counted once, because datasets that were cut to
    a given size have many of them.

    Args:
        image_table: One row per readable file; columns label and original_split.

    Returns:
        A finding that counts the classes of the subset with the smallest p-value. The count is 0
        if chance explains all subsets.
    """
    subsets = list(_class_counts(image_table))
    questions = sum(counts.nunique() for *_, counts in subsets)
    divisors = [_common_divisor(origin, split, counts) for origin, split, counts in subsets]
    significant = [
        d for d in divisors if d is not None and d.p_value * questions < _MAX_FALSE_ALARM_RATE
    ]
    if not significant:
        return Finding("class_counts_share_divisor", "medium", "", 0, {}, [], "")
    best = min(significant, key=lambda d: d.p_value)
    others = [d for d in significant if d.origin == best.origin and d is not best]
    return _divisor_finding(best, best.p_value * questions, others)


@dataclass(frozen=True)
class _Divisor:
    """A common divisor of class counts.

    ``counts``: files by class, of the classes whose count ``divisor`` divides. ``of``: number of
    classes that were checked.
    """

    origin: str
    split: str | None
    divisor: int
    counts: Mapping[str, int]
    of: int
    p_value: float


def _class_counts(image_table: pd.DataFrame) -> Iterator[tuple[str, str | None, pd.Series]]:
    """Yield the subsets of the data: origin of the classes, original split, files by class."""
    labels = image_table["label"]
    origins = labels.map(_origins(labels))
    subsets = [
        ("", image_table),
        *((f"{name} ", rows) for name, rows in image_table.groupby(origins)),
    ]
    for origin, rows in subsets:
        if origin and rows["label"].nunique() == labels.nunique():
            continue  # all classes have this origin: same as the subset of all classes
        yield origin, None, rows["label"].value_counts()
        for split, split_labels in rows.groupby("original_split")["label"]:
            yield origin, str(split), split_labels.value_counts()


def _origins(labels: pd.Series) -> dict[str, str]:
    diagnoses = {label: diagnosis_of(label) for label in labels.unique()}
    return {label: d.origin for label, d in diagnoses.items() if d is not None}


def _common_divisor(origin: str, split: str | None, counts: pd.Series) -> _Divisor | None:
    """Find the divisor with the smallest p-value."""
    distinct = np.unique(counts.to_numpy())
    divisors = np.arange(2, _LARGEST_DIVISOR + 1)
    hits = (distinct[:, None] % divisors == 0).sum(axis=0)  # (divisors,)
    p_values = _p_values(hits, divisors, len(distinct))
    # Among equal p-values the largest divisor: every multiple of 12 is also a multiple of 3.
    at = len(divisors) - 1 - int(np.argmin(p_values[::-1]))
    if hits[at] < 2:
        return None
    multiples = counts[counts % divisors[at] == 0].sort_index()
    by_class = {str(label): int(n) for label, n in multiples.items()}
    return _Divisor(origin, split, int(divisors[at]), by_class, len(counts), float(p_values[at]))


def _p_values(hits: NDArray[np.intp], divisors: NDArray[np.intp], n: int) -> NDArray[np.float64]:
    """Return the probability that n random counts have at least this many multiples.

    The probability covers multiples of the divisor itself or of any larger divisor.
    """
    # (hits, divisors); with 0 or 1 hits the p-value is 1, a divisor of one count says nothing.
    p_values = np.ones((n + 1, len(divisors)))
    for m in range(2, n + 1):
        tail = np.asarray(stats.binom.sf(m - 1, n, 1 / divisors))  # P(at least m hits)
        # Beyond the largest divisor searched, the tail decreases with its power of -m.
        beyond = tail[-1] * divisors[-1] / (m - 1)
        p_values[m] = np.cumsum(tail[::-1])[::-1] + beyond
    return np.minimum(1.0, p_values[hits, np.arange(len(divisors))])


def _divisor_finding(best: _Divisor, p_value: float, others: Sequence[_Divisor]) -> Finding:
    k = best.divisor
    other_divisors = {d.split or "all splits together": d.divisor for d in others}
    also = ", ".join(
        f"in {split}: multiples of {divisor}" for split, divisor in other_divisors.items()
    )
    where = f" in {best.split}" if best.split else ""
    # Multiples of 50 are typical of a number of files that was chosen by hand.
    chosen = k % 50 == 0
    why = "someone chose how many files to take"
    if not chosen:
        why = "each original was augmented to this number of files before the data were split"
    return Finding(
        "class_counts_share_divisor",
        "info" if chosen else "medium",
        f"{len(best.counts)} of {best.of} {best.origin}classes have file counts{where} that are "
        f"exact multiples of {k}{f' ({also})' if also else ''}. A likely reason is that {why}.",
        len(best.counts),
        {"divisor": k, "classes": len(best.counts), "of_classes": best.of, "chance": p_value}
        | {f"divisor in {split}": divisor for split, divisor in other_divisors.items()},
        [[label, f"{n:,} = {k} x {n // k:,}"] for label, n in best.counts.items()],
        "Ask the source how the files were made. All files made from one original belong in one "
        "split. split.policy=grouped ensures this if they are linked by filename, lesion, patient "
        "or pixels.",
    )


def equal_class_counts(image_table: pd.DataFrame) -> Finding:
    """Report whether all classes have the same number of files: balanced, unlike real frequencies.

    Args:
        image_table: One row per readable file; columns label and original_split.
    """
    equal = {}
    original = image_table["original_split"]
    for subset in ("all", *SPLITS):
        rows = image_table if subset == "all" else image_table[original.eq(subset)]
        counts = rows["label"].value_counts()
        if len(counts) > 1 and counts.nunique() == 1:
            equal[subset] = int(counts.iloc[0])
    listed = ", ".join(
        f"{n:,} in {split}" if split != "all" else f"{n:,}" for split, n in equal.items()
    )
    classes = int(image_table["label"].nunique())
    return Finding(
        "class_counts_balanced",
        "info",
        f"All {classes} classes have the same number of files ({listed}). The dataset was "
        "balanced, so its class fractions are not the real frequencies.",
        classes if equal else 0,
        {f"files_per_class_{split}": n for split, n in equal.items()},
        [],
        "Precision and predictive values are valid only for these class fractions. "
        "Reweight them with the real frequencies.",
    )


def small_classes(
    image_table: pd.DataFrame, image_groups: pd.DataFrame, split: Split, max_width: float
) -> Finding:
    """List the classes whose recall will have too wide an interval on the test images.

    Groups (lesions, patients) are counted, because several images of one group carry little more
    information than one. Under ``grouped`` the test split gets its fraction of each class. Under
    ``cleaned`` and ``original`` it is the original test split.

    Args:
        image_table: One row per readable file; columns file, image_id, label, original_split.
        image_groups: group_id and pixel_id of every such file.
        split: Policy and fractions of the planned split.
        max_width: Classes with a wider 95 % interval (Wilson, at a recall of 0.8) are listed;
            0 to 1.
    """
    table = add_groups(image_table, image_groups)
    if split.policy != "original":  # the other policies leave out images with conflicting labels
        table = table.assign(label=table["label"].where(~has_label_conflict(table)))
    expected = _expected_test_groups(table, split)
    expected = {label: expected.get(label, 0.0) for label in sorted(image_table["label"].unique())}
    widths = {label: expected_width(n) for label, n in expected.items()}
    small = sorted((n, label) for label, n in expected.items() if widths[label] > max_width)
    severe = [label for n, label in small if n < _MIN_TEST_GROUPS]
    severity: Severity = "medium" if severe else "low"
    # The smallest number of test groups whose interval is narrow enough.
    needed = (
        next(n for n in range(1, 10**7) if expected_width(n) <= max_width) if max_width > 0 else 0
    )
    return Finding(
        "small_classes",
        severity,
        f"{len(small)} of {pluralize(len(expected), 'class', 'classes')} will have too few lesions "
        f"or patients in test: at a recall of {100 * _ASSUMED_RECALL:.0f} % the 95 % interval is "
        f"wider than {max_width:.2f}"
        + (f" (smallest class: {small[0][1]}, width {widths[small[0][1]]:.2f})." if small else "."),
        len(small),
        {"classes": len(small), "needed_in_test": needed}
        | {f"width of {label}": round(widths[label], 3) for _, label in small},
        [[label, f"{_about(n)} in test", f"width {widths[label]:.2f}"] for n, label in small],
        f"An interval width of {max_width:.2f} requires {needed} lesions or patients in test. Add "
        "images, merge classes, raise split.fractions.test, or treat these recalls as very "
        "uncertain.",
    )


def _expected_test_groups(table: pd.DataFrame, split: Split) -> dict[str, float]:
    """Return the expected number of test groups of each class."""
    if split.policy == "grouped":
        fraction = split.fractions.test
    else:
        fraction, table = 1.0, table[table["original_split"].eq("test")]
    groups = table.groupby("label")["group_id"].nunique()
    return {str(label): fraction * n for label, n in groups.items()}


def expected_width(n: float) -> float:
    """Return the width of the 95 % interval of a recall of 0.8 with n independent images."""
    if n <= 0:
        return 1.0
    low, high = wilson_interval(_ASSUMED_RECALL, n)
    return high - low


def _about(n: float) -> str:
    return "none" if n == 0 else "fewer than one" if n < 1 else f"about {n:.0f}"


def classes_missing_from_test(table: pd.DataFrame) -> Finding:
    """Report classes that have files in the original splits, but none in test."""
    original = table[table["original_split"].notna()]
    tested = set(original.loc[original["original_split"].eq("test"), "label"])
    missing = sorted(set(original["label"]) - tested) if tested else []
    return Finding(
        "classes_missing_from_test",
        "medium",
        f"The original test split has no files of {pluralize(len(missing), 'class', 'classes')}.",
        len(missing),
        {"classes": len(missing)},
        [[label] for label in missing],
        "With split.policy=original these classes cannot be evaluated. split.policy=grouped "
        "includes them in test.",
    )
