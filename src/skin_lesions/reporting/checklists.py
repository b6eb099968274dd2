"""Reporting checklists of the model card: CLEAR Derm and CLAIM.

Each item has an answer if a run can know it; the author of the card must fill in the others. The
topics are summaries. The sources have the complete text of each item.

Source:
    CLEAR Derm: Daneshjou et al. (2022), doi:10.1001/jamadermatol.2021.4915.
    CLAIM, update of 2024: Tejani et al. (2024), doi:10.1148/ryai.240300.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from skin_lesions.reporting import external_summary
from skin_lesions.reporting.figures.spec import ReportInputs
from skin_lesions.reporting.formatting import images_from

Answer = Callable[[ReportInputs], str | None]


@dataclass(frozen=True)
class ChecklistItem:
    """An item of a guideline.

    Attributes:
        topic: What to report.
        answer: Function that returns the section of the card, or a statement. It returns None if
            the results do not contain the answer. None instead of a function: no result can
            contain it.
    """

    topic: str
    answer: Answer | None = None


@dataclass(frozen=True, kw_only=True)
class Checklist:
    """A guideline with its items, in its order; the first one has the number 1."""

    name: str
    source: str
    items: Sequence[ChecklistItem]

    def answers(self, inputs: ReportInputs) -> list[tuple[int, str, str | None]]:
        """Return number, topic and answer of each item; None if the author must fill it in."""
        return [
            (number, item.topic, item.answer(inputs) if item.answer else None)
            for number, item in enumerate(self.items, start=1)
        ]


def _section(name: str) -> Answer:
    return lambda _: f"Section {name}"


def _synthetic(inputs: ReportInputs) -> str | None:
    synthetic = inputs.model.provenance.origin.is_synthetic
    return "All images are synthetic" if synthetic else None


def _public_images(inputs: ReportInputs) -> str | None:
    origin = inputs.model.provenance.origin
    return images_from(origin) if origin.kind == "kaggle" else None


def _metadata_bias(inputs: ReportInputs) -> str | None:
    probes = inputs.audit_findings.shortcut_probes
    if not any(probe.kind == "column" for probe in probes):
        return None
    return "The report has a shortcut probe of each metadata column"


def _ensemble(inputs: ReportInputs) -> str:
    augmentation = inputs.model.test_time_augmentation.replace("_", " ")
    return f"No ensemble: one network. Test-time augmentation: {augmentation}"


def _malignancy(inputs: ReportInputs) -> str | None:
    return "Section Quantitative Analyses" if inputs.metrics.test.malignant.classes else None


def _external(inputs: ReportInputs) -> str | None:
    found, _ = external_summary.results_of_model(inputs.stored_external_metrics, inputs.model)
    return "Report, section External validation" if found else None


def _robustness(inputs: ReportInputs) -> str | None:
    return "Report, section Results" if inputs.robustness.measured else None


def _explanations(inputs: ReportInputs) -> str | None:
    return "Report, section Explanations" if inputs.model_findings.reason is None else None


def _subgroups(inputs: ReportInputs) -> str | None:
    has_numbers = any(
        entry.balanced_accuracy.value is not None
        for column in inputs.slices.columns
        for entry in column.slices
    )
    return "Report, section Subgroups" if has_numbers else None


_DATA, _TRAINING = _section("Evaluation Data"), _section("Training Data")
_DETAILS, _RESULTS = _section("Model Details"), _section("Quantitative Analyses")
_CAVEATS, _FACTORS = _section("Caveats and Recommendations"), _section("Factors")
_METRICS, _PROVENANCE = _section("Metrics"), _section("Provenance")

CLEAR_DERM = Checklist(
    name="CLEAR Derm",
    source="https://doi.org/10.1001/jamadermatol.2021.4915",
    items=(
        ChecklistItem("Types of images"),
        ChecklistItem("Artifacts in the images, such as ink, rulers and hair"),
        ChecklistItem("Devices and conditions of the acquisition"),
        ChecklistItem("Preprocessing of the images", _DETAILS),
        ChecklistItem("Synthetic images", _synthetic),
        ChecklistItem("References of public images", _public_images),
        ChecklistItem("Patient-level metadata: sex, age, ethnicity, body site"),
        ChecklistItem("Skin color, and how it was assessed"),
        ChecklistItem("Biases from patient information and metadata", _metadata_bias),
        ChecklistItem("Partitions of the data", _DATA),
        ChecklistItem("Sizes of training, validation and test data", _TRAINING),
        ChecklistItem("External test data", _external),
        ChecklistItem("Images from several vendors of devices"),
        ChecklistItem("Distribution and balance of the classes", _TRAINING),
        ChecklistItem("Images outside the distribution of the training", _CAVEATS),
        ChecklistItem("Method of labeling, and who labeled"),
        ChecklistItem("Diagnostic labels that are in common use", _DETAILS),
        ChecklistItem("Histopathology of malignant lesions"),
        ChecklistItem("Development of the algorithm", _TRAINING),
        ChecklistItem("Public evaluation of the algorithm"),
        ChecklistItem("Performance measures", _METRICS),
        ChecklistItem("Comparison with other methods, and novelty"),
        ChecklistItem("Assessment of bias between groups of patients", _subgroups),
        ChecklistItem("Use cases and target conditions"),
        ChecklistItem("Impact on health care teams and patients"),
    ),
)

CLAIM = Checklist(
    name="CLAIM (2024 update)",
    source="https://doi.org/10.1148/ryai.240300",
    items=(
        ChecklistItem("Title that names the method", lambda _: "Title of this card"),
        ChecklistItem("Structured summary of the study"),
        ChecklistItem("Background, intended use and clinical role"),
        ChecklistItem("Aims and hypotheses"),
        ChecklistItem("Prospective or retrospective study"),
        ChecklistItem("Goal of the study"),
        ChecklistItem("Sources of the data", _TRAINING),
        ChecklistItem("Inclusion and exclusion criteria"),
        ChecklistItem("Preprocessing of the data", _DETAILS),
        ChecklistItem("Selection of subsets of the data", _DATA),
        ChecklistItem("De-identification"),
        ChecklistItem("Missing data", _FACTORS),
        ChecklistItem("Protocol of the image acquisition"),
        ChecklistItem("Definition of the reference standard"),
        ChecklistItem("Reason for the choice of the reference standard"),
        ChecklistItem("Source of the annotations, and qualification of the readers"),
        ChecklistItem("Annotation of the test data"),
        ChecklistItem("Variability between and within readers"),
        ChecklistItem("Assignment of data to partitions", _DATA),
        ChecklistItem("Level at which the partitions are disjoint", _DATA),
        ChecklistItem("Intended sample size"),
        ChecklistItem("Description of the model", _DETAILS),
        ChecklistItem("Software and packages", _PROVENANCE),
        ChecklistItem("Initialization of the model", _DETAILS),
        ChecklistItem("Training", _TRAINING),
        ChecklistItem("Selection of the final model", _TRAINING),
        ChecklistItem("Ensemble", _ensemble),
        ChecklistItem("Metrics of model performance", _METRICS),
        ChecklistItem("Measures of statistical uncertainty", _METRICS),
        ChecklistItem("Robustness or sensitivity analysis", _robustness),
        ChecklistItem("Methods for explanations", _explanations),
        ChecklistItem("Evaluation on internal data", _RESULTS),
        ChecklistItem("Testing on external data", _external),
        ChecklistItem("Registration of a clinical trial"),
        ChecklistItem("Numbers of included and excluded images", _TRAINING),
        ChecklistItem("Demographics and clinical characteristics by partition"),
        ChecklistItem("Performance with its statistical uncertainty", _RESULTS),
        ChecklistItem("Estimates of diagnostic performance and their precision", _malignancy),
        ChecklistItem("Analysis of failures", _CAVEATS),
        ChecklistItem("Limitations", _CAVEATS),
        ChecklistItem("Implications for practice"),
        ChecklistItem("Reference of the complete study protocol"),
        ChecklistItem("Availability of software, model and data"),
        ChecklistItem("Funding"),
    ),
)

CHECKLISTS = (CLEAR_DERM, CLAIM)
