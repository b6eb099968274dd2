"""Table of all images of the page as CSV, safe to open in a spreadsheet."""

import base64
from collections.abc import Sequence

from skin_lesions.core.csv_cells import BYTE_ORDER_MARK
from skin_lesions.deployment.app.analysis import Analysis, Result
from skin_lesions.deployment.predictor import ModelDescription
from skin_lesions.deployment.rows import PredictionRow, column_names, csv_line, row_cells


def csv_url(results: Sequence[Result], description: ModelDescription) -> str:
    """Return the table as a data URL, so that no file is needed on the disk."""
    content = BYTE_ORDER_MARK + csv_text(results, description).encode()
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(content).decode('ascii')}"


def csv_text(results: Sequence[Result], description: ModelDescription) -> str:
    """Return the table: one row for each file, with the columns of the pipeline ``predict``."""
    rows = [row_cells(_row(result, description), description) for result in results]
    return "".join(map(csv_line, [column_names(description), *rows]))


def _row(result: Result, description: ModelDescription) -> PredictionRow:
    return PredictionRow(
        file=result.file,
        image_id=result.image_id,
        prediction=result.prediction if isinstance(result, Analysis) else None,
        error=None if isinstance(result, Analysis) else result.reason,
        model_version=description.version,
        lesions=result.lesions if isinstance(result, Analysis) else None,
    )
