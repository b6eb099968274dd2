"""Which metadata columns a model may use as inputs."""

import logging
import re
from collections.abc import Sequence

import pandas as pd

from skin_lesions.config.metadata import MetadataInputs
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable, suggest
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.missing_values import is_missing
from skin_lesions.data.sources.column_names import KEY_COLUMNS
from skin_lesions.data.sources.metadata import RESERVED_COLUMNS
from skin_lesions.data.tabular import infer_type, reason_without_information

log = logging.getLogger(__name__)

IDENTIFIERS = frozenset({"lesion_id", "patient_id"})
NAMES_OF_IMAGES = {*KEY_COLUMNS, *(f"metadata_{name}" for name in KEY_COLUMNS)}
_IS_LABEL = 0.95  # fraction of images whose label a column repeats
# Columns that are known only after or because of the diagnosis, and those that describe files. They
# are usually absent for a new patient, or they reveal where an image comes from.
_PROCESS = re.compile(
    r"(metadata_)?("
    r"dx|dx_.*|.*diagnos.*|.*histolog.*|.*patholog.*|iddx.*|benign_malignant|melanocytic|"
    r"concomitant_biopsy|biops[iy]?ed|biopsy.*|.*thick.*|.*breslow.*|clark_?level|"
    r"clinical_impression.*|management|seven_point_score|(three|nine)_partition_label|"
    r"attribution|copyright.*|.*license|label_source|.*upstream.*|.*split|fold|"
    r"image_type|image_manipulation|dermoscopic_type|acquisition_day|"
    r"file_?(size|name)|.*path|url.*|pixels_[xy]|(image_)?(width|height)|qc"
    r")",
    re.IGNORECASE,
)


def select_columns(table: pd.DataFrame, settings: MetadataInputs) -> tuple[str, ...]:
    """Return the columns that ``metadata.columns`` selects, sorted.

    Args:
        table: The image table, or some rows of it.
        settings: Parameters ``metadata``.

    Raises:
        InputError: A column does not exist, is a column of this project, identifies a patient or a
            lesion, or repeats the label; or ``all`` finds no column.
    """
    if settings.columns is None:
        return ()
    excluded = RESERVED_COLUMNS | IDENTIFIERS | NAMES_OF_IMAGES
    candidates = [str(name) for name in table if name not in excluded]
    selected = (
        _suitable_columns(table, candidates)
        if settings.all_columns
        else _named_columns(table, settings.columns, candidates)
    )
    without_column = sorted(set(settings.types) - set(selected))
    if without_column:
        raise InputError(
            f"metadata.types has a type for {', '.join(map(printable, without_column))}, which "
            "metadata.columns does not select. Expected only selected columns: "
            f"{', '.join(map(printable, selected))}"
        )
    return tuple(sorted(selected))


def is_process_column(name: str) -> bool:
    """Return whether a column describes the diagnostic process or the file."""
    return _PROCESS.fullmatch(re.sub(r"[\W_]+", "_", name).strip("_")) is not None


def is_free_text(name: str, column: pd.Series) -> bool:
    """Return whether a column of texts has words, and not names or numbers of single images."""
    if name in NAMES_OF_IMAGES:
        return False
    return bool(column[~is_missing(column)].astype(str).str.contains(r"\s").any())


def repeats_label(column: pd.Series, label: pd.Series) -> bool:
    """Return whether the known values of a column are the labels, for nearly all images."""
    pairs = pd.DataFrame({"value": column.astype(str), "label": label})[~is_missing(column)]
    if pairs.empty:
        return False
    counts = pairs.value_counts()
    repeated = [_is_same_label(value, name) for value, name in counts.index]
    return bool(counts[repeated].sum() >= _IS_LABEL * counts.sum())


def _is_same_label(value: str, label: str) -> bool:
    diagnosis = diagnosis_of(value)
    return value.casefold() == label.casefold() or (
        diagnosis is not None and diagnosis == diagnosis_of(label)
    )


def _named_columns(
    table: pd.DataFrame, columns: Sequence[str], candidates: Sequence[str]
) -> list[str]:
    for name in columns:
        if name not in candidates:
            known = ", ".join(map(printable, candidates)) or "none"
            reason = (
                "is a column of this project or an identifier, which no model may use"
                if name in table
                else f"does not exist; {suggest(name, candidates, listing='check the name')}"
            )
            raise InputError(
                f"metadata.columns: {printable(name)} {reason}. Expected some of the metadata "
                f"columns: {known}"
            )
        if repeats_label(table[name], table["label"]):
            raise InputError(
                f"metadata.columns: {printable(name)} repeats the label, so a model of it would "
                "not need the image. Fix: remove it from metadata.columns"
            )
        if is_process_column(name):
            log.warning(
                "Metadata column %s describes the diagnostic process or the file. It is used "
                "because metadata.columns names it. Check that it is known before the diagnosis",
                printable(name),
            )
    return list(columns)


def _suitable_columns(table: pd.DataFrame, candidates: Sequence[str]) -> list[str]:
    left_out = {}
    for name in candidates:
        if is_process_column(name):
            left_out[name] = "describes the diagnostic process or the file"
        elif repeats_label(table[name], table["label"]):
            left_out[name] = "repeats the label"
        else:
            kind = infer_type(name, table[name])
            left_out[name] = reason_without_information(name, table[name], kind) or ""
            if kind == "text" and not is_free_text(name, table[name]):
                left_out[name] = "its values are names or numbers of single images"
    for name, reason in left_out.items():
        if reason:
            log.info("Metadata column %s is not used: %s", printable(name), reason)
    selected = [name for name in candidates if not left_out[name]]
    if not selected:
        raise InputError(
            "metadata.columns is all, but the image table has no suitable metadata column. Fix: "
            "add a table with source.metadata, or set metadata.columns to null"
        )
    return selected
