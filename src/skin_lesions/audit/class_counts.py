"""What the number of files of each class says: copies made before the split, classes too small to judge."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from skin_lesions.audit.finding import Finding, Severity, pluralize
from skin_lesions.audit.finding import pluralize as _count
from skin_lesions.config.split import Split
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.groups import add_groups
from skin_lesions.data.splits import SPLITS, has_label_conflict
from skin_lesions.metrics.intervals import wilson_interval

# A divisor is told of if chance gives one like it in fewer than one of so many data sets.
_MAX_FALSE_ALARM_RATE = 1e-3
# Nobody ships a picture this many times; larger common divisors are not looked for.
_LARGEST_DIVISOR = 2_000
# At which recall the width of an interval is foretold: what good classifiers reach.
_ASSUMED_RECALL = 0.8
# With fewer lesions or patients to test on than this, an interval spans half of all there is.
_MIN_TEST_GROUPS = 9


def repeated_class_counts(image_table: pd.DataFrame) -> Finding:
    """Look for class counts that are exact multiples of one number.

    Where each original was augmented k-fold before the data were shared or split, the classes
    count k times their originals. Of n random counts, k divides m or more with the binomial
    probability of m hits at 1/k; summed over all divisors of k or more, and times the number of
    questions asked (each m, each part of the data), this is how often chance would do it.

    Looked at are all files and each shipped split; of each, all classes, and the classes of
    one origin (labels.py), since a set put together from several was often augmented in part.
    Equal counts are one count: sets cut to size have many of them.

    Args:
        image_table: One row per readable file; columns label and original_split.

    Returns:
        A finding that counts the classes of the most telling part; 0 if chance explains all.
    """
    parts = list(_parts(image_table))
    questions = sum(counts.nunique() for *_, counts in parts)
    divisors = [_common_divisor(origin, split, counts) for origin, split, counts in parts]
    certain = [
        d for d in divisors if d is not None and d.p_value * questions < _MAX_FALSE_ALARM_RATE
    ]
    if not certain:
        return Finding("class_counts_share_divisor", "medium", "", 0, {}, [], "")
    best = min(certain, key=lambda d: d.p_value)
    others = [d for d in certain if d.origin == best.origin and d is not best]
    return _multiples(best, best.p_value * questions, others)


@dataclass(frozen=True)
class _Divisor:
    """``counts``: files by class of those that ``divisor`` divides; ``of`` classes were asked."""

    origin: str
    split: str | None
    divisor: int
    counts: Mapping[str, int]
    of: int
    p_value: float


def _parts(image_table: pd.DataFrame) -> Iterator[tuple[str, str | None, pd.Series]]:
    """List the parts of the data: whose classes, which shipped split, files of each class."""
    labels = image_table["label"]
    origins = labels.map(_origins(labels))
    subsets = [
        ("", image_table),
        *((f"{name} ", rows) for name, rows in image_table.groupby(origins)),
    ]
    for origin, rows in subsets:
        if origin and rows["label"].nunique() == labels.nunique():
            continue  # all are of this origin
        yield origin, None, rows["label"].value_counts()
        for split, shipped in rows.groupby("original_split")["label"]:
            yield origin, str(split), shipped.value_counts()


def _origins(labels: pd.Series) -> dict[str, str]:
    diagnoses = {label: diagnosis_of(label) for label in labels.unique()}
    return {label: d.origin for label, d in diagnoses.items() if d is not None}


def _common_divisor(origin: str, split: str | None, counts: pd.Series) -> _Divisor | None:
    """Find the divisor that chance explains least."""
    distinct = np.unique(counts.to_numpy())
    divisors = np.arange(2, _LARGEST_DIVISOR + 1)
    hits = (distinct[:, None] % divisors == 0).sum(axis=0)
    chances = _p_values(hits, divisors, len(distinct))
    # Of equally likely ones the largest: what 12 divides, 3 divides too.
    at = len(divisors) - 1 - int(np.argmin(chances[::-1]))
    if hits[at] < 2:
        return None
    multiples = counts[counts % divisors[at] == 0].sort_index()
    named = {str(label): int(n) for label, n in multiples.items()}
    return _Divisor(origin, split, int(divisors[at]), named, len(counts), float(chances[at]))


def _p_values(hits: NDArray[np.intp], divisors: NDArray[np.intp], n: int) -> NDArray[np.float64]:
    """Return how likely so many of n random counts share this divisor or any larger one."""
    chances = np.ones((n + 1, len(divisors)))  # a divisor of one count says nothing
    for m in range(2, n + 1):
        tail = np.asarray(stats.binom.sf(m - 1, n, 1 / divisors))
        # Beyond the largest divisor looked for, the tail falls as its power of -m.
        beyond = tail[-1] * divisors[-1] / (m - 1)
        chances[m] = np.cumsum(tail[::-1])[::-1] + beyond
    return np.minimum(1.0, chances[hits, np.arange(len(divisors))])


def _multiples(best: _Divisor, chance: float, others: Sequence[_Divisor]) -> Finding:
    k = best.divisor
    parts = {d.split or "all splits together": d.divisor for d in others}
    also = ", ".join(f"in {split}: of {divisor}" for split, divisor in parts.items())
    where = f" in {best.split}" if best.split else ""
    # Whole fifties are what people choose when they decide how many files to take.
    chosen = k % 50 == 0
    why = "someone decides how many to take"
    if not chosen:
        why = "each original was turned into so many before the data were divided"
    return Finding(
        "class_counts_share_divisor",
        "info" if chosen else "medium",
        f"{len(best.counts)} of {best.of} {best.origin}classes have file counts{where} that are exact "
        f"multiples of {k}{f' ({also})' if also else ''}, as when {why}.",
        len(best.counts),
        {"divisor": k, "classes": len(best.counts), "of_classes": best.of, "chance": chance}
        | {f"divisor in {split}": divisor for split, divisor in parts.items()},
        [[label, f"{n:,} = {k} x {n // k:,}"] for label, n in best.counts.items()],
        "Ask the source how the files were made. All copies of one original belong in one split; "
        "split.policy=grouped does so once they are joined by name, lesion, patient or pixels.",
    )


def equal_class_counts(image_table: pd.DataFrame) -> Finding:
    """Tell if all classes have equally many files: balanced on purpose, unlike the world.

    Args:
        image_table: One row per readable file; columns label and original_split.
    """
    equal = {}
    shipped = image_table["original_split"]
    for part in ("all", *SPLITS):
        rows = image_table if part == "all" else image_table[shipped.eq(part)]
        counts = rows["label"].value_counts()
        if len(counts) > 1 and counts.nunique() == 1:
            equal[part] = int(counts.iloc[0])
    told = ", ".join(
        f"{n:,} in {split}" if split != "all" else f"{n:,}" for split, n in equal.items()
    )
    classes = int(image_table["label"].nunique())
    return Finding(
        "class_counts_balanced",
        "info",
        f"All {classes} classes have equally many files ({told}): someone balanced them, so their shares "
        "say nothing about how frequent they are.",
        classes if equal else 0,
        {f"files_per_class_{split}": n for split, n in equal.items()},
        [],
        "Precision and predictive values hold for this mixture only; weigh them by real frequencies.",
    )


def small_classes(
    image_table: pd.DataFrame, image_groups: pd.DataFrame, split: Split, widest: float
) -> Finding:
    """List the classes whose recall will have too wide an interval on the test images.

    Counted are groups (lesions, patients), since several pictures of one tell little more than
    one. Under ``grouped`` the test gets its share of each class; under ``cleaned`` and
    ``original`` it is the shipped one.

    Args:
        image_table: One row per readable file; columns file, image_id, label, original_split.
        image_groups: group_id and pixel_id of every such file.
        split: Policy and shares of the split to come.
        widest: Classes with a wider 95 % interval (Wilson, at a recall of 0.8) are listed; 0 to 1.
    """
    table = add_groups(image_table, image_groups)
    if split.policy != "original":  # the others leave contradictions out
        table = table.assign(label=table["label"].where(~has_label_conflict(table)))
    expected = _expected_test_groups(table, split)
    expected = {label: expected.get(label, 0.0) for label in sorted(image_table["label"].unique())}
    widths = {label: expected_width(n) for label, n in expected.items()}
    small = sorted((n, label) for label, n in expected.items() if widths[label] > widest)
    grave = [label for n, label in small if n < _MIN_TEST_GROUPS]
    severity: Severity = "medium" if grave else "low"
    enough = next(n for n in range(1, 10**7) if expected_width(n) <= widest) if widest > 0 else 0
    return Finding(
        "small_classes",
        severity,
        f"{len(small)} of {pluralize(len(expected), 'class', 'classes')} will have too few lesions or "
        f"patients to test on: at a recall of {100 * _ASSUMED_RECALL:.0f} % the 95 % interval is wider than {widest:.2f}"
        + (f" (the smallest, {small[0][1]}: {widths[small[0][1]]:.2f})." if small else "."),
        len(small),
        {"classes": len(small), "needed_in_test": enough}
        | {f"width of {label}": round(widths[label], 3) for _, label in small},
        [[label, f"{_about(n)} in test", f"width {widths[label]:.2f}"] for n, label in small],
        f"An interval of {widest:.2f} needs {enough} lesions or patients in test: add images, join "
        "classes, raise split.fractions.test, or read these recalls as hardly known.",
    )


def _expected_test_groups(table: pd.DataFrame, split: Split) -> dict[str, float]:
    """Return how many groups of each class the test is going to have."""
    if split.policy == "grouped":
        share = split.fractions.test
    else:
        share, table = 1.0, table[table["original_split"].eq("test")]
    groups = table.groupby("label")["group_id"].nunique()
    return {str(label): share * n for label, n in groups.items()}


def expected_width(n: float) -> float:
    """Return how wide the 95 % interval of a recall of 0.8 is with so many independent images."""
    if n <= 0:
        return 1.0
    low, high = wilson_interval(_ASSUMED_RECALL, n)
    return high - low


def _about(n: float) -> str:
    return "none" if n == 0 else "fewer than one" if n < 1 else f"about {n:.0f}"


def classes_missing_from_test(table: pd.DataFrame) -> Finding:
    """Report classes that have files in the original splits, but none in test."""
    shipped = table[table["original_split"].notna()]
    tested = set(shipped.loc[shipped["original_split"].eq("test"), "label"])
    untested = sorted(set(shipped["label"]) - tested) if tested else []
    return Finding(
        "classes_missing_from_test",
        "medium",
        f"Without any file in the shipped test split: {_count(len(untested), 'class', 'classes')}.",
        len(untested),
        {"classes": len(untested)},
        [[label] for label in untested],
        "Under original nothing can be said of these classes; split.policy=grouped tests them.",
    )
