"""CSV file of predictions that is written in batches, and continued after an interruption.

Each batch is on disk before the next one is computed. After a kill, the last batch may be
incomplete. The next run removes it and continues there, so no row is missing or occurs twice.
"""

import csv
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from skin_lesions.core.csv_cells import BYTE_ORDER_MARK, with_apostrophe
from skin_lesions.core.text import format_duration, pluralize
from skin_lesions.deployment.prediction_run import PredictionRun
from skin_lesions.deployment.rows import ERROR, REFER, column_names, csv_line, row_cells

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOGS = 30.0


@dataclass
class RowCounts:
    """Numbers of rows: of all files, of unreadable files, and of referred images."""

    files: int = 0
    unreadable: int = 0
    referred: int = 0

    def add(self, columns: Sequence[str], cells: Sequence[str]) -> None:
        """Count a row."""
        self.files += 1
        if cells[columns.index(ERROR)]:
            self.unreadable += 1
        elif cells[columns.index(REFER)] == str(True):
            self.referred += 1

    def __str__(self) -> str:
        """Describe the numbers.

        >>> str(RowCounts(files=1200, unreadable=3, referred=50))
        'Predicted 1,197 images: 50 referred, 3 files unreadable'
        """
        images = pluralize(self.files - self.unreadable, "image")
        unreadable = pluralize(self.unreadable, "file")
        return f"Predicted {images}: {self.referred:,} referred, {unreadable} unreadable"


def write_rows(run: PredictionRun, path: Path) -> RowCounts:
    """Predict all files and write their rows, or the rows that the file does not have yet.

    Args:
        run: The files and the model.
        path: The CSV file. If it exists, an interrupted call with an equal run has written it.

    Returns:
        The numbers of rows in the complete file.
    """
    columns = column_names(run.predictor.description)
    total = len(run.files.names)
    with path.open("r+b" if path.exists() else "w+b") as file:
        counts = _recover(file, columns, run.names, run.batch_size)
        if counts.files:
            log.info("Prediction resumed at file %d of %d", counts.files + 1, total)
        progress = _ProgressLog(total, counts.files)
        for batch in run.batches(start=counts.files):
            lines = []
            for row in batch:
                cells = row_cells(row, run.predictor.description)
                counts.add(columns, cells)
                lines.append(csv_line(cells))
            file.write("".join(lines).encode())
            _flush_to_disk(file)
            progress.show(counts.files)
    return counts


def _recover(
    file: BinaryIO, columns: Sequence[str], names: Iterable[str], batch_size: int
) -> RowCounts:
    """Position the file after its last complete batch, and remove everything after it.

    Batches of equal files give equal rows to the last digit. So an incomplete batch is computed
    again as a whole.
    """
    header = BYTE_ORDER_MARK + csv_line(columns).encode()
    if file.read(len(header)) != header:  # new, or killed while the header was written
        file.seek(0)
        file.truncate()
        file.write(header)
        _flush_to_disk(file)
        return RowCounts()
    end = len(header)
    complete, counts = RowCounts(), RowCounts()
    for (cells, offset), name in zip(_complete_rows(file), names, strict=False):
        if len(cells) != len(columns) or cells[0] != with_apostrophe(name):
            break
        counts.add(columns, cells)
        if counts.files % batch_size == 0:
            complete = RowCounts(**vars(counts))
            end = len(header) + offset
    file.seek(end)
    file.truncate()
    return complete


def _complete_rows(file: BinaryIO) -> Iterator[tuple[list[str], int]]:
    """Yield the cells of each complete row, and the number of bytes up to its end.

    They end before the first row that is incomplete or damaged.
    """
    offset = 0

    def complete_lines() -> Iterator[str]:
        nonlocal offset
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield line.decode()

    try:
        # The reader takes only the lines of one row at a time, so the offset is that of the row.
        for cells in csv.reader(complete_lines(), strict=True):
            yield cells, offset
    except (csv.Error, UnicodeDecodeError):  # a name with a line break may be incomplete
        return


def _flush_to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


class _ProgressLog:
    """Logs the progress and the remaining time every 30 seconds."""

    def __init__(self, total: int, done: int) -> None:
        self._total, self._done_before = total, done
        self._start = self._last = time.monotonic()

    def show(self, done: int) -> None:
        """Log the progress, unless it was logged recently."""
        now = time.monotonic()
        if now - self._last < _SECONDS_BETWEEN_LOGS:
            return
        self._last = now
        rate = (done - self._done_before) / (now - self._start)  # files per second
        log.info(
            "Predicted %d of %d files (%.0f files/s, remaining time about %s)",
            done,
            self._total,
            rate,
            format_duration((self._total - done) / rate),
        )
