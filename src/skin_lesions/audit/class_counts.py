"""Class counts: balanced classes, and classes missing from a split or too small to evaluate."""

import pandas as pd

from skin_lesions.audit.context import AuditContext
from skin_lesions.audit.finding import Finding
from skin_lesions.config.split import Split
from skin_lesions.core.text import pluralize, printable
from skin_lesions.data.column_split import divide_by_column
from skin_lesions.data.splits import SPLITS, has_label_conflict
from skin_lesions.metrics.intervals import wilson_interval

# Recall at which the width of an interval is predicted: typical of good classifiers.
_ASSUMED_RECALL = 0.8
# With fewer lesions or patients in test, an interval covers half of the range from 0 to 1.
_MIN_TEST_GROUPS = 9


def classes_without_images(context: AuditContext) -> list[Finding]:
    """Report classes that are in the source, but have no readable file."""
    source = context.source_table
    unreadable = source[source["file"].isin(context.quarantine["file"])]
    files = unreadable["label"].value_counts().sort_index()
    files = files[~files.index.isin(context.table["label"])]
    if files.empty:
        return []
    return [
        Finding(
            id="classes_without_images",
            severity="high",
            message="Classes without a readable file are missing from the model: "
            f"{', '.join(map(printable, files.index))}.",
            count=len(files),
            details={str(label): int(n) for label, n in files.items()},
            examples=[
                [str(label), pluralize(int(n), "unreadable file")] for label, n in files.items()
            ],
            recommendation="Restore the files, or remove the classes from the source. "
            "quarantine.csv lists each file with the reason.",
        )
    ]


def classes_missing_from_splits(context: AuditContext) -> list[Finding]:
    """Report classes that the planned split leaves without train, val or test images."""
    if context.planned_split is None:
        return []  # the split stops with an error
    labels = sorted(context.table["label"].unique())
    counts = pd.crosstab(context.planned_split["label"], context.planned_split["split"])
    counts = counts.reindex(index=labels, columns=SPLITS, fill_value=0)
    missing = counts[counts.eq(0).any(axis=1)]
    if missing.empty:
        return []
    tested = int(counts["test"].gt(0).sum())
    return [
        Finding(
            id="classes_missing_from_splits",
            severity="medium",
            message=f"The split (split.policy={context.split.policy}) leaves "
            f"{pluralize(len(missing), 'class', 'classes')} without images in a split: "
            f"{tested} of {len(labels)} classes will be evaluated on test.",
            count=len(missing),
            details={f"classes without {name}": int(counts[name].eq(0).sum()) for name in SPLITS},
            examples=[
                [str(label), "no " + ", ".join(SPLITS[i] for i in row.to_numpy().nonzero()[0])]
                for label, row in missing.eq(0).iterrows()
            ],
            recommendation="A class needs at least three groups (lesions or patients) without "
            "conflicting labels. Add images, merge classes, or remove these classes.",
        )
    ]


def classes_missing_from_test(context: AuditContext) -> list[Finding]:
    """Report classes that have files in the original splits, but none in test.

    Under other policies than ``grouped``, ``classes_missing_from_splits`` reports them.
    """
    if context.split.policy != "grouped":
        return []
    original = context.table[context.table["original_split"].notna()]
    tested = set(original.loc[original["original_split"].eq("test"), "label"])
    missing = sorted(set(original["label"]) - tested) if tested else []
    if not missing:
        return []
    return [
        Finding(
            id="classes_missing_from_test",
            severity="medium",
            message="The original test split has no files of "
            f"{pluralize(len(missing), 'class', 'classes')}.",
            count=len(missing),
            details={"classes": len(missing)},
            examples=[[label] for label in missing],
            recommendation="With split.policy=original these classes cannot be evaluated. "
            "split.policy=grouped includes them in test.",
        )
    ]


def class_counts_balanced(context: AuditContext) -> list[Finding]:
    """Report whether all classes have the same number of files, unlike real frequencies.

    All files and each original split are checked.
    """
    image_table = context.image_table
    files_per_class: dict[str, int] = {}
    for subset in ("all", *SPLITS):
        rows = image_table
        if subset != "all":
            rows = image_table[image_table["original_split"].eq(subset)]
        counts = rows["label"].value_counts()
        if len(counts) > 1 and counts.nunique() == 1:
            files_per_class[subset] = int(counts.iloc[0])
    if not files_per_class:
        return []
    listed = ", ".join(
        f"{n:,} in {split}" if split != "all" else f"{n:,}" for split, n in files_per_class.items()
    )
    classes = image_table["label"].nunique()
    return [
        Finding(
            id="class_counts_balanced",
            severity="info",
            message=f"All {classes} classes have the same number of files ({listed}). The dataset "
            "was balanced, so its class fractions are not the real frequencies.",
            count=classes,
            details={f"files_per_class_{split}": n for split, n in files_per_class.items()},
            examples=[],
            recommendation="Precision and predictive values are valid only for these class "
            "fractions. Reweight them with the real frequencies.",
        )
    ]


def small_classes(context: AuditContext) -> list[Finding]:
    """List the classes whose recall will have too wide an interval on the test images.

    Groups (lesions, patients) are counted, because several images of one group carry little more
    information than one. Under ``grouped`` the test split gets its fraction of each class. Under
    ``cleaned`` and ``original`` it is the original test split. Classes with a wider 95 % interval
    (Wilson, at a recall of 0.8) than ``audit.max_interval_width`` are listed.
    """
    max_width = context.parameters.max_interval_width
    expected = _expected_test_groups(context.table, context.split)
    widths = {label: expected_width(n) for label, n in expected.items()}
    small = sorted((n, label) for label, n in expected.items() if widths[label] > max_width)
    if not small:
        return []
    smallest, smallest_label = small[0]
    needed = _smallest_sufficient_n(max_width)
    return [
        Finding(
            id="small_classes",
            severity="medium" if smallest < _MIN_TEST_GROUPS else "low",
            message=f"{len(small)} of {pluralize(len(expected), 'class', 'classes')} will have too "
            f"few lesions or patients in test: at a recall of {100 * _ASSUMED_RECALL:.0f} % the "
            f"95 % interval is wider than {max_width:.2f} (smallest class: {smallest_label}, "
            f"width {widths[smallest_label]:.2f}).",
            count=len(small),
            details={"classes": len(small), "needed_in_test": needed}
            | {f"width of {label}": round(widths[label], 3) for _, label in small},
            examples=[
                [label, f"{_about(n)} in test", f"width {widths[label]:.2f}"] for n, label in small
            ],
            recommendation=f"An interval width of {max_width:.2f} requires {needed} lesions or "
            "patients in test. Add images, merge classes, raise split.fractions.test, or treat "
            "these recalls as very uncertain.",
        )
    ]


def _expected_test_groups(table: pd.DataFrame, split: Split) -> dict[str, float]:
    """Return the expected number of test groups of each class, in alphabetical order."""
    labels = sorted(table["label"].unique())
    if split.policy == "by_column":
        division = divide_by_column(table, split.column, split.test_values)
        in_test = division.is_test & ~division.is_excluded
    else:
        in_test = table["original_split"].eq("test")
    if split.policy != "original":  # the other policies leave out images with conflicting labels
        table = table[~has_label_conflict(table)]
    fraction = 1.0
    if split.policy == "grouped":
        fraction = split.fractions.test
    else:
        table = table[in_test[table.index]]
    groups = table.groupby("label")["group_id"].nunique()
    return {str(label): fraction * int(groups.get(label, 0)) for label in labels}


def _smallest_sufficient_n(max_width: float) -> int:
    """Return the smallest number of test groups with an interval of at most this width."""
    if max_width <= 0:
        return 0  # no number is sufficient
    return next(n for n in range(1, 10**7) if expected_width(n) <= max_width)


def expected_width(n: float) -> float:
    """Return the width of the 95 % interval of a recall of 0.8 with n independent images."""
    if n <= 0:
        return 1.0
    low, high = wilson_interval(_ASSUMED_RECALL, n)
    return high - low


def _about(n: float) -> str:
    if n == 0:
        return "none"
    return "fewer than one" if n < 1 else f"about {n:.0f}"
