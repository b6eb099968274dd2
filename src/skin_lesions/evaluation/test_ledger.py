"""Ledger of the evaluations of test splits: how often their images were evaluated.

Each evaluation of a test split, and each choice that follows from it, makes the next result on the
same images more optimistic. The ledger therefore counts every evaluation, also an identical one.
"""

import csv
import io
from collections.abc import Sequence
from typing import Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from skin_lesions.core.text import pluralize
from skin_lesions.data.fingerprints import fingerprint_of_test_images
from skin_lesions.data.tables import PredictionTable
from skin_lesions.evaluation.scorecard import Scorecard

HEADLINE = ("accuracy", "balanced_accuracy", "macro_f1", "auroc_macro")


class LedgerEntry(BaseModel):
    """One evaluation of a test split.

    Attributes:
        model_version: Version of the model.
        predictions_version: Version of the predictions.
        split_fingerprint: Fingerprint of all splits.
        test_fingerprint: Fingerprint of the test images and their labels.
        split_policy: Policy of the split.
        test_images: Number of test images.
        test_groups: Number of groups of test images.
        accuracy: Value; ``_low`` and ``_high`` are the bounds of its 95 % interval, as for the
            other metrics. Unknown numbers are None.
        package_version: Version of this package.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_version: str
    predictions_version: str
    split_fingerprint: str
    test_fingerprint: str
    split_policy: str
    test_images: int
    test_groups: int
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    balanced_accuracy: float | None
    balanced_accuracy_low: float | None
    balanced_accuracy_high: float | None
    macro_f1: float | None
    macro_f1_low: float | None
    macro_f1_high: float | None
    auroc_macro: float | None
    auroc_macro_low: float | None
    auroc_macro_high: float | None
    package_version: str


class LedgerRow(LedgerEntry):
    """A row of the ledger: an evaluation and its time (UTC, ISO 8601)."""

    time: str

    @classmethod
    def columns(cls) -> list[str]:
        """Return the columns of the ledger, the time first."""
        return ["time", *(name for name in cls.model_fields if name != "time")]

    @classmethod
    def at(cls, time: str, evaluation: LedgerEntry) -> Self:
        """Return the row of an evaluation at this time."""
        return cls(time=time, **evaluation.model_dump())


class TestLedger(BaseModel):
    """All rows of the ledger, the oldest first."""

    __test__ = False  # not a test of pytest
    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: tuple[LedgerRow, ...]

    def of_test_images(self, fingerprint: str) -> tuple[LedgerRow, ...]:
        """Return the evaluations of the test images with this fingerprint."""
        return tuple(row for row in self.rows if row.test_fingerprint == fingerprint)

    def summary(self, model_version: str) -> str:
        """State how often the test images of a model were evaluated, and with how many models.

        Args:
            model_version: A model that was evaluated; its newest evaluation selects the images.

        Returns:
            One sentence. Without an evaluation of the model, it says so.
        """
        newest = next((r for r in reversed(self.rows) if r.model_version == model_version), None)
        if newest is None:
            return "The ledger has no evaluation of this model on a test split."
        same = self.of_test_images(newest.test_fingerprint)
        models = len({row.model_version for row in same})
        return (
            f"This test split has been evaluated {pluralize(len(same), 'time')} in this data root, "
            f"with {pluralize(models, 'model')}."
        )


def evaluation_of(metrics: Scorecard, predictions: PredictionTable) -> LedgerEntry:
    """Return what the ledger records about the evaluation of a test split."""
    made_from, test = metrics.provenance, metrics.test
    numbers: dict[str, float | None] = {}
    for name in HEADLINE:
        estimate = test[name]
        numbers |= {
            name: estimate.value,
            f"{name}_low": estimate.low,
            f"{name}_high": estimate.high,
        }
    return LedgerEntry.model_validate(
        {
            "model_version": made_from.model_version,
            "predictions_version": made_from.predictions_version,
            "split_fingerprint": made_from.split_fingerprint,
            "test_fingerprint": fingerprint_of_test_images(predictions.frame),
            "split_policy": metrics.split_policy,
            "test_images": test.n,
            "test_groups": test.groups,
            "package_version": made_from.package_version,
            **numbers,
        }
    )


def format_row(cells: Sequence[str]) -> str:
    """Format one line of the CSV file, with its line break; every cell is quoted."""
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(cells)
    return line.getvalue()


def parse_row(cells: Sequence[str]) -> LedgerRow:
    """Return the row with these cells, in the order of ``LedgerRow.columns()``.

    Raises:
        ValueError: The number of cells is wrong, or a cell has no valid value.
    """
    columns = LedgerRow.columns()
    if len(cells) != len(columns):
        raise ValueError(f"{len(cells)} cells instead of {len(columns)}")
    values = {name: cell or None for name, cell in zip(columns, cells, strict=True)}
    try:
        return LedgerRow.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None


def ledger_table(ledger: TestLedger) -> pd.DataFrame:
    """Return the ledger as a table, one row per evaluation."""
    rows = [row.model_dump() for row in ledger.rows]
    return pd.DataFrame(rows, columns=LedgerRow.columns())
