"""Nodes of evaluate. torch is imported inside: listing the pipelines must not wait for it."""

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
    """Predict the validation and test images, if model, split and images belong together."""
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
    """Score the predictions, with intervals and with what they were made from."""
    from skin_lesions.evaluation import scorecard as metrics  # noqa: PLC0415

    made_from = model["provenance"]
    scores = {
        name: metrics.compute_metrics(
            rows, model["classes"], evaluate.bootstrap_replicates, evaluate.seed
        )
        for name, rows in _subsets(predictions, made_from["split_policy"]).items()
    }
    return {
        "split_policy": made_from["split_policy"],
        "provenance": {
            "predictions_version": predictions.attrs["version"],
            **{name: predictions.attrs[name] for name in _PROVENANCE_KEYS},
            "split_fingerprint": made_from["split_fingerprint"],
            "data_fingerprint": made_from["data_fingerprint"],
            "package_version": made_from["package_version"],
            "synthetic_images": model["synthetic_images"],
        },
        **scores,
    }


def _subsets(predictions: pd.DataFrame, split_policy: str) -> dict[str, pd.DataFrame]:
    """Divide the predictions into what is judged apart.

    As shipped, a test image that has a mate in train or val says little: leaked and clean ones are
    also judged apart.
    """
    test = predictions[predictions["split"] == "test"]
    parts = {"validation": predictions[predictions["split"] == "val"], "test": test}
    if split_policy == "original":
        parts |= {"test_clean": test[~test["is_leaked"]], "test_leaked": test[test["is_leaked"]]}
    return {name: rows for name, rows in parts.items() if len(rows)}
