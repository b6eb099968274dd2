"""Image, clinical metadata, and late fusion of both, with and without equal missing rates.

    python benchmarks/clinical_metadata.py --folder ../shared/data/isic8_grouped \
        --params source.metadata=../shared/data/isic8_grouped/metadata.csv \
        --architecture timm/tf_efficientnet_lite0 --weights packaged

One network is trained for each seed. All settings use its predictions, and fit only the model of
the metadata (training images) and its weight (validation images). The settings "indicators" and
"trees" are common alternatives that see which values are missing.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd

from options import add_study_options
from record import save_results
from skin_lesions.config.metadata import MetadataInputs
from skin_lesions.data.equal_missingness import equalize_missing
from skin_lesions.data.image_table import rows_of_images
from skin_lesions.data.metadata_columns import select_columns
from skin_lesions.data.tables import probability_column
from skin_lesions.data.tabular import fit_encoder
from skin_lesions.evaluation.fusion import image_scores
from skin_lesions.metrics import paired
from skin_lesions.models.model_file import read_model
from skin_lesions.models.postprocessing.metadata_fusion import best_weight, fit_metadata_model
from skin_lesions.models.postprocessing.probabilities import (
    ClassFrequencies,
    class_probabilities,
)
from trainings import study_of

Floats = np.ndarray[Any, np.dtype[np.float64]]
# Evidence of the metadata for the validation and the test images, from the training images.
Fit = Callable[["Images", pd.DataFrame], tuple[Floats, Floats]]
ALL_COLUMNS = MetadataInputs(columns=("all",), types={}, equalize_missing=True)
_SMALLEST = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Images:
    """Images of a training.

    ``train``, ``val`` and ``test``: rows of the image table with label and group_id. ``scores``:
    logarithm of the probabilities of the image alone, by split, (n, k).
    """

    classes: tuple[str, ...]
    columns: tuple[str, ...]
    frequencies: ClassFrequencies
    train: pd.DataFrame
    val: pd.DataFrame
    test: pd.DataFrame
    scores: dict[str, Floats]

    def labels(self, rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.intp]]:
        """Return the class number of each row, (n,)."""
        return pd.Index(self.classes).get_indexer(pd.Index(rows["label"]))


def linear(images: Images, train: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return the evidence of the model of this project."""
    model = fit_metadata_model(fit_encoder(train, images.columns, {}), train, images.classes)
    val, test = (model.scores(model.encoder.encode(rows)) for rows in (images.val, images.test))
    return val, test


def with_indicators(images: Images, train: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return the evidence of the same model with one more column for each: known or not."""

    def marked(rows: pd.DataFrame) -> pd.DataFrame:
        known = {f"known {name}": rows[name].notna().map(str) for name in images.columns}
        return rows.assign(**known)

    columns = [*images.columns, *(f"known {name}" for name in images.columns)]
    train = marked(train)
    columns = [name for name in columns if train[name].nunique() > 1]
    model = fit_metadata_model(fit_encoder(train, columns, {}), train, images.classes)
    val, test = (
        model.scores(model.encoder.encode(marked(rows))) for rows in (images.val, images.test)
    )
    return val, test


def trees(images: Images, train: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return the evidence of gradient-boosted trees, which see missing values."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415
    from sklearn.preprocessing import OrdinalEncoder  # noqa: PLC0415

    text = [name for name in images.columns if not pd.api.types.is_numeric_dtype(train[name])]
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan
    )
    encoder.fit(train[text].fillna(np.nan))

    def numbers(rows: pd.DataFrame) -> Floats:
        others = rows[[name for name in images.columns if name not in text]]
        encoded = encoder.transform(rows[text].fillna(np.nan))
        return np.column_stack([others.to_numpy(np.float64), encoded])

    model = HistGradientBoostingClassifier(
        class_weight="balanced", max_depth=3, max_iter=60, learning_rate=0.1, random_state=0
    )
    model.fit(numbers(train), images.labels(train))
    val, test = (
        np.log(np.maximum(model.predict_proba(numbers(rows)), _SMALLEST))
        for rows in (images.val, images.test)
    )
    return val, test


FITS: dict[str, Fit] = {"linear": linear, "indicators": with_indicators, "trees": trees}


def images_of(root: Path, number: int = -1) -> Images:
    """Read a training of a data root, by default the newest one."""

    def newest(name: str) -> Path:
        return sorted(root.glob(f"*/{name}/*/{name}"))[-1]

    def of_training(name: str) -> Path:
        return sorted(root.glob(f"*/{name}/*/{name}"))[number]

    model = read_model(of_training("model.pth"))
    predictions = pd.read_parquet(of_training("predictions.parquet")).set_index("file")
    split_table = pd.read_parquet(newest("split_table.parquet"))
    image_table = pd.read_parquet(newest("image_table.parquet"))
    fusion = model.postprocessing.metadata_fusion
    probabilities = [probability_column(name) for name in model.classes]
    splits, scores = {}, {}
    for split in ("train", "val", "test"):
        rows = split_table[split_table["split"] == split]
        splits[split] = rows_of_images(rows, image_table).assign(
            label=rows["label"].to_numpy(), group_id=rows["group_id"].to_numpy()
        )
        if split != "train":
            found = predictions.loc[rows["file"]]
            if fusion is None:
                values = found[probabilities].to_numpy(np.float64)
                scores[split] = np.log(np.maximum(values, _SMALLEST))
            else:
                encoded = fusion.encoder.encode(splits[split])
                scores[split] = image_scores(found, model, fusion, encoded)
    return Images(
        classes=model.classes,
        columns=select_columns(splits["train"], ALL_COLUMNS),
        frequencies=model.postprocessing.frequencies,
        scores=scores,
        **splits,
    )


def results_of(images: Images, seed: int) -> dict[str, Any]:
    """Return the results of all settings on the test images, and their differences."""
    label = images.labels(images.test)
    group = pd.factorize(images.test["group_id"])[0]
    image = _predicted(images, images.scores["test"])
    found = {"image": {"balanced_accuracy": _balanced_accuracy(label, image)}}
    equalized = equalize_missing(images.train, images.columns, seed)
    for name, fit in FITS.items():
        for rates, train in (("as they are", images.train), ("equalized", equalized)):
            val_evidence, test_evidence = fit(images, train)
            weight = best_weight(
                val_evidence, images.scores["val"], images.labels(images.val), images.frequencies
            ).weight
            log_prior = np.log(images.frequencies.of_training_images)
            metadata = _predicted(images, test_evidence + log_prior)
            both = _predicted(images, images.scores["test"] + weight * test_evidence)
            difference = paired.balanced_accuracy_difference(label, image, both, group)
            found[f"{name}, missing rates {rates}"] = {
                "metadata": _balanced_accuracy(label, metadata),
                "balanced_accuracy": _balanced_accuracy(label, both),
                "weight": weight,
                "difference": difference.value,
                "low": difference.low,
                "high": difference.high,
            }
    return found


def _predicted(images: Images, scores: Floats) -> np.ndarray[Any, np.dtype[np.intp]]:
    logits = scores - images.frequencies.log_ratio_to_training
    return class_probabilities(logits, 1.0, images.frequencies).predicted


def _balanced_accuracy(label: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.mean([(predicted[label == c] == c).mean() for c in np.unique(label)]))


def main(args: argparse.Namespace) -> None:
    study = study_of(args, "clinical_metadata")
    study.prepare()
    trainings = []
    for seed in range(1, args.seeds + 1):
        study.run(study.env, "train,evaluate", f",train.seed={seed}")
        trainings.append(results_of(images_of(study.root), seed))
    settings = {}
    for name in trainings[0]:
        keys = trainings[0][name]
        settings[name] = {key: mean(t[name][key] for t in trainings) for key in keys}
        print(name, {key: round(value, 3) for key, value in settings[name].items()})
    save_results(
        "clinical_metadata",
        {"params": study.reported_params, "settings": settings, "trainings": trainings},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    add_study_options(parser)
    main(parser.parse_args())
