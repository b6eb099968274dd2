"""Class names: several names of one class, invisible characters, and names that mean unknown."""

import pandas as pd

from skin_lesions.audit.context import AuditContext
from skin_lesions.audit.finding import Finding
from skin_lesions.core.text import pluralize, printable, without_invisible
from skin_lesions.data.diagnoses import class_key
from skin_lesions.data.missing_values import is_missing


def several_names_of_one_class(context: AuditContext) -> list[Finding]:
    """Report classes that occur under several names, such as ``MEL`` and ``melanoma``."""
    files = context.image_table["label"].value_counts()
    names = pd.Series(files.index, files.index).groupby(files.index.map(class_key)).agg(list)
    repeated = [sorted(group) for group in names if len(group) > 1]
    if not repeated:
        return []
    first = ", ".join(f"'{printable(name)}'" for name in repeated[0])
    return [
        Finding(
            id="several_names_of_one_class",
            severity="high",
            message=f"Several names of {pluralize(len(repeated), 'class', 'classes')} are trained "
            f"and evaluated as different classes: {first}.",
            count=len(repeated),
            details={printable(name): int(files[name]) for group in repeated for name in group},
            examples=[[printable(name) for name in group] for group in repeated],
            recommendation="Use one name for each class: rename the folders or the labels. "
            "Invisible characters are shown as escape sequences.",
        )
    ]


def unusual_class_names(context: AuditContext) -> list[Finding]:
    """Report class names with invisible characters, and names that usually mean unknown."""
    labels = pd.Series(sorted(context.image_table["label"].unique()), dtype=object)
    invisible = labels[labels.ne(labels.map(without_invisible))]
    unknown = labels[is_missing(labels)]
    unusual = pd.concat([invisible, unknown])
    if unusual.empty:
        return []
    examples = [[printable(name), "invisible characters"] for name in invisible]
    examples += [[printable(name), "usually means an unknown class"] for name in unknown]
    return [
        Finding(
            id="unusual_class_names",
            severity="medium",
            message=f"Unusual class names: {pluralize(len(unusual), 'class', 'classes')}, e.g. "
            f"'{examples[0][0]}' ({examples[0][1]}).",
            count=len(unusual),
            details={"invisible_characters": len(invisible), "unknown": len(unknown)},
            examples=examples,
            recommendation="Rename these classes, or remove images without a known class.",
        )
    ]
