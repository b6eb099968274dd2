"""Identifiers of lesions and patients: placeholders, and values that link too many images."""

from collections.abc import Iterator

import pandas as pd

from skin_lesions.audit.context import AuditContext
from skin_lesions.audit.finding import Finding
from skin_lesions.core.text import pluralize, printable
from skin_lesions.data.groups import link_values
from skin_lesions.data.missing_values import identifiers, is_missing_number

_COLUMNS = ("lesion_id", "patient_id", "filename_key")
# A group is large if it has more than both.
_LARGE_GROUP = 20  # images
_LARGE_FRACTION = 0.02  # of all images


def placeholder_identifiers(context: AuditContext) -> list[Finding]:
    """Report files whose lesion or patient is 0 or -1, which counts as unknown."""
    counts: dict[str, int] = {}
    for column in ("lesion_id", "patient_id"):
        if column in context.table:
            values = identifiers(context.table[column])
            for value, n in values[is_missing_number(values)].value_counts().items():
                counts[f"{column} {value}"] = int(n)
    if not counts:
        return []
    listed = ", ".join(f"{name} ({pluralize(n, 'file')})" for name, n in counts.items())
    return [
        Finding(
            id="placeholder_identifiers",
            severity="low",
            message=f"Identifiers that usually mean unknown link no files: {listed}.",
            count=sum(counts.values()),
            details=dict(counts),
            examples=[[name, pluralize(n, "file")] for name, n in counts.items()],
            recommendation="If such a number is a real lesion or patient, write it with a letter, "
            "for example P0. Otherwise leave the cell empty.",
        )
    ]


def identifiers_of_several_patients(context: AuditContext) -> list[Finding]:
    """Report lesions and filename keys that occur with several patients."""
    table = context.table
    if "patient_id" not in table:
        return []
    patient = link_values(table, "patient_id")
    counts: dict[tuple[str, str], int] = {}  # (column, value): patients
    for column in ("lesion_id", "filename_key"):
        if column in table:
            values = identifiers(table[column])
            if column == "lesion_id":
                values = values.mask(is_missing_number(values), None)
            patients = patient.groupby(values).nunique()
            counts |= {(column, str(value)): int(n) for value, n in patients.items() if n > 1}
    if not counts:
        return []
    examples = sorted(counts, key=lambda key: -counts[key])
    column, value = examples[0]
    merges = any(name == "filename_key" for name, _ in counts)
    return [
        Finding(
            id="identifiers_of_several_patients",
            severity="medium" if merges else "low",
            message=f"Identifiers of several patients: {pluralize(len(counts), 'value')}, e.g. "
            f"{column} '{printable(value)}' of {counts[column, value]:,} patients.",
            count=len(counts),
            details={f"{name}_values": sum(c == name for c, _ in counts) for name, _ in counts},
            examples=[
                [name, printable(value), pluralize(counts[name, value], "patient")]
                for name, value in examples
            ],
            recommendation="A lesion_id of several patients counts as a different lesion of each "
            "patient. A filename_key merges the patients into one group: check "
            "source.filename_pattern. If the value means unknown, leave the cell empty.",
        )
    ]


def large_groups(context: AuditContext) -> list[Finding]:
    """Report groups of more than 20 images and 2 % of all images, and the value that links them."""
    images = context.table.drop_duplicates("image_id")
    sizes = images["group_id"].value_counts()
    large = sizes[sizes > max(_LARGE_GROUP, _LARGE_FRACTION * len(images))]
    if large.empty:
        return []
    values = {c: link_values(context.table, c) for c in _COLUMNS if c in context.table}
    causes = {
        str(group): next(_causes(values, context.table["group_id"].eq(group)), "near-duplicates")
        for group in large.index
    }
    group, n = str(large.index[0]), int(large.iloc[0])
    return [
        Finding(
            id="large_groups",
            severity="medium",
            message=f"Groups with more than {_LARGE_FRACTION:.0%} of the images: {len(large)}. The "
            f"largest has {n:,} of {len(images):,} images, linked by {causes[group]}.",
            count=len(large),
            details={"groups": len(large), "largest": n, "fraction": n / len(images)},
            examples=[
                [causes[str(group)], f"{pluralize(int(n), 'image')} ({n / len(images):.1%})"]
                for group, n in large.items()
            ],
            recommendation="A group stays in one split. If the value means unknown, leave the cell "
            "empty. If the images are not related, correct the column.",
        )
    ]


def _causes(values: dict[str, pd.Series], in_group: pd.Series) -> Iterator[str]:
    """Yield column and value that link most files of a group."""
    counts = {column: cells[in_group].value_counts() for column, cells in values.items()}
    linking = {column: n for column, n in counts.items() if len(n) and n.iloc[0] > 1}
    for column in sorted(linking, key=lambda name: -linking[name].iloc[0]):
        value = printable(linking[column].index[0])
        yield f"{column} '{value}' ({pluralize(int(linking[column].iloc[0]), 'file')})"
