"""Made-up inputs of figures, report and model card, as a run saves them, for any class names."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from skin_lesions.audit.finding import SEVERITIES, Finding
from skin_lesions.audit.findings import AuditFindings, AuditSummary, ProbeResult
from skin_lesions.audit.model_findings import ModelFindings, compute_model_findings
from skin_lesions.config.evaluate import Corruption
from skin_lesions.config.ingest import Ingest
from skin_lesions.config.report import Report
from skin_lesions.core.versions import NamedResults, StoredVersions
from skin_lesions.data.diagnoses import DIAGNOSES, malignant_classes
from skin_lesions.data.groups import group_images
from skin_lesions.data.image_table import rows_of_images
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.data.provenance import (
    ImageProvenance,
    MetricsProvenance,
    ModelProvenance,
    Origin,
    PredictionProvenance,
    SplitProvenance,
)
from skin_lesions.data.tables import ExplanationTable, ImageTable, PredictionTable, SplitTable
from skin_lesions.data.tabular import fit_encoder
from skin_lesions.evaluation.explained_images import ExplainedImages, select_images
from skin_lesions.evaluation.fusion import FusionResults, compute_fusion_results
from skin_lesions.evaluation.label_issues import rank_label_issues
from skin_lesions.evaluation.malignancy import MalignancyResults
from skin_lesions.evaluation.robustness import (
    CorruptedScore,
    CorruptionScores,
    RobustnessResult,
)
from skin_lesions.evaluation.scorecard import Scorecard, compute_metrics
from skin_lesions.evaluation.slices import SliceResults
from skin_lesions.evaluation.test_ledger import LedgerRow, TestLedger, evaluation_of
from skin_lesions.evaluation.uncertainty import Uncertainty, uncertainty_metrics
from skin_lesions.evaluation.unknown import UnknownResults, compute_unknown_results
from skin_lesions.metrics.intervals import Estimate, unavailable
from skin_lesions.models.postprocessing.conformal import set_names
from skin_lesions.models.postprocessing.malignancy_thresholds import (
    MalignancyThresholds,
    fit_malignancy_thresholds,
)
from skin_lesions.models.postprocessing.metadata_fusion import fit_metadata_model
from skin_lesions.models.postprocessing.temperature import TemperatureFit
from skin_lesions.models.trained_model import Selection, TrainedModel
from skin_lesions.models.weights_origin import WeightsLeakage, WeightsOrigin
from skin_lesions.pipelines.evaluate.nodes import measure_malignancy, measure_slices
from skin_lesions.reporting.figures.registry import FIGURES
from skin_lesions.reporting.figures.spec import FigureSpec, ReportInputs
from support.factories import AUDIT, EVALUATE
from support.postprocessing import postprocessing

DIAGNOSIS_NAMES = [diagnosis.name for diagnosis in DIAGNOSES]
UNUSUAL_NAMES = [
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "日本語",
    "a_b$c%",
    "x$^2$",
    "a|b *c*",
]
VERSION = "2026-11-23T06.00.00.000Z"
RAW_IMAGES_VERSION = "2026-11-23T05.00.00.000Z"
IMAGE_TABLE_VERSION = "2026-11-23T05.10.00.000Z"
SPLIT_TABLE_VERSION = "2026-11-23T05.20.00.000Z"
DATA_FINGERPRINT, SPLIT_FINGERPRINT = "d00d" * 16, "5f1a" * 16
# The smallest PNG: one pixel, with the size 1 x 1 in its header.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
REPORT = Report(samples_per_class=4, show_images=True, comparison=None)
LICENSE_NOTE = "ISIC 2019: CC BY-NC 4.0 <b>"


@dataclass
class Study:
    """Inputs for made-up classes.

    ``images_per_class`` has the order of ``labels``. ``untested`` classes have no test images.
    """

    labels: list[str]
    images_per_class: list[int]
    synthetic: bool = False
    policy: str = "grouped"
    epochs: int = 8
    unreadable: int = 3
    untested: tuple[str, ...] = ()
    seed: int = 0
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    @property
    def origin(self) -> Origin:
        if self.synthetic:
            return Origin(kind="demo", seed=1)
        return Origin(kind="folder", folder="/d", license_notes=(LICENSE_NOTE,))

    @property
    def split_provenance(self) -> SplitProvenance:
        return SplitProvenance(
            origin=self.origin,
            raw_images_version=RAW_IMAGES_VERSION,
            image_table_version=IMAGE_TABLE_VERSION,
            data_fingerprint=DATA_FINGERPRINT,
            split_fingerprint=SPLIT_FINGERPRINT,
            split_policy=self.policy,
        )

    @cached_property
    def split_table(self) -> SplitTable:
        label = np.repeat(self.labels, self.images_per_class)
        index = np.concatenate([np.arange(n) for n in self.images_per_class])
        split = np.array(["train"] * 7 + ["val", "test", "test"])[index % 10]
        split = np.where(np.isin(label, self.untested) & (split == "test"), "train", split)
        file = [f"{s}/{c}/{c[:4]}_{i:04d}.jpg" for s, c, i in zip(split, label, index, strict=True)]
        table = pd.DataFrame({"file": file, "label": label, "split": split})
        table["image_id"] = [sha256(name.encode()).hexdigest() for name in file]
        table["original_split"] = table["split"]
        table["group_id"] = [f"g{i // 2}" for i in range(len(table))]
        table["is_leaked"] = (table["split"] == "test") & (np.arange(len(table)) % 9 == 0)
        table["uncertain_links"] = ((table["split"] == "test") & (index == 8)).astype(int)
        return SplitTable(table, self.split_provenance, SPLIT_TABLE_VERSION)

    @cached_property
    def image_table(self) -> ImageTable:
        rows = self.split_table.frame.drop(
            columns=["split", "group_id", "is_leaked", "uncertain_links"]
        )
        duplicates = rows.iloc[::11].assign(file=lambda t: "copies/" + t["file"])
        table = pd.concat([rows, duplicates], ignore_index=True)
        n = len(table)
        table = table.assign(
            source="demo" if self.synthetic else "clinic",
            filename_key=None,
            width=np.array([640, 600, 300])[np.arange(n) % 3],
            height=np.array([480, 600, 500])[np.arange(n) % 3],
            bytes=4096,
            format="JPEG",
            age=np.where(np.arange(n) % 5 == 0, np.nan, 20 + np.arange(n) % 60),
            sex=np.array(["female", "male", None])[np.arange(n) % 3],
        )
        provenance = ImageProvenance(origin=self.origin, raw_images_version=RAW_IMAGES_VERSION)
        return ImageTable(table, provenance, IMAGE_TABLE_VERSION)

    @cached_property
    def quarantine(self) -> pd.DataFrame:
        files = [f"train/<b>{i}</b>/broken_{i}.jpg" for i in range(self.unreadable)]
        reasons = ["the file is empty", "damaged or truncated: <img src=x>"]
        reason = [reasons[i % 2] for i in range(self.unreadable)]
        return pd.DataFrame({"file": files, "reason": reason}, dtype=object)

    @cached_property
    def groups_and_links(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Links of all types: from the table and by pixels, the latter across splits and labels."""
        table = self.image_table.frame
        n = table["image_id"].nunique()
        a = np.arange(n - 1)
        kind = np.array(["pixels", "simple", "changed"])[a % 3]
        strength = np.where(kind == "pixels", 1.0, 0.4 + 0.5 * a / n)
        near_duplicates = pd.DataFrame({"a": a, "b": a + 1, "kind": kind, "strength": strength})[
            ::4
        ]
        i = np.arange(len(table))
        keys = {"lesion_id": i // 2, "patient_id": i // 3, "filename_key": i // 5}
        return group_images(table.assign(**keys), near_duplicates)

    @property
    def image_groups(self) -> pd.DataFrame:
        return self.groups_and_links[0]

    @property
    def image_links(self) -> pd.DataFrame:
        return self.groups_and_links[1]

    @cached_property
    def audit_findings(self) -> AuditFindings:
        table = self.image_table.frame
        summary = AuditSummary(
            files=len(table) + self.unreadable,
            images=table["image_id"].nunique(),
            groups=table["image_id"].nunique(),
            classes=len(self.labels),
            quarantined=self.unreadable,
            largest_groups=[2, 2, 2, 2, 2],
        )
        return AuditFindings(
            summary=summary,
            findings=[finding(severity) for severity in SEVERITIES],
            shortcut_probes=list(self.probes()),
            image_table_version=IMAGE_TABLE_VERSION,
        )

    def probes(self) -> Iterator[ProbeResult]:
        """Make up probes: on all images, across two sources, and one probe without a result."""
        k = len(self.labels)
        inputs = [("8x8 thumbnail", "thumbnail", 1.0), ("outer 4 % of each edge", "border", 1.0)]
        inputs += [
            (name, "column", min(1.0, 3 / k)) for name in ["sex", *UNUSUAL_NAMES[:4], "x" * 60]
        ]
        for scope in ("all", f"from {UNUSUAL_NAMES[0]} {'clinic ' * 9}to {UNUSUAL_NAMES[2]}"):
            for i, (name, kind, ceiling) in enumerate(inputs):
                value = 1 / k + (ceiling - 1 / k) * (1 - i / len(inputs))
                accuracy = Estimate(
                    value=value, low=max(0.0, value - 0.06), high=min(1.0, value + 0.05), n=700
                )
                yield probe(
                    name=name, kind=kind, scope=scope, classes=k, accuracy=accuracy, ceiling=ceiling
                )
        yield probe(
            name="site", kind="column", classes=k, accuracy=unavailable("the column is empty")
        )

    @cached_property
    def predictions(self) -> PredictionTable:
        rows = self.split_table.frame
        table = rows[rows["split"] != "train"].reset_index(drop=True)
        k, truth = len(self.labels), pd.Index(self.labels).get_indexer(table["label"])
        skill = np.linspace(1.0, 3.5, k)[truth]
        logits = self.rng.normal(size=(len(table), k))
        logits[np.arange(len(table)), truth] += skill
        exponential = np.exp(1.4 * logits)
        probabilities = exponential / exponential.sum(axis=1, keepdims=True)
        predicted = np.array(self.labels)[probabilities.argmax(axis=1)]
        columns = pd.DataFrame(probabilities, columns=[f"p_{label}" for label in self.labels])
        balanced = columns.set_axis([f"p_balanced_{label}" for label in self.labels], axis=1)
        sets = set_names(probabilities >= 0.2, probabilities, self.labels)
        keys = table[["file", "image_id", "group_id", "split", "label", "is_leaked"]]
        provenance = PredictionProvenance(
            model_version=VERSION,
            split_table_version=SPLIT_TABLE_VERSION,
            image_table_version=IMAGE_TABLE_VERSION,
            raw_images_version=RAW_IMAGES_VERSION,
        )
        keys = keys.assign(predicted=predicted, conformal_set=sets)
        unknown_score = np.random.default_rng(self.seed).normal(1.0, 0.2, len(table))
        frame = pd.concat([keys, columns, balanced], axis=1).assign(
            unknown_score=unknown_score, is_unknown=unknown_score > 1.33
        )
        return PredictionTable(frame, provenance, VERSION)

    @cached_property
    def metrics(self) -> Scorecard:
        subsets = {
            split: compute_metrics(rows, self.labels, 0)
            for split, rows in self.predictions.frame.groupby("split")
        }
        provenance = MetricsProvenance(
            **self.predictions.provenance.model_dump(),
            predictions_version=VERSION,
            split_fingerprint=SPLIT_FINGERPRINT,
            data_fingerprint=DATA_FINGERPRINT,
            package_version="0.1.0",
            synthetic_images=self.synthetic,
        )
        return Scorecard(
            split_policy=self.policy,
            provenance=provenance,
            validation=subsets["val"],
            test=subsets["test"],
        )

    @cached_property
    def malignancy(self) -> MalignancyResults:
        results = measure_malignancy(self.predictions, self.model, EVALUATE)
        return with_provenance(results, **self.metrics.provenance.model_dump()).with_version(
            VERSION
        )

    @cached_property
    def slices(self) -> SliceResults:
        results = measure_slices(self.predictions, self.image_table, self.model, EVALUATE)
        return with_provenance(results, **self.metrics.provenance.model_dump()).with_version(
            VERSION
        )

    @cached_property
    def label_issues(self) -> pd.DataFrame:
        return rank_label_issues(self.predictions.frame, self.labels, 100)

    @cached_property
    def test_ledger(self) -> TestLedger:
        evaluation = evaluation_of(self.metrics, self.predictions)
        return TestLedger(rows=(LedgerRow.at("2026-11-24T06:00:00Z", evaluation),))

    @cached_property
    def robustness(self) -> RobustnessResult:
        """Make up losses that grow with the strength; the first corruption loses nothing."""
        test = self.metrics.test
        return RobustnessResult(
            provenance=self.metrics.provenance,
            measured=True,
            reason=None,
            n=test.n,
            groups=test.groups,
            accuracy=test["accuracy"],
            balanced_accuracy=test["balanced_accuracy"],
            corruptions=tuple(
                corruption_scores(name, 0.04 * number, test.n)
                for number, name in enumerate(get_args(Corruption))
            ),
        )

    @cached_property
    def fusion(self) -> FusionResults:
        """Results of a model of age and sex, fitted on the made-up training images."""
        rows = self.split_table.frame
        train = rows_of_images(rows[rows["split"] == "train"], self.image_table.frame)
        fitted = fit_metadata_model(fit_encoder(train, ["age", "sex"], {}), train, self.labels)
        test = self.predictions.frame[self.predictions.frame["split"] == "test"]
        return compute_fusion_results(
            replace(self.predictions, frame=test),
            rows_of_images(test, self.image_table.frame),
            self.model,
            replace(fitted, weight=0.8, predictive_missingness=("age",)),
            EVALUATE,
            self.metrics.provenance,
        ).with_version(VERSION)

    @cached_property
    def explained_images(self) -> ExplanationTable:
        """Selected images with made-up maps; those of the first class are zero everywhere."""
        rows = select_images(self.predictions.frame, self.labels, 5, 0)
        rng = np.random.default_rng(self.seed)
        maps = rng.random((len(rows), 4, 4)).astype(np.float32)
        maps[rows["label"] == self.labels[0]] = 0
        frame = rows.assign(border_fraction=rng.uniform(0.25, 0.4, len(rows)), similarity=0.1)
        images = ExplainedImages(frame=frame, maps=maps, layer="layer4")
        return ExplanationTable(images.to_frame(), self.metrics.provenance, VERSION)

    @cached_property
    def unknown(self) -> UnknownResults:
        fit = self.model.postprocessing.unknown_score
        return compute_unknown_results(
            self.predictions.frame, self.labels, fit, self.metrics.provenance
        )

    @cached_property
    def model_findings(self) -> ModelFindings:
        images = ExplainedImages.from_frame(self.explained_images.frame)
        return compute_model_findings(
            images.frame, self.labels, 0.1, self.metrics.provenance, layer="layer4", reason=""
        )

    @cached_property
    def training_history(self) -> pd.DataFrame:
        t = np.arange(1, self.epochs + 1)
        history = pd.DataFrame({"epoch": t, "learning_rate": 3e-4 / t})
        history["train_loss"] = 2.4 * np.exp(-0.35 * t) + 0.1
        history["train_accuracy"] = 1 - 0.7 * np.exp(-0.4 * t)
        history["val_loss"] = 1.6 * np.exp(-0.5 * t) + 0.75 + 0.015 * t
        history["val_accuracy"] = 0.72 - 0.4 * np.exp(-0.5 * t) + 0.01 * np.sin(t)
        history["val_balanced_accuracy"] = 0.65 - 0.5 * np.exp(-0.4 * t) + 0.02 * np.sin(2 * t)
        history["seconds"], history["images_per_second"] = 41.5, 212.0
        best = history["val_balanced_accuracy"].idxmax()
        return history.assign(best=history.index == best)

    @cached_property
    def model(self) -> TrainedModel:
        best = self.training_history[self.training_history["best"]].iloc[0]
        rows = self.split_table.frame
        image_ids = {
            split: tuple(sorted(rows.loc[rows["split"] == split, "image_id"]))
            for split in ("train", "val")
        }
        return TrainedModel(
            architecture="resnet18",
            classes=self.labels,
            preprocessing=Preprocessing("stretch", 256, 224),
            test_time_augmentation="none",
            recipe={
                "architecture": "resnet18",
                "weights": "imagenet",
                "epochs": self.epochs,
                "batch_size": 32,
                "class_balance": "logit_adjustment",
                "optimizer": {"name": "adamw", "learning_rate": 3e-4},
                "compile": True,
                "seed": 20240501,
            },
            initial_weights=WeightsOrigin(
                weights="imagenet",
                file="resnet18-f37072fd.pth",
                sha256="f37072fd" + 56 * "0",
                head="new",
            ),
            selection=Selection(
                best_epoch=int(best["epoch"]),
                metric="balanced_accuracy",
                value=float(best["val_balanced_accuracy"]),
            ),
            provenance=ModelProvenance(
                **dict(self.split_provenance),
                split_table_version=SPLIT_TABLE_VERSION,
                package_version="0.1.0",
                python="3.11.9",
                libraries={"torch": "2.9.1", "torchvision": "0.24.1"},
                device="cpu",
                precision="bfloat16",
                processes=1,
                training="f00d" * 4,
            ),
            postprocessing=replace(
                postprocessing(self.train_counts),
                calibration=TemperatureFit(
                    temperature=1.3842,
                    nll_before=0.912,
                    nll_after=0.861,
                    n=len(image_ids["val"]),
                    n_effective=float(len(image_ids["val"])),
                ),
                malignancy_thresholds=self._malignancy_thresholds(),
            ),
            train_image_ids=image_ids["train"],
            val_image_ids=image_ids["val"],
            state_dict={},
        )

    @cached_property
    def train_counts(self) -> tuple[int, ...]:
        """Number of training images of each class."""
        rows = self.split_table.frame
        counts = rows.loc[rows["split"] == "train", "label"].value_counts()
        return tuple(int(n) for n in counts.reindex(self.labels, fill_value=0))

    @cached_property
    def uncertainty(self) -> Uncertainty:
        fitted = self.model.postprocessing
        test = self.predictions.frame[self.predictions.frame["split"] == "test"]
        return Uncertainty(
            provenance=self.metrics.provenance,
            decision=fitted.frequencies.decision,
            thresholds=fitted.conformal,
            referral=fitted.referral,
            test=uncertainty_metrics(test, self.labels, 0.9, fitted.referral),
        )

    def _malignancy_thresholds(self) -> MalignancyThresholds | None:
        frame = self.predictions.frame
        val = frame[frame["split"] == "val"]
        return fit_malignancy_thresholds(
            val[[f"p_{label}" for label in self.labels]].to_numpy(),
            pd.Index(self.labels).get_indexer(val["label"]),
            malignant_classes(self.labels, None),
            EVALUATE.operating_points,
        )

    @property
    def pixel_store(self) -> PixelStore:
        return FakePixelStore(Path("unused"))

    def report_inputs(self) -> ReportInputs:
        return ReportInputs(
            report=REPORT,
            metrics=self.metrics,
            uncertainty=self.uncertainty,
            model=self.model,
            audit_findings=self.audit_findings,
            split_table=self.split_table,
            quarantine=self.quarantine,
            training_history=self.training_history,
            image_table=self.image_table,
            malignancy=self.malignancy,
            slices=self.slices,
            unknown=self.unknown,
            model_findings=self.model_findings,
            robustness=self.robustness,
            fusion=self.fusion,
            label_issues=self.label_issues,
            test_ledger=self.test_ledger,
            stored_comparisons=StoredVersions("comparison", (), {}.__getitem__, Path.read_text),
            stored_external_metrics=NamedResults({}),
            stored_localizations=StoredVersions("localization", (), {}.__getitem__, Path.read_text),
        )

    def card_arguments(self) -> dict[str, object]:
        return dict(vars(self.report_inputs()))

    def draw(self, figure: FigureSpec, examples: int = 4) -> Figure:
        """Draw a figure as its node does, with up to ``examples`` images or pairs of a kind."""
        parameters = {
            "params:ingest": Ingest(stored_image_size=256, max_unreadable_fraction=1.0),
            "params:audit": AUDIT.model_copy(update={"example_pairs_per_type": examples}),
            "params:report": REPORT.model_copy(update={"samples_per_class": examples}),
        }
        return figure.draw(
            *(
                parameters[name] if name in parameters else getattr(self, name)
                for name in figure.inputs
            )
        )

    def draw_all(self) -> dict[str, Figure]:
        """Draw all figures except those with images; return them by name."""
        with_images = {figure.name for figure in FIGURES if figure.shows_patients}
        drawn = {
            figure.name: self.draw(figure) for figure in FIGURES if figure.name not in with_images
        }
        for figure in drawn.values():
            figure.canvas.draw()
        return drawn


def finding(severity: str) -> Finding:
    """Make up a finding of this severity."""
    return Finding(
        id=f"made_up_{severity}",
        severity=severity,
        message=f"Files of '{UNUSUAL_NAMES[0]}' have a problem of severity {severity}: 2 files.",
        count=2,
        details={"files": 2},
        examples=[["a.jpg", "<b>.jpg"], ["c.jpg"]],
        recommendation="Exclude <these> files.",
    )


def probe(
    *,
    name: str,
    kind: str,
    classes: int,
    accuracy: Estimate,
    scope: str = "all",
    ceiling: float | None = None,
) -> ProbeResult:
    """Make up the result of a probe."""
    return ProbeResult(
        name=name,
        columns=[name] if kind == "column" else [],
        kind=kind,
        scope=scope,
        balanced_accuracy=accuracy,
        chance=1 / classes,
        ceiling=ceiling,
        classes=classes,
        excluded_classes=[],
        parts={},
    )


def corruption_scores(name: Corruption, lost: float, n: int) -> CorruptionScores:
    """Make up the scores of a corruption that loses this much per strength."""
    scores = []
    for strength in (1, 2, 3):
        value = lost * strength
        loss = Estimate(value=value, low=value - 0.04, high=value + 0.05, n=n)
        left = Estimate(value=max(0.0, 0.8 - value), low=0.0, high=1.0, n=n)
        scores.append(
            CorruptedScore(
                strength=strength,
                setting=5.0 * strength,
                accuracy=left,
                balanced_accuracy=left,
                accuracy_lost=loss,
                balanced_accuracy_lost=loss,
            )
        )
    unit = "quality" if name == "jpeg" else "% of the image side"
    title = name.replace("_", " ").capitalize()
    return CorruptionScores(name=name, title=title, unit=unit, scores=tuple(scores))


def with_frame(table, frame: pd.DataFrame):
    """Return a table with the same provenance and other rows or columns."""
    return replace(table, frame=frame)


def with_leaky_weights(model: TrainedModel) -> TrainedModel:
    """Return the model as trained from an earlier model that used 7 test images and 1 val image."""
    origin = replace(
        model.initial_weights,
        file="earlier.pth",
        leakage=WeightsLeakage(test_images=7, val_images=1),
    )
    return model.model_copy(update={"initial_weights": origin})


def with_provenance(entry, **changes: object):
    """Return a model or metrics with other entries in the provenance."""
    return entry.model_copy(update={"provenance": entry.provenance.model_copy(update=changes)})


class FakePixels:
    """Pixels of any image_id: a disc on a skin-colored background."""

    def __getitem__(self, image_id: str) -> np.ndarray:
        color = np.array([int(image_id[i : i + 2], 16) for i in (0, 2, 4)])
        y, x = np.mgrid[-1:1:64j, -1:1:64j]
        disc = (x**2 + y**2 < 0.35)[..., None]
        return np.where(disc, color // 2, 255 - color // 4).astype(np.uint8)


class FakePixelStore(PixelStore):
    """A store that contains every image at every size."""

    def at(self, size: int) -> FakePixels:
        return FakePixels()


def fourteen_classes(**changes: object) -> Study:
    images_per_class = [90, 330, 260, 40, 30, 20, 50, 40, 30, 450, 340, 80, 60, 30]
    return Study(DIAGNOSIS_NAMES, images_per_class, **changes)


def two_classes(**changes: object) -> Study:
    return Study(["Benign", "Melanoma"], [120, 60], **changes)


def twenty_three_classes(**changes: object) -> Study:
    labels = (
        UNUSUAL_NAMES
        + DIAGNOSIS_NAMES
        + ["Seborrhoeic keratosis", "Lichen planus", "Erythema multiforme"]
    )
    images_per_class = [10 + 7 * i for i in range(len(labels))]
    return Study(labels, images_per_class, untested=(UNUSUAL_NAMES[0],), **changes)
