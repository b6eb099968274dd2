"""Made-up inputs of figures, report and model card, as a run saves them, for any class names."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd

from skin_lesions.audit import run_audit
from skin_lesions.data.diagnoses import DIAGNOSES
from skin_lesions.data.groups import group_images
from skin_lesions.evaluation.scorecard import compute_metrics
from support.audit import audit_context

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


def _probe(
    name: str, kind: str, scope: str, classes: int, accuracy: dict[str, Any]
) -> dict[str, Any]:
    return {
        "name": name,
        "columns": [name] if kind == "column" else [],
        "kind": kind,
        "scope": scope,
        "balanced_accuracy": accuracy,
        "chance": 1 / classes,
        "ceiling": None,
        "classes": classes,
        "excluded_classes": [],
        "parts": {},
    }


@dataclass
class ReportInputs:
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

    @cached_property
    def split_table(self) -> pd.DataFrame:
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
        table.attrs = {"version": VERSION, "origin": self.origin, "split_policy": self.policy}
        return table

    @property
    def origin(self) -> dict[str, Any]:
        return {"kind": "demo", "seed": 1} if self.synthetic else {"kind": "folder", "folder": "/d"}

    @cached_property
    def image_table(self) -> pd.DataFrame:
        rows = self.split_table.drop(columns=["split", "group_id", "is_leaked"])
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
        table.attrs = {"version": VERSION, "origin": self.origin}
        return table

    @cached_property
    def quarantine(self) -> pd.DataFrame:
        files = [f"train/<b>{i}</b>/broken_{i}.jpg" for i in range(self.unreadable)]
        reasons = ["the file is empty", "damaged or truncated: <img src=x>"]
        reason = [reasons[i % 2] for i in range(self.unreadable)]
        return pd.DataFrame({"file": files, "reason": reason}, dtype=object)

    @cached_property
    def groups_and_links(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Links of all types: from the table and by pixels, the latter across splits and labels."""
        n = self.image_table["image_id"].nunique()
        a = np.arange(n - 1)
        kind = np.array(["pixels", "simple", "changed"])[a % 3]
        strength = np.where(kind == "pixels", 1.0, 0.4 + 0.5 * a / n)
        near_duplicates = pd.DataFrame({"a": a, "b": a + 1, "kind": kind, "strength": strength})[
            ::4
        ]
        i = np.arange(len(self.image_table))
        keys = {"lesion_id": i // 2, "patient_id": i // 3, "filename_key": i // 5}
        return group_images(self.image_table.assign(**keys), near_duplicates)

    @cached_property
    def audit_findings(self) -> dict[str, Any]:
        context = audit_context(self.image_table, quarantine=self.quarantine)
        found = run_audit(context).model_dump(mode="json")
        return found | {"shortcut_probes": list(self.probes())}

    def probes(self) -> Iterator[dict[str, Any]]:
        """Make up probes: on all images, across two sources, and one probe without a result."""
        k = len(self.labels)
        inputs = [("8x8 thumbnail", "thumbnail", 1.0), ("outer 4 % of each edge", "border", 1.0)]
        inputs += [
            (name, "column", min(1.0, 3 / k)) for name in ["sex", *UNUSUAL_NAMES[:4], "x" * 60]
        ]
        for scope in ("all", f"from {UNUSUAL_NAMES[0]} {'clinic ' * 9}to {UNUSUAL_NAMES[2]}"):
            for i, (name, kind, ceiling) in enumerate(inputs):
                value = 1 / k + (ceiling - 1 / k) * (1 - i / len(inputs))
                bounds = {"low": max(0.0, value - 0.06), "high": min(1.0, value + 0.05)}
                accuracy = {"value": value, "n": 700, **bounds}
                yield _probe(name, kind, scope, k, accuracy) | {"ceiling": ceiling}
        no_estimate = {
            "value": None,
            "low": None,
            "high": None,
            "n": 0,
            "reason": "the column is empty",
        }
        yield _probe("site", "column", "all", k, no_estimate)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        table = self.split_table[self.split_table["split"] != "train"].reset_index(drop=True)
        k, truth = len(self.labels), pd.Index(self.labels).get_indexer(table["label"])
        skill = np.linspace(1.0, 3.5, k)[truth]
        logits = self.rng.normal(size=(len(table), k))
        logits[np.arange(len(table)), truth] += skill
        exponential = np.exp(1.4 * logits)
        probabilities = exponential / exponential.sum(axis=1, keepdims=True)
        predicted = np.array(self.labels)[probabilities.argmax(axis=1)]
        columns = pd.DataFrame(probabilities, columns=[f"p_{label}" for label in self.labels])
        keys = table[["file", "image_id", "group_id", "split", "label", "is_leaked"]]
        return pd.concat([keys.assign(predicted=predicted), columns], axis=1)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        subsets = {
            s: compute_metrics(t, self.labels, 100, 0) for s, t in self.predictions.groupby("split")
        }
        return {
            "split_policy": self.policy,
            "provenance": {
                "model_version": VERSION,
                "raw_images_version": "2026-11-23T05.00.00.000Z",
                "image_table_version": "2026-11-23T05.10.00.000Z",
                "split_table_version": "2026-11-23T05.20.00.000Z",
                "split_fingerprint": "5f1a" * 16,
                "data_fingerprint": "d00d" * 16,
                "package_version": "0.1.0",
                "synthetic_images": self.synthetic,
            },
            "validation": subsets["val"],
            "test": subsets["test"],
        }

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
    def model(self) -> dict[str, Any]:
        best = self.training_history[self.training_history["best"]].iloc[0]
        return {
            "format": 1,
            "architecture": "resnet18",
            "classes": self.labels,
            "preprocessing": {
                "resize_mode": "stretch",
                "stored_image_size": 256,
                "image_size": 224,
                "mean": [0.485, 0.456, 0.406],
                "std": [0.229, 0.224, 0.225],
            },
            "test_time_augmentation": "none",
            "calibration": {
                "temperature": 1.3842,
                "nll_before": 0.912,
                "nll_after": 0.861,
                "n": int((self.split_table["split"] == "val").sum()),
            },
            "recipe": {
                "architecture": "resnet18",
                "weights": "imagenet",
                "epochs": self.epochs,
                "batch_size": 32,
                "class_balance": "logit_adjustment",
                "optimizer": {"name": "adamw", "learning_rate": 3e-4},
                "compile": True,
                "seed": 20240501,
            },
            "initial_weights": {
                "weights": "imagenet",
                "file": "resnet18-f37072fd.pth",
                "sha256": "f37072fd" + 56 * "0",
                "head": "new",
            },
            "selection": {
                "best_epoch": int(best["epoch"]),
                "by": "balanced_accuracy",
                "value": float(best["val_balanced_accuracy"]),
            },
            "provenance": self.metrics["provenance"]
            | {
                "version": VERSION,
                "origin": self.origin,
                "device": "cpu",
                "torch": "2.9.1",
                "torchvision": "0.24.1",
                "python": "3.11.9",
                "split_policy": self.policy,
            },
            "synthetic_images": self.synthetic,
            "license_notes": [] if self.synthetic else ["ISIC 2019: CC BY-NC 4.0 <b>"],
        }

    @property
    def pixels(self) -> "FakePixels":
        return FakePixels()

    def card_arguments(self) -> dict[str, Any]:
        names = ("metrics", "model", "audit_findings", "split_table", "image_table")
        return {name: getattr(self, name) for name in names}

    def report_arguments(self) -> dict[str, Any]:
        return self.card_arguments() | {
            "quarantine": self.quarantine,
            "training_history": self.training_history,
        }


class FakePixels:
    """Pixels of any image_id: a disc on a skin-colored background."""

    def __getitem__(self, image_id: str) -> np.ndarray:
        color = np.array([int(image_id[i : i + 2], 16) for i in (0, 2, 4)])
        y, x = np.mgrid[-1:1:64j, -1:1:64j]
        disc = (x**2 + y**2 < 0.35)[..., None]
        return np.where(disc, color // 2, 255 - color // 4).astype(np.uint8)


def fourteen_classes(**changes: Any) -> ReportInputs:
    images_per_class = [90, 330, 260, 40, 30, 20, 50, 40, 30, 450, 340, 80, 60, 30]
    return ReportInputs(DIAGNOSIS_NAMES, images_per_class, **changes)


def two_classes(**changes: Any) -> ReportInputs:
    return ReportInputs(["Benign", "Melanoma"], [120, 60], **changes)


def twenty_three_classes(**changes: Any) -> ReportInputs:
    labels = (
        UNUSUAL_NAMES
        + DIAGNOSIS_NAMES
        + ["Seborrhoeic keratosis", "Lichen planus", "Erythema multiforme"]
    )
    images_per_class = [10 + 7 * i for i in range(len(labels))]
    return ReportInputs(labels, images_per_class, untested=(UNUSUAL_NAMES[0],), **changes)
