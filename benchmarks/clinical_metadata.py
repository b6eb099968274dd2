"""Image, clinical metadata, and the fusion of both, with and without equal missing rates.

    python benchmarks/clinical_metadata.py --folder ../shared/data/isic8_grouped \
        --params source.metadata=../shared/data/isic8_grouped/metadata.csv \
        --architecture timm/tf_efficientnet_lite0 --weights packaged

One network is trained for each seed on the images alone. All settings except "concat" use its
predictions, and fit only the model of the metadata (training images) and its weight (validation
images). The settings "indicators" and "trees" are common alternatives that see which values are
missing. For "concat", a network is trained together with the metadata, with the same seed.
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
from skin_lesions.models.postprocessing.metadata_fusion import (
    MetadataFusion,
    best_weight,
    fit_metadata_model,
)
from skin_lesions.models.postprocessing.probabilities import (
    ClassFrequencies,
    class_probabilities,
)
from trainings import study_of

Floats = np.ndarray[Any, np.dtype[np.float64]]
Classes = np.ndarray[Any, np.dtype[np.intp]]
# Evidence of the metadata for the validation and the test images, from the training images.
Fit = Callable[["Images", pd.DataFrame], tuple[Floats, Floats]]
ALL_COLUMNS = MetadataInputs(columns=("all",), types={}, equalize_missing=True)
_SMALLEST = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Images:
    """Images of a training.

    ``train``, ``val`` and ``test``: rows of the image table with label and group_id. ``scores``:
    logarithm of the probabilities of the image alone, by split, (n, k). ``fusion``: model of the
    metadata in the model file.
    """

    classes: tuple[str, ...]
    columns: tuple[str, ...]
    frequencies: ClassFrequencies
    train: pd.DataFrame
    val: pd.DataFrame
    test: pd.DataFrame
    scores: dict[str, Floats]
    fusion: MetadataFusion | None

    def labels(self, rows: pd.DataFrame) -> Classes:
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


CONCAT = {
    "concat, missing rates as they are": ",train.fusion=concat,metadata.equalize_missing=false",
    "concat, missing rates equalized": ",train.fusion=concat",
}
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
        fusion=fusion,
        **splits,
    )


def results_of(images: Images, seed: int) -> dict[str, Any]:
    """Return the results of all settings on the test images, and their differences."""
    label = images.labels(images.test)
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
            found[f"{name}, missing rates {rates}"] = {
                "metadata": _balanced_accuracy(label, metadata),
                "weight": weight,
            } | _compared(images, image, both)
    return found


def concat_results(images: Images, joined: Images) -> dict[str, Any]:
    """Return the results of a network that was trained together with the metadata.

    ``metadata`` is missing: its coefficients are those of the metadata beside an image.

    Args:
        images: Images of the training on the images alone.
        joined: The same images, of the training with metadata.
    """
    if joined.fusion is None or joined.fusion.method != "concat":
        raise SystemExit("The newest model was not trained with train.fusion=concat.")
    label = images.labels(images.test)
    image = _predicted(images, images.scores["test"])
    of_image = _predicted(joined, joined.scores["test"])
    evidence = joined.fusion.evidence(joined.fusion.encoder.encode(joined.test))
    both = _predicted(joined, joined.scores["test"] + evidence)
    return {
        "image_of_this_network": _balanced_accuracy(label, of_image),
        "weight": joined.fusion.weight,
    } | _compared(images, image, both)


def _compared(images: Images, image: Classes, both: Classes) -> dict[str, Any]:
    """Return the balanced accuracy of both, and its paired difference to the image alone."""
    label = images.labels(images.test)
    group = pd.factorize(images.test["group_id"])[0]
    difference = paired.balanced_accuracy_difference(label, image, both, group)
    return {
        "balanced_accuracy": _balanced_accuracy(label, both),
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
    }


def _predicted(images: Images, scores: Floats) -> Classes:
    logits = scores - images.frequencies.log_ratio_to_training
    return class_probabilities(logits, 1.0, images.frequencies).predicted


def _balanced_accuracy(label: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.mean([(predicted[label == c] == c).mean() for c in np.unique(label)]))


def main(args: argparse.Namespace) -> None:
    study = study_of(args, "clinical_metadata")
    study.prepare()
    trainings = []
    for seed in range(1, args.seeds + 1):
        params = f",train.seed={seed},evaluate.explain.enabled=false"
        study.run(study.env, "train,evaluate", params)
        images = images_of(study.root)
        found = results_of(images, seed)
        for name, fusion in CONCAT.items():
            study.run(study.env, "train,evaluate", f"{params}{fusion}")
            found[name] = concat_results(images, images_of(study.root))
        trainings.append(found)
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
