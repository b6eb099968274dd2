"""What a figure of the report is: how it is drawn, and how the report displays it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from skin_lesions.audit.findings import AuditFindings
from skin_lesions.data.tables import ImageTable, SplitTable
from skin_lesions.evaluation.scorecard import Scorecard
from skin_lesions.models.trained_model import TrainedModel


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Inputs of the report, by the name of their catalog entry."""

    metrics: Scorecard
    model: TrainedModel
    audit_findings: AuditFindings
    split_table: SplitTable
    quarantine: pd.DataFrame
    training_history: pd.DataFrame
    image_table: ImageTable


@dataclass(frozen=True, kw_only=True)
class FigureSpec:
    """A figure.

    Attributes:
        name: Name of the module and of the catalog entry.
        heading: Heading in the report.
        inputs: Catalog entries and parameters, in the order of the arguments of ``draw``.
        draw: Function that draws the figure. It is a node of ``pipeline``, so the annotations of
            its arguments must be importable without torch.
        alt_text: Function that returns the alternative text in the report.
        pipeline: Pipeline that draws the figure.
    """

    name: str
    heading: str
    inputs: tuple[str, ...]
    draw: Callable[..., Figure]
    alt_text: Callable[[ReportInputs], str]
    pipeline: Literal["audit", "report"] = "report"
