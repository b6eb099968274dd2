"""Methods of the unknown score: which detects classes left out of training, and other photographs?

    python benchmarks/unknown_score.py --isic8 /data/isic8_grouped

For each method, the statistics are fitted on training images of the known classes, and the
threshold on their validation images, of which it flags 5 %. Measured are:

- AUROC of test images of the classes left out, against those of the known classes. On the demo, a
  quarter of the classes is left out at a time and a network is trained without them. On the images
  of ``--isic8``, each class is left out of frozen features of EfficientNet-Lite0 with ImageNet
  weights. The logits for the energy are those of a logistic regression.
- The fraction of photographs that are flagged. These are bundled with scikit-image and scikit-learn
  and show no skin. Here, all classes are known.
- The fraction of test images of known classes that are flagged.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from kedro.config import OmegaConfigLoader
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from convert_packaged_weights import convert_packaged_weights
from photographs import Image, packaged_photographs
from record import ROOT, save_results
from skin_lesions.config.ingest import Ingest
from skin_lesions.config.metadata import MetadataInputs
from skin_lesions.config.preprocess import Preprocess
from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.versions import UNSAVED
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.preprocessing import normalize_batch, resize_batch
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.data.provenance import ImageProvenance
from skin_lesions.data.tables import ImageTable, SplitTable
from skin_lesions.datasets.table import TableDataset
from skin_lesions.metrics.intervals import proportion
from skin_lesions.models.features import record_features
from skin_lesions.models.network_outputs import NetworkOutputs
from skin_lesions.models.networks import build_network
from skin_lesions.models.postprocessing.unknown_score import (
    NEIGHBOR,
    UnknownMethod,
    UnknownScorer,
    fit_threshold,
    fit_unknown_statistics,
    normalize,
)
from skin_lesions.pipelines.train.nodes import fit
from skin_lesions.settings import CONFIG_LOADER_ARGS
from skin_lesions.training.checkpoints import Checkpoints

FLAGGED = 0.05  # of the validation images
FOLDS = 4  # of the classes of the demo
WITHOUT_CROPS = Preprocess(resize_mode="stretch", localizer=None, lesion_margin=0, annotations=None)
STORED_SIZE = 256  # pixels, of the stored images of the demo
ISIC8_SIZE = 192  # pixels
ARCHITECTURE = "timm/tf_efficientnet_lite0"
INVERSE_REGULARIZATION = 1e-3  # C of the logistic regression, on standardized features

Scores = Callable[[NetworkOutputs], np.ndarray]
Method = Callable[[np.ndarray, np.ndarray], Scores]  # of features and labels of training images


@dataclass(frozen=True)
class Images:
    """Outputs of a network for all images, with their labels and splits."""

    outputs: NetworkOutputs
    label: np.ndarray
    split: np.ndarray

    def where(self, selected: np.ndarray) -> NetworkOutputs:
        """Return the outputs of the selected images."""
        return NetworkOutputs(
            logits=self.outputs.logits[selected], features=self.outputs.features[selected]
        )


def project_method(name: UnknownMethod) -> Method:
    """Return a method of the project."""

    def fitted(features: np.ndarray, labels: np.ndarray) -> Scores:
        scorer = UnknownScorer(fit_unknown_statistics(name, features, labels, seed=0))
        return lambda outputs: scorer.scores(outputs.logits, outputs.features)

    return fitted


def normalized_mahalanobis(features: np.ndarray, labels: np.ndarray) -> Scores:
    scores = project_method("mahalanobis")(normalize(features), labels)
    return lambda outputs: scores(replace(outputs, features=normalize(outputs.features)))


def raw_neighbors(features: np.ndarray, _labels: np.ndarray) -> Scores:
    search = NearestNeighbors(n_neighbors=NEIGHBOR).fit(features)
    return lambda outputs: search.kneighbors(outputs.features)[0][:, -1]


METHODS: dict[str, Method] = {
    "mahalanobis": project_method("mahalanobis"),
    "mahalanobis, normalized features": normalized_mahalanobis,
    "nearest_neighbors": project_method("nearest_neighbors"),  # of normalized features
    "nearest neighbors, features not normalized": raw_neighbors,
    "energy": project_method("energy"),
}


def left_out_auroc(method: Method, images: Images, left_out: Sequence[str]) -> float:
    """Return the AUROC of test images of the classes left out against those of the others."""
    known, test = ~np.isin(images.label, left_out), images.split == "test"
    scores = fit_known(method, images, known)
    return float(roc_auc_score(~known[test], scores(images.where(test))))


def fit_known(method: Method, images: Images, known: np.ndarray) -> Scores:
    train = known & (images.split == "train")
    labels = np.unique(images.label[train], return_inverse=True)[1]
    return method(images.outputs.features[train], labels)


def flagged_fractions(
    method: Method, images: Images, photographs: NetworkOutputs, left_out: Sequence[str] = ()
) -> dict[str, Any]:
    """Return which fraction of photographs and of known test images is above the threshold."""
    known = ~np.isin(images.label, left_out)
    scores = fit_known(method, images, known)
    validation = scores(images.where(known & (images.split == "val")))
    statistics = fit_unknown_statistics("energy", np.zeros((1, 1)), np.zeros(1, int), 0)
    threshold = fit_threshold(statistics, validation, FLAGGED).threshold
    groups = {"photographs": photographs, "test": images.where(known & (images.split == "test"))}
    found = {}
    for name, outputs in groups.items():
        estimate = proportion(scores(outputs) > threshold)
        found[name] = {
            key: round(float(getattr(estimate, key)), 3) for key in ("value", "low", "high", "n")
        }
    return found


def summarize(aurocs: dict[str, float]) -> dict[str, Any]:
    values = list(aurocs.values())
    return {
        "mean": round(float(np.mean(values)), 3),
        "each": {name: round(value, 3) for name, value in aurocs.items()},
    }


def measure_demo(root: Path, cache: Path) -> dict[str, Any]:
    """Train on the demo with all classes, and with each quarter of them left out."""
    if not list(root.glob("03_primary/split_table.parquet/*/*")):
        command = ["kedro", "run", "--pipelines", "ingest,audit,preprocess"]
        params = ["--params", f"data_root={root}"]
        subprocess.run([sys.executable, "-m", *command, *params], cwd=ROOT, check=True)
    path = newest(root, "03_primary/split_table.parquet")
    table = TableDataset(filepath=str(path), table="skin_lesions.data.tables.SplitTable").load()
    classes = sorted(table.frame["label"].unique())
    complete, photographs = demo_outputs(root, cache, table, ())
    folds = {
        ", ".join(classes[i::FOLDS]): demo_outputs(root, cache, table, classes[i::FOLDS])
        for i in range(FOLDS)
    }
    results: dict[str, Any] = {}
    for name, method in METHODS.items():
        aurocs = {
            fold: left_out_auroc(method, images, fold.split(", "))
            for fold, (images, _) in folds.items()
        }
        flagged = flagged_fractions(method, complete, photographs)
        of_folds = [
            flagged_fractions(method, images, others, fold.split(", "))["photographs"]["value"]
            for fold, (images, others) in folds.items()
        ]
        results[name] = {
            "auroc_of_classes_left_out": summarize(aurocs),
            "flagged": flagged,
            "photographs_flagged_with_classes_left_out": of_folds,
        }
    return results


def demo_outputs(
    root: Path, cache: Path, table: SplitTable, left_out: Sequence[str]
) -> tuple[Images, NetworkOutputs]:
    """Train without some classes; return the outputs for all images and for the photographs."""
    conf = OmegaConfigLoader(str(ROOT / "conf"), env="demo", **CONFIG_LOADER_ARGS)
    recipe = TrainRecipe.model_validate(conf["parameters"]["train"])
    known = replace(table, frame=table.frame[~table.frame["label"].isin(left_out)])
    network = trained_network(root, cache / f"{'-'.join(left_out) or 'all'}.pth", known, recipe)
    preprocessing = Preprocessing("stretch", STORED_SIZE, recipe.eval_image_size)
    stored = PixelStore(root / "05_model_input/pixel_store").at(STORED_SIZE)
    squares = stored.read(stored.rows(table.frame["image_id"]))
    outputs = network_outputs(network, squares, preprocessing)
    label, split = (table.frame[name].to_numpy(str) for name in ("label", "split"))
    photographs = np.stack([square(photo.image, STORED_SIZE) for photo in packaged_photographs()])
    return Images(outputs, label, split), network_outputs(network, photographs, preprocessing)


def trained_network(
    root: Path, weights: Path, table: SplitTable, recipe: TrainRecipe
) -> torch.nn.Module:
    """Train a network on the images of a table, or load the weights of an earlier run."""
    classes = table.frame["label"].nunique()
    network = build_network(recipe.architecture, classes)
    if not weights.exists():
        groups = pd.read_parquet(newest(root, "03_primary/image_groups.parquet"))
        provenance = ImageProvenance(origin=table.provenance.origin, raw_images_version=UNSAVED)
        with tempfile.TemporaryDirectory() as folder:
            model, _ = fit(
                PixelStore(root / "05_model_input/pixel_store"),
                table,
                ImageTable(table.frame, provenance),  # without metadata, it is not used
                groups,
                Checkpoints(Path(folder)),
                recipe,
                WITHOUT_CROPS,
                Ingest(stored_image_size=STORED_SIZE, max_unreadable_fraction=0.1),
                MetadataInputs(columns=None, types={}, equalize_missing=True),
            )
        weights.parent.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict, weights)
    network.load_state_dict(torch.load(weights, weights_only=True))
    return network.eval().to(memory_format=torch.channels_last)


def newest(root: Path, entry: str) -> Path:
    return sorted(root.glob(f"{entry}/*/*"))[-1]


def square(image: Image, size: int) -> Image:
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


@torch.inference_mode()
def network_outputs(
    network: torch.nn.Module, squares: np.ndarray, preprocessing: Preprocessing
) -> NetworkOutputs:
    """Return logits and features of square images, (n, size, size, 3) uint8."""
    logits, features = [], []
    with record_features(network) as recorder:
        for start in range(0, len(squares), 32):
            part = squares[start : start + 32]
            resized = resize_batch(part, [1.0] * len(part), preprocessing)
            logits.append(network(normalize_batch(resized, preprocessing)))
            features.append(recorder.pop())
    return NetworkOutputs(
        logits=torch.cat(logits).double().numpy(), features=torch.cat(features).double().numpy()
    )


def measure_isic8(folder: Path) -> dict[str, Any]:
    """Leave each class out of frozen features."""
    table = pd.read_csv(folder / "metadata.csv")
    network = build_network(ARCHITECTURE, 1000).eval()
    with tempfile.TemporaryDirectory() as temporary:
        weights = Path(temporary) / "lite0.pth"
        convert_packaged_weights(weights)
        network.load_state_dict(torch.load(weights, weights_only=True), strict=False)
    network = network.to(memory_format=torch.channels_last)
    half = (0.5,) * 3  # mean and standard deviation with which the weights were trained
    preprocessing = Preprocessing("stretch", ISIC8_SIZE, ISIC8_SIZE, mean=half, std=half)
    squares = np.stack(list(read_squares(folder, table["file"])))
    outputs = network_outputs(network, squares, preprocessing)
    photo_squares = np.stack([square(photo.image, ISIC8_SIZE) for photo in packaged_photographs()])
    photographs = network_outputs(network, photo_squares, preprocessing)
    label, split = (table[name].to_numpy(str) for name in ("label", "split"))
    images = Images(outputs, label, split)
    without = {c: with_linear_head(images, photographs, (c,))[0] for c in np.unique(label)}
    complete, photographs = with_linear_head(images, photographs, ())
    return {
        name: {
            "auroc_of_classes_left_out": summarize(
                {c: left_out_auroc(method, part, (c,)) for c, part in without.items()}
            ),
            "flagged": flagged_fractions(method, complete, photographs),
        }
        for name, method in METHODS.items()
    }


def read_squares(folder: Path, files: Sequence[str]) -> Iterator[Image]:
    for file in files:
        # OpenCV reads the channels in the order blue, green, red.
        image = cv2.imread(str(folder / file), cv2.IMREAD_COLOR)
        yield square(np.ascontiguousarray(image[..., ::-1]), ISIC8_SIZE)


def with_linear_head(
    images: Images, photographs: NetworkOutputs, left_out: Sequence[str]
) -> tuple[Images, NetworkOutputs]:
    """Replace the logits by those of a logistic regression on the known training images."""
    train = ~np.isin(images.label, left_out) & (images.split == "train")
    head = make_pipeline(
        StandardScaler(), LogisticRegression(C=INVERSE_REGULARIZATION, max_iter=1000)
    ).fit(images.outputs.features[train], images.label[train])

    def replaced(outputs: NetworkOutputs) -> NetworkOutputs:
        return replace(outputs, logits=head.decision_function(outputs.features))

    return replace(images, outputs=replaced(images.outputs)), replaced(photographs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--isic8", type=Path, help="folder isic8_grouped with metadata.csv")
    parser.add_argument("--root", type=Path, help="data root with a split demo; default: a new one")
    parser.add_argument("--cache", type=Path, help="folder of trained weights, to resume a run")
    parser.add_argument("--name", default="unknown_score", help="name of the record")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder)
        measured = {"demo": measure_demo(given.root or new / "demo", given.cache or new / "cache")}
    if given.isic8:
        measured["isic8_grouped"] = measure_isic8(given.isic8)
    save_results(given.name, measured)
