"""Nodes of the pipeline `evaluate`.

torch is imported inside the functions, so that listing the pipelines does not import it.
"""

from typing import Any

import pandas as pd

from skin_lesions.config.evaluate import Evaluate
from skin_lesions.data.raw_store import RawImages

_PROVENANCE_KEYS = (
    "model_version",
    "split_table_version",
    "image_table_version",
    "raw_images_version",
)


def predict(
    model: dict[str, Any],
    pixel_store: Any,
    split_table: pd.DataFrame,
    image_table: pd.DataFrame,
    raw_images: RawImages,
    evaluate: Evaluate,
) -> pd.DataFrame:
    """Predict the validation and test images.

    First check that the model was trained on this split and these images.
    """
    from skin_lesions.evaluation import predictions as predicting  # noqa: PLC0415
    from skin_lesions.models.model_file import check_model_matches_data  # noqa: PLC0415

    check_model_matches_data(model, split_table, image_table, raw_images.table)
    predictions = predicting.predict(
        model, pixel_store, split_table, evaluate.batch_size, evaluate.device
    )
    predictions.attrs = {
        "split_table_version": split_table.attrs["version"],
        "image_table_version": image_table.attrs["version"],
        "raw_images_version": raw_images.table.attrs["version"],
        "model_version": model["provenance"]["version"],
    }
    return predictions


def score(predictions: pd.DataFrame, model: dict[str, Any], evaluate: Evaluate) -> dict[str, Any]:
    """Compute the metrics with intervals, and record the versions of all inputs."""
    from skin_lesions.evaluation import scorecard as metrics  # noqa: PLC0415

    provenance = model["provenance"]
    scores = {
        name: metrics.compute_metrics(
            rows, model["classes"], evaluate.bootstrap_replicates, evaluate.seed
        )
        for name, rows in _subsets(predictions, provenance["split_policy"]).items()
    }
    return {
        "split_policy": provenance["split_policy"],
        "provenance": {
            "predictions_version": predictions.attrs["version"],
            **{name: predictions.attrs[name] for name in _PROVENANCE_KEYS},
            "split_fingerprint": provenance["split_fingerprint"],
            "data_fingerprint": provenance["data_fingerprint"],
            "package_version": provenance["package_version"],
            "synthetic_images": model["synthetic_images"],
        },
        **scores,
    }


def _subsets(predictions: pd.DataFrame, split_policy: str) -> dict[str, pd.DataFrame]:
    """Divide the predictions into the subsets that get their own metrics.

    In the original split, a test image with a related image in train or val gives an optimistic
    result. Leaked and clean test images are therefore also evaluated separately.
    """
    test = predictions[predictions["split"] == "test"]
    subsets = {"validation": predictions[predictions["split"] == "val"], "test": test}
    if split_policy == "original":
        subsets |= {"test_clean": test[~test["is_leaked"]], "test_leaked": test[test["is_leaked"]]}
    return {name: rows for name, rows in subsets.items() if len(rows)}
