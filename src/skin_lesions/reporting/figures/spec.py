"""What a figure of the report is: how it is drawn, and how the report displays it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import update_wrapper
from typing import Literal, TypedDict, cast

import pandas as pd
from matplotlib.figure import Figure

from skin_lesions.audit.findings import AuditFindings
from skin_lesions.audit.model_findings import ModelFindings
from skin_lesions.config.report import Report
from skin_lesions.core.versions import NamedResults, StoredVersions, Versioned
from skin_lesions.data.tables import ImageTable, SplitTable
from skin_lesions.evaluation.comparison import Comparison
from skin_lesions.evaluation.external import ExternalResults
from skin_lesions.evaluation.fusion import FusionResults
from skin_lesions.evaluation.localization import LocalizationResults
from skin_lesions.evaluation.malignancy import MalignancyResults
from skin_lesions.evaluation.robustness import RobustnessResult
from skin_lesions.evaluation.scorecard import Scorecard
from skin_lesions.evaluation.slices import SliceResults
from skin_lesions.evaluation.test_ledger import TestLedger
from skin_lesions.evaluation.uncertainty import Uncertainty
from skin_lesions.evaluation.unknown import UnknownResults
from skin_lesions.models.trained_model import TrainedModel
from skin_lesions.reporting.figures.drawn import DrawnFigure
from skin_lesions.reporting.figures.placeholder import draw_placeholder

_SETTINGS = "params:report"
# Catalog entries with pixels. A figure that reads one of them can show patients.
_PIXELS = {"pixel_store", "raw_images"}
FigurePipeline = Literal["audit", "report"]


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Inputs of the report and the model card.

    Each field has the name of its catalog entry, except ``report``, the parameters of the report.
    To show a new result in the report, add a field for it.
    """

    report: Report
    metrics: Scorecard
    uncertainty: Uncertainty
    model: TrainedModel
    audit_findings: AuditFindings
    split_table: SplitTable
    quarantine: pd.DataFrame
    training_history: pd.DataFrame
    image_table: ImageTable
    malignancy: MalignancyResults
    slices: SliceResults
    unknown: UnknownResults
    model_findings: ModelFindings
    robustness: RobustnessResult
    fusion: FusionResults
    label_issues: pd.DataFrame
    test_ledger: TestLedger
    stored_comparisons: StoredVersions[Comparison]
    stored_external_metrics: NamedResults[ExternalResults]
    stored_localizations: StoredVersions[LocalizationResults]


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
        section: Section of the report that shows the figure.
        shows_patients: Whether the figure contains images of patients. They are left out with
            ``report.show_images=false``: the node then draws a placeholder.

    Raises:
        ValueError: The figure reads pixels and is not marked with ``shows_patients``.
    """

    name: str
    heading: str
    inputs: tuple[str, ...]
    draw: Callable[..., Figure]
    alt_text: Callable[[ReportInputs], str]
    pipeline: FigurePipeline = "report"
    section: str = "results"
    shows_patients: bool = False

    def __post_init__(self) -> None:
        if _PIXELS & set(self.inputs) and not self.shows_patients:
            raise ValueError(
                f"Figure {self.name} reads {sorted(_PIXELS & set(self.inputs))}, so it can show "
                "patients. Fix: set shows_patients=True"
            )

    @property
    def node_inputs(self) -> tuple[str, ...]:
        """Inputs of the node: those of ``draw``, and the parameters that can hide patients."""
        if self.shows_patients and _SETTINGS not in self.inputs:
            return (*self.inputs, _SETTINGS)
        return self.inputs

    def node_arguments(self) -> NodeArguments:
        """Return the arguments of the Kedro node that draws the figure."""
        return {
            "func": _DrawWithVersions(self),
            "inputs": list(self.node_inputs),
            "outputs": self.name,
            "name": f"draw_{self.name}",
            "tags": "figures",
        }


class _DrawWithVersions:
    """The function of a figure as a node.

    It adds the versions of the inputs, and replaces images of patients if they are not wanted.
    A class, because Kedro pickles nodes for some runners.
    """

    def __init__(self, spec: FigureSpec):
        update_wrapper(self, spec.draw)
        self.__annotations__ = {**spec.draw.__annotations__, "return": DrawnFigure}
        signature = inspect.signature(spec.draw)
        if spec.node_inputs != spec.inputs:
            self.__annotations__["report"] = Report
            settings = inspect.Parameter(
                "report", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Report
            )
            signature = signature.replace(parameters=[*signature.parameters.values(), settings])
        self.__signature__ = signature  # Kedro reads it
        self._spec = spec

    def __call__(self, *arguments: object) -> DrawnFigure:
        inputs = dict(zip(self._spec.node_inputs, arguments, strict=True))
        versions = {
            name: data.version for name, data in inputs.items() if isinstance(data, Versioned)
        }
        return DrawnFigure(self._figure(inputs), versions)

    def _figure(self, inputs: Mapping[str, object]) -> Figure:
        if self._spec.shows_patients and not cast("Report", inputs[_SETTINGS]).show_images:
            return draw_placeholder(self._spec.heading)
        figure: Figure = self._spec.draw(*(inputs[name] for name in self._spec.inputs))
        return figure
