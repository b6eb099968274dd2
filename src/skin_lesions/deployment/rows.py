"""Rows of predictions: one for each image file, as cells of a CSV file or as JSON."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from skin_lesions.core.csv_cells import with_apostrophe
from skin_lesions.data.annotations.box_table import CORNERS
from skin_lesions.data.tables import balanced_column, probability_column
from skin_lesions.deployment.decisions import Prediction, ReferralReason
from skin_lesions.deployment.lesions import FoundLesions
from skin_lesions.deployment.predictor import ModelDescription

SEPARATOR = "|"  # between several values in one cell
REFER, ERROR = "refer", "error"


@dataclass(frozen=True, kw_only=True)
class PredictionRow:
    """Prediction for one file, or the reason why there is none.

    Attributes:
        file: Relative path with forward slashes.
        image_id: sha256 of the bytes; None if the file could not be opened.
        prediction: The prediction; None if the file is unreadable.
        lesions: The lesions that were found; None without a localizer or for an unreadable file.
        error: Why the file is unreadable; None if it is readable.
        model_version: Version of the model.
    """

    file: str
    image_id: str | None
    prediction: Prediction | None
    error: str | None
    model_version: str
    lesions: FoundLesions | None = None

    @property
    def referral_reasons(self) -> tuple[ReferralReason, ...]:
        """Why a person must look at the file; empty if it is not referred."""
        return ("unreadable",) if self.prediction is None else self.prediction.referral_reasons


def column_names(description: ModelDescription) -> list[str]:
    """Return the names of the columns of a CSV file of predictions."""
    return [
        "file",
        "image_id",
        "predicted",
        *_probability_columns(description),
        "prediction_set",
        "unknown_score",
        REFER,
        "refer_reason",
        *_metadata_columns(description),
        *_lesion_columns(description),
        ERROR,
        "model_version",
    ]


def _metadata_columns(description: ModelDescription) -> list[str]:
    return [] if description.postprocessing.metadata_fusion is None else ["missing_metadata"]


def _lesion_columns(description: ModelDescription) -> list[str]:
    """Return the columns of the main lesion, the number of lesions and the localizer."""
    if description.localizer_version is None:
        return []
    corners = (f"lesion_{corner}" for corner in CORNERS)
    return [*corners, "lesion_score", "lesion_count", "localizer_version"]


def _lesion_cells(lesions: FoundLesions | None, description: ModelDescription) -> list[str]:
    if lesions is None:
        return [""] * len(_lesion_columns(description))
    numbers = [*lesions.boxes[0], lesions.localization.scores[0]]
    count = str(len(lesions.boxes))
    return [*map(_format_number, numbers), count, description.localizer_version or ""]


def _probability_columns(description: ModelDescription) -> list[str]:
    columns = list(map(probability_column, description.classes))
    if description.postprocessing.frequencies.decision == "balanced":
        columns += map(balanced_column, description.classes)
    return columns


def row_cells(row: PredictionRow, description: ModelDescription) -> list[str]:
    """Return the cells of a row. A cell without a value is empty, and no cell is a formula."""
    found = row.prediction
    if found is None:
        predicted, members, score, missing = "", "", "", ""
        numbers = [""] * len(_probability_columns(description))
    else:
        predicted, members = found.predicted, _join(found.prediction_set)
        score = _format_number(found.unknown_score)
        missing = _join(found.missing_metadata or ())
        probabilities = (*found.probabilities, *(found.balanced_probabilities or ()))
        numbers = list(map(_format_number, probabilities))
    # Numbers stay numbers: a negative one is not a formula.
    return [
        with_apostrophe(row.file),
        row.image_id or "",
        with_apostrophe(predicted),
        *numbers,
        with_apostrophe(members),
        score,
        str(bool(row.referral_reasons)),
        _join(row.referral_reasons),
        *([with_apostrophe(missing)] if _metadata_columns(description) else []),
        *_lesion_cells(row.lesions, description),
        with_apostrophe(row.error or ""),
        row.model_version,
    ]


def csv_line(cells: Sequence[str]) -> str:
    """Return one line of a CSV file with its line break. Every cell is quoted."""
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(cells)
    return line.getvalue()


def row_json(row: PredictionRow, description: ModelDescription) -> dict[str, JsonValue]:
    """Return a row as JSON values. Values that do not exist are null."""
    found = row.prediction
    balanced = None if found is None else found.balanced_probabilities
    missing = None if found is None else found.missing_metadata
    metadata: dict[str, JsonValue] = (
        {"missing_metadata": None if missing is None else list(missing)}
        if _metadata_columns(description)
        else {}
    )
    return {
        "file": row.file,
        "image_id": row.image_id,
        "predicted": None if found is None else found.predicted,
        "probabilities": _by_class(None if found is None else found.probabilities, description),
        "balanced_probabilities": _by_class(balanced, description),
        "prediction_set": None if found is None else list(found.prediction_set),
        "unknown_score": None if found is None else _rounded(found.unknown_score),
        "refer": bool(row.referral_reasons),
        "refer_reasons": list(row.referral_reasons),
        **metadata,
        **_lesions_json(row.lesions, description),
        "error": row.error,
        "model_version": row.model_version,
    }


def _lesions_json(
    lesions: FoundLesions | None, description: ModelDescription
) -> dict[str, JsonValue]:
    """Return all lesions, the main one first, with boxes in pixels."""
    if description.localizer_version is None:
        return {}
    entries: list[JsonValue] | None = None
    if lesions is not None:
        entries = [
            {"box": dict(zip(CORNERS, box.tolist(), strict=True)), "score": _rounded(score)}
            for box, score in zip(lesions.boxes, lesions.localization.scores, strict=True)
        ]
    return {"lesions": entries, "localizer_version": description.localizer_version}


def _by_class(
    probabilities: Sequence[float] | None, description: ModelDescription
) -> dict[str, JsonValue] | None:
    if probabilities is None:
        return None
    return dict(zip(description.classes, map(_rounded, probabilities), strict=True))


def _join(values: Sequence[str]) -> str:
    r"""Join values in one cell. A separator in a value is written as ``\|``."""
    escaped = (value.replace("\\", "\\\\").replace(SEPARATOR, f"\\{SEPARATOR}") for value in values)
    return SEPARATOR.join(escaped)


def _format_number(value: float) -> str:
    """Format a number with 8 significant digits, more than a network computes reliably."""
    return f"{value:.8g}"


def _rounded(value: float) -> float:
    return float(_format_number(value))
