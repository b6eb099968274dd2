"""Label mapping: from the labels of other images to the classes of a model.

Names of a class and its subtypes are known from the table of diagnoses. A map that the user writes
has priority over it.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import normalize_name, pluralize, printable
from skin_lesions.data.diagnoses import class_key, diagnosis_of

IGNORE = "ignore"  # in a map: images with this label are left out
MAX_BYTES = 1 << 20  # of a map; longer files are no maps
_CSV_COLUMNS = ("label", "class")
_UNDECIDED = "CHOOSE"  # in the template of a map


@dataclass(frozen=True, kw_only=True)
class LabelMapping:
    """The class of each label.

    Attributes:
        classes: The class of each label; None: images with this label are left out.
    """

    classes: Mapping[str, str | None]

    def apply(self, labels: pd.Series) -> pd.Series:
        """Return the class of each image, None for images that are left out."""
        return labels.map(self.classes).astype(object).where(lambda mapped: mapped.notna(), None)


def map_labels(
    labels: pd.Series, classes: Sequence[str], given: Mapping[str, str] | None
) -> LabelMapping:
    """Map each label to a class of the model.

    The map of the user decides first. Without an entry there, a label is a class if it is the name
    of the class, another name of the same class, or a subtype of the diagnosis of the class.

    Args:
        labels: The label of each image; missing labels are left out.
        classes: Classes of the model.
        given: Map of the user from labels to classes or ``IGNORE``.

    Raises:
        InputError: A label has no class, or an entry of the map is not a class. The message has a
            template of the map.
    """
    counts = labels.dropna().astype(str).value_counts()
    of_user = _resolve_map(given or {}, classes)
    found: dict[str, str | None] = {}
    unmapped: list[str] = []
    for label in sorted(counts.index):
        entry = of_user.get(_lookup_key(label))
        known = entry if entry is not None else known_class(label, classes)
        if known is None:
            unmapped.append(label)
        else:
            found[label] = None if known == IGNORE else known
    if unmapped:
        raise InputError(_unmapped_message(unmapped, counts, classes))
    if counts.size and all(name is None for name in found.values()):
        raise InputError(
            f"All labels of the external images are ignored ({', '.join(map(printable, found))}). "
            "Expected images of at least one class. Fix: correct external.label_map"
        )
    return LabelMapping(classes=found)


def known_class(label: str, classes: Sequence[str]) -> str | None:
    """Return the class that a label names according to the table of diagnoses, or None.

    A subtype belongs to the class of its diagnosis. A diagnosis does not belong to the class of
    one of its subtypes: not every nevus is a blue nevus.

    >>> known_class("blue naevus", ["NV", "MEL"]), known_class("Nevus", ["Blue nevus"])
    ('NV', None)
    """
    if label in classes:
        return label
    same_name = [name for name in classes if class_key(name) == class_key(label)]
    if same_name:
        return same_name[0]
    diagnosis = diagnosis_of(label)
    if diagnosis is None:
        return None
    return next((name for name in classes if class_key(name) == diagnosis.code), None)


def read_label_map(path: str | None) -> dict[str, str] | None:
    """Read a map from labels to classes: YAML (``label: class``) or CSV (columns label, class).

    Returns:
        The map; None without a path.

    Raises:
        InputError: The file does not exist or is no map, or a label has two different classes.
    """
    if path is None:
        return None
    file = Path(path)
    try:
        data = file.read_bytes() if file.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        raise InputError(
            f"external.label_map cannot be read ({printable(path)}: {error.strerror}). Expected a "
            "YAML or CSV file"
        ) from None
    if data is None:
        raise InputError(f"external.label_map ({printable(path)}) is larger than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
        pairs = _csv_pairs(text) if file.suffix.lower() == ".csv" else _yaml_pairs(text)
    except (ValueError, yaml.YAMLError, csv.Error) as error:
        reason = next(iter(str(error).splitlines()), "")
        raise InputError(
            f"external.label_map ({printable(path)}) is not a map of labels ({printable(reason)}). "
            "Expected YAML lines such as 'nevus: NV', or CSV with the columns label and class"
        ) from None
    return _without_conflicts(pairs, path)


def _yaml_pairs(text: str) -> list[tuple[str, str]]:
    # The nodes of the file, not its content: they show repeated labels, and values stay texts.
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise ValueError("no lines of the form label: class")
    if not all(isinstance(item, yaml.ScalarNode) for pair in node.value for item in pair):
        raise ValueError("a label or class is not a text")
    return [(label.value, name.value) for label, name in node.value]


def _csv_pairs(text: str) -> list[tuple[str, str]]:
    rows = list(csv.DictReader(text.splitlines(), strict=True))
    if not rows or any(row.get(name) in (None, "") for row in rows for name in _CSV_COLUMNS):
        raise ValueError("the columns label and class are missing or incomplete")
    return [(row["label"], row["class"]) for row in rows]


def _without_conflicts(pairs: Sequence[tuple[str, str]], path: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for label, name in pairs:
        key = _lookup_key(label)
        if found.setdefault(key, name.strip()) != name.strip():
            raise InputError(
                f"external.label_map ({printable(path)}) has two classes for the label "
                f"{printable(repr(label))}. Expected one. Fix: delete one of the lines"
            )
    return found


def _lookup_key(label: str) -> str:
    return normalize_name(label).strip()


def _resolve_map(given: Mapping[str, str], classes: Sequence[str]) -> dict[str, str]:
    """Return the map with the class names of the model."""
    by_key = {class_key(name): name for name in classes}
    resolved = {}
    unknown = []
    for label, name in given.items():
        if name.casefold() == IGNORE:
            target: str | None = IGNORE
        else:
            target = name if name in classes else by_key.get(class_key(name))
        if target is None:
            unknown.append(f"{printable(label)}: {printable(name)}")
        else:
            resolved[_lookup_key(label)] = target
    if unknown:
        raise InputError(
            f"external.label_map has classes that the model does not have ({'; '.join(unknown)}). "
            f"Expected {', '.join(map(printable, classes))}, or {IGNORE}"
        )
    return resolved


def _unmapped_message(unmapped: Sequence[str], counts: pd.Series, classes: Sequence[str]) -> str:
    images = pluralize(int(counts[list(unmapped)].sum()), "image")
    # A text in JSON is also a text in YAML, with all special characters escaped.
    template = "\n".join(
        f"  {json.dumps(printable(label), ensure_ascii=False)}: {_UNDECIDED}  "
        f"# {pluralize(int(counts[label]), 'image')}"
        for label in unmapped
    )
    return (
        f"{pluralize(len(unmapped), 'label')} of {images} cannot be mapped to a class of the "
        f"model. Expected one of: {', '.join(map(printable, classes))}. Fix: save the following "
        f"lines as a YAML file, replace each {_UNDECIDED} by a class or by {IGNORE}, and set "
        f"external.label_map to the file:\n{template}"
    )
