"""Made-up results on external images, for a made-up study."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from skin_lesions.core.versions import NamedResults, StoredVersions
from skin_lesions.data.provenance import ExternalMetricsProvenance
from skin_lesions.evaluation.external import (
    ExternalInputs,
    ExternalResults,
    ImageCounts,
    MappedLabel,
    OverlapSummary,
    compute_external_results,
)
from skin_lesions.evaluation.external.internal_test import InternalPredictions
from support.factories import EVALUATE
from support.report_inputs import VERSION, Study


def external_predictions(
    study: Study, labels: Sequence[str] | None = None, noise: float = 0.0, seed: int = 0
) -> pd.DataFrame:
    """Make predictions of other images like the test images of a study.

    Args:
        study: The study.
        labels: Classes of the images; None: all.
        noise: Fraction of the images that get the probabilities of another image.
        seed: Seed of the choice of these images.
    """
    frame = study.predictions.frame
    rows = frame[frame["split"] == "test"].reset_index(drop=True)
    rng = np.random.default_rng(seed)
    outputs = [name for name in rows if name.startswith("p_")] + ["predicted", "conformal_set"]
    confused = np.flatnonzero(rng.random(len(rows)) < noise)
    rows.loc[confused, outputs] = rows.loc[rng.permutation(confused), outputs].to_numpy()
    rows = rows.assign(
        file="external/" + rows["file"],
        image_id=[f"external{i}" for i in range(len(rows))],
        split="external",
        is_leaked=False,
        source_label=rows["label"],
    )
    return rows if labels is None else rows[rows["label"].isin(labels)].reset_index(drop=True)


def stored_external_metrics(*results: ExternalResults) -> NamedResults[ExternalResults]:
    """Store the results of external sets, one version each."""
    return NamedResults(
        {
            entry.name: StoredVersions(
                "external_metrics", (VERSION,), {VERSION: entry}.__getitem__, _no_path
            )
            for entry in results
        }
    )


def _no_path(path: Path) -> ExternalResults:
    raise AssertionError(f"{path} is not read")


def external_results(
    study: Study,
    name: str = "hospital_b",
    *,
    labels: Sequence[str] | None = None,
    noise: float = 0.0,
    frame: pd.DataFrame | None = None,
    internal: bool = True,
    compared: int | None = None,
) -> ExternalResults:
    """Compute the results of made-up predictions; ``compared`` training images were compared."""
    if frame is None:
        frame = external_predictions(study, labels, noise)
    evaluated = frame[~frame["is_leaked"]]
    overlapping = len(frame) - len(evaluated)
    training = len(study.model.train_image_ids) + len(study.model.val_image_ids)
    test = study.predictions.frame[study.predictions.frame["split"] == "test"]
    images = frame[["file", "image_id", "label"]].assign(
        source="clinic", age=20 + np.arange(len(frame)) % 60, sex=None
    )
    inputs = ExternalInputs(
        predictions=frame,
        image_table=images,
        model=study.model.with_version(VERSION),
        internal=InternalPredictions(rows=test, version=VERSION) if internal else None,
        counts=ImageCounts(
            files=len(frame) + 3,
            quarantined=1,
            ignored=2,
            conflicting=0,
            repeated=0,
            overlapping=overlapping,
            evaluated=len(evaluated),
            groups=int(evaluated["group_id"].nunique()),
        ),
        labels=(
            *(
                MappedLabel(label=label, class_name=label, files=int(n))
                for label, n in frame["label"].value_counts().items()
            ),
            MappedLabel(label="<b>scar</b>", class_name=None, files=2),
        ),
        overlap=OverlapSummary(
            counts={"image_id": overlapping} if overlapping else {},
            training_images=training,
            compared=training if compared is None else compared,
            with_overlap=None,
        ),
        evaluate=EVALUATE,
    )
    provenance = ExternalMetricsProvenance(
        origin=study.origin,
        model_version=VERSION,
        external_image_table_version=VERSION,
        external_overlap_version=VERSION,
        external_predictions_version=VERSION,
        internal_predictions=VERSION if internal else None,
        split_policy=study.policy,
        package_version="0.1.0",
        synthetic_images=study.synthetic,
    )
    return compute_external_results(inputs, name, provenance)
