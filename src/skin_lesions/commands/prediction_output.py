"""Output of ``skin-lesions predict``: a table for people, CSV or JSON.

CSV and JSON are written row by row. A table is written at the end, because its widths depend on all
rows.
"""

import json
from abc import ABC, abstractmethod
from typing import Literal, TextIO

from skin_lesions.core.text import printable
from skin_lesions.deployment.predictor import ModelDescription
from skin_lesions.deployment.rows import (
    PredictionRow,
    column_names,
    csv_line,
    row_cells,
    row_json,
)

OutputFormat = Literal["table", "csv", "json"]


class RowWriter(ABC):
    """Writes rows to a text file: first ``begin``, then each row, then ``end``."""

    def __init__(self, file: TextIO, description: ModelDescription) -> None:
        self._file, self._description = file, description

    @abstractmethod
    def begin(self) -> None:
        """Write what is before all rows."""

    @abstractmethod
    def write(self, row: PredictionRow) -> None:
        """Write one row."""

    @abstractmethod
    def end(self) -> None:
        """Write what is after all rows."""


def row_writer(
    output_format: OutputFormat, file: TextIO, description: ModelDescription
) -> RowWriter:
    """Return the writer of a format."""
    writers: dict[OutputFormat, type[RowWriter]] = {
        "table": TableWriter,
        "csv": CSVWriter,
        "json": JSONWriter,
    }
    return writers[output_format](file, description)


class CSVWriter(RowWriter):
    """The columns of ``new_predictions``."""

    def begin(self) -> None:
        """Write the header."""
        self._file.write(csv_line(column_names(self._description)))

    def write(self, row: PredictionRow) -> None:
        """Write one line."""
        self._file.write(csv_line(row_cells(row, self._description)))

    def end(self) -> None:
        """Write nothing."""


class JSONWriter(RowWriter):
    """A list with one object for each row, in one line."""

    def begin(self) -> None:
        """Open the list."""
        self._separator = "\n"
        self._file.write("[")

    def write(self, row: PredictionRow) -> None:
        """Write one object."""
        text = json.dumps(row_json(row, self._description), ensure_ascii=False, allow_nan=False)
        self._file.write(f"{self._separator}{text}")
        self._separator = ",\n"

    def end(self) -> None:
        """Close the list."""
        self._file.write("\n]\n")


class TableWriter(RowWriter):
    """A table of the main columns, with the width of the terminal."""

    def begin(self) -> None:
        """Create the table."""
        from rich.table import Table  # noqa: PLC0415 (50 ms)

        self._table = Table(box=None, pad_edge=False)
        self._table.add_column("File", overflow="fold")
        self._table.add_column("Predicted", overflow="fold")
        self._table.add_column("Probability", justify="right", no_wrap=True)
        self._table.add_column("Prediction set", overflow="fold")
        if self._description.localizer_version is not None:
            self._table.add_column("Lesion", overflow="fold")
        self._table.add_column("Refer", overflow="fold")

    def write(self, row: PredictionRow) -> None:
        """Add a row to the table."""
        from rich.text import Text  # noqa: PLC0415

        found = row.prediction
        if found is None:
            cells, refer = [row.file, "", "", ""], f"unreadable: {row.error}"
        else:
            sets = ", ".join(found.prediction_set)
            cells = [row.file, found.predicted, f"{found.confidence:.1%}", sets]
            refer = ", ".join(found.referral_reasons) or "no"
        if self._description.localizer_version is not None:
            box = [] if row.lesions is None else row.lesions.boxes[0]  # of the main lesion
            cells.append(" ".join(f"{corner:.0f}" for corner in box))
        cells.append(refer)
        # A Text is never markup. Names of files may contain control characters.
        self._table.add_row(*(Text(printable(cell)) for cell in cells))

    def end(self) -> None:
        """Write the table."""
        from rich.console import Console  # noqa: PLC0415

        Console(file=self._file).print(self._table)
