"""What a figure of the report is: how it is drawn, and how the report displays it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from typing import Literal, TypedDict

import pandas as pd
from matplotlib.figure import Figure

from skin_lesions.audit.findings import AuditFindings
from skin_lesions.core.versions import Versioned
from skin_lesions.data.tables import ImageTable, SplitTable
from skin_lesions.evaluation.malignancy import MalignancyResults
from skin_lesions.evaluation.scorecard import Scorecard
from skin_lesions.evaluation.slices import SliceResults
from skin_lesions.models.trained_model import TrainedModel
from skin_lesions.reporting.figures.drawn import DrawnFigure

FigurePipeline = Literal["audit", "report"]


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
    malignancy: MalignancyResults
    slices: SliceResults


class NodeArguments(TypedDict):
    """Arguments of a Kedro node; this package does not import Kedro."""

    func: Callable[..., DrawnFigure]
    inputs: list[str]
    outputs: str
    name: str
    tags: str


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
    pipeline: FigurePipeline = "report"

    def node_arguments(self) -> NodeArguments:
        """Return the arguments of the Kedro node that draws the figure."""
        return {
            "func": _DrawWithVersions(self),
            "inputs": list(self.inputs),
            "outputs": self.name,
            "name": f"draw_{self.name}",
            "tags": "figures",
        }


class _DrawWithVersions:
    """The function of a figure as a node: adds the versions of its inputs.

    A class, because Kedro pickles nodes for some runners.
    """

    def __init__(self, spec: FigureSpec):
        update_wrapper(self, spec.draw)  # Kedro reads its signature
        self.__annotations__ = {**spec.draw.__annotations__, "return": DrawnFigure}
        self._inputs = spec.inputs

    def __call__(self, *arguments: object) -> DrawnFigure:
        versions = {
            name: data.version
            for name, data in zip(self._inputs, arguments, strict=True)
            if isinstance(data, Versioned)
        }
        figure: Figure = self.__wrapped__(*arguments)  # type: ignore[attr-defined]
        return DrawnFigure(figure, versions)
