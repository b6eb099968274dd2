"""Kedro data set of the ledger of test-split evaluations, as an append-only CSV file."""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock
from kedro.io import AbstractDataset

from skin_lesions.core.atomic_files import atomic_write
from skin_lesions.core.csv_cells import with_apostrophe, without_apostrophe
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.datasets.previews import TablePreview
from skin_lesions.evaluation.test_ledger import (
    LedgerEntry,
    LedgerRow,
    TestLedger,
    format_row,
    ledger_table,
    parse_row,
)

_BYTE_ORDER_MARK = "\ufeff".encode()  # with it, Excel recognizes UTF-8
_LOCK_TIMEOUT = 60.0  # seconds; a row is written in milliseconds


class TestLedgerDataset(AbstractDataset[LedgerEntry, TestLedger]):
    """Appends one row per save, and loads all rows.

    Not versioned: a count over all runs must not start again. Earlier rows are never changed: their
    bytes are copied. A complete new file replaces the file, so that a killed run leaves either the
    old or the new ledger. A lock orders concurrent runs.
    """

    __test__ = False  # not a test of pytest

    def __init__(self, *, filepath: str, metadata: dict[str, object] | None = None):
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> TestLedger:
        """Load all rows.

        Raises:
            InputError: A line is damaged. The file stays as it is.
        """
        return self._parse(self._path.read_bytes())

    def save(self, data: LedgerEntry) -> None:
        """Append an evaluation, with the current time.

        Raises:
            InputError: The ledger is damaged, so that nothing is written.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._path.with_name(f".{self._path.stem}.lock"), timeout=_LOCK_TIMEOUT):
            if self._path.exists():
                content = self._path.read_bytes()
                self._parse(content)  # never append to a damaged ledger
            else:
                content = _BYTE_ORDER_MARK + format_row(LedgerRow.columns()).encode()
            time = datetime.now(UTC).isoformat(timespec="milliseconds")
            with atomic_write(self._path) as partial:
                partial.write_bytes(content + _encode(LedgerRow.at(time, data)))

    def _parse(self, content: bytes) -> TestLedger:
        if not content.endswith(b"\n"):
            raise self._damage(content.count(b"\n") + 1, "the line is incomplete")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self._damage(content[: error.start].count(b"\n") + 1, "not UTF-8") from None
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        rows: list[LedgerRow] = []
        try:
            for cells in reader:
                if reader.line_num == 1:
                    if cells != LedgerRow.columns():
                        raise ValueError("the columns are not those of this version")
                    continue
                rows.append(parse_row(list(map(without_apostrophe, cells))))
        except (csv.Error, ValueError) as error:
            raise self._damage(reader.line_num, str(error)) from None
        return TestLedger(rows=tuple(rows))

    def _damage(self, line: int, problem: str) -> InputError:
        return InputError(
            f"Line {line} of {self._path} is damaged ({printable(problem)}). Nothing was changed. "
            "Fix: correct this line from a backup; or move the file away to start a new ledger, "
            "and keep the old one"
        )

    def preview(self, nrows: int = 10) -> TablePreview:
        """Show the newest rows in kedro-viz."""
        newest = ledger_table(self.load()).iloc[::-1].head(nrows)
        return TablePreview(newest.astype(str).to_dict(orient="split"))

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self._path)}


def _encode(row: LedgerRow) -> bytes:
    values = row.model_dump()
    cells = ["" if values[name] is None else str(values[name]) for name in LedgerRow.columns()]
    return format_row(list(map(with_apostrophe, cells))).encode()
