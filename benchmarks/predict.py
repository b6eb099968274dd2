"""Benchmark of predictions for new images: speed compared with a plain loop, and memory.

The plain loop predicts one image at a time: PIL, Resize, ToTensor and Normalize of torchvision, and
the network in its default memory layout. Both use the same files, network and number of threads.
Predictions also contain the hash of each file, prediction sets and unknown scores, and are written
to a file.

The peak memory is that of a new process for each number of files. The files are small images, so
that memory that grows with the number of files is a large part.
"""

import argparse
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from images import image_files, make_photographs
from record import save_results
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.data.provenance import ModelProvenance, Origin
from skin_lesions.deployment.images import find_images
from skin_lesions.deployment.prediction_run import PredictionRun
from skin_lesions.deployment.row_file import write_rows
from skin_lesions.deployment.torch_predictor import read_torch_predictor
from skin_lesions.models.features import record_features
from skin_lesions.models.inference import load_network
from skin_lesions.models.model_file import read_model, write_model
from skin_lesions.models.networks import build_network
from skin_lesions.models.postprocessing.conformal import fit_conformal
from skin_lesions.models.postprocessing.probabilities import class_frequencies
from skin_lesions.models.postprocessing.referral import fit_referral
from skin_lesions.models.postprocessing.temperature import TemperatureFit
from skin_lesions.models.postprocessing.unknown_score import fit_threshold, fit_unknown_statistics
from skin_lesions.models.trained_model import Postprocessing, Selection, TrainedModel
from skin_lesions.models.weights_origin import WeightsOrigin

CLASSES, BATCH = 14, 32
SMALL = 32  # width and height of the small images and of their input, pixels


def random_model(architecture: str, stored_size: int, image_size: int) -> TrainedModel:
    """Return a model with random weights and made-up thresholds."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = build_network(architecture, CLASSES)
    n, labels = 200, np.arange(200) % CLASSES
    with torch.inference_mode(), record_features(network.eval()) as recorder:
        network(torch.zeros(1, 3, image_size, image_size))
    features = rng.random((n, recorder.pop().shape[1]))
    statistics_ = fit_unknown_statistics("mahalanobis", features, labels, 0)
    probabilities = rng.dirichlet(np.ones(CLASSES), n)
    confidence = probabilities.max(axis=1)
    fitted = Postprocessing(
        calibration=TemperatureFit(
            temperature=1.0, nll_before=1.0, nll_after=1.0, n=n, n_effective=float(n)
        ),
        frequencies=class_frequencies((n,) * CLASSES, "logit_adjustment", "auto"),
        conformal=fit_conformal(probabilities, labels, 0.9),
        referral=fit_referral(confidence, rng.random(n) < 0.95, 0.9),
        unknown_score=fit_threshold(statistics_, rng.random(n), 0.05),
    )
    return TrainedModel(
        architecture=architecture,
        classes=tuple(f"class{i}" for i in range(CLASSES)),
        preprocessing=Preprocessing("stretch", stored_size, image_size),
        test_time_augmentation="none",
        recipe={},
        initial_weights=WeightsOrigin(weights="none"),
        selection=Selection(best_epoch=1, metric="accuracy", value=0.0),
        provenance=ModelProvenance(
            origin=Origin(kind="folder", folder="benchmark"),
            raw_images_version="",
            image_table_version="",
            data_fingerprint="",
            split_fingerprint="",
            split_policy="grouped",
            split_table_version="",
            package_version="",
            python="",
            libraries={},
            device="cpu",
            precision="float32",
            processes=1,
            training="",
        ),
        train_image_ids=(),
        val_image_ids=(),
        state_dict=network.state_dict(),
        postprocessing=fitted,
    )


def plain_loop(folder: Path, model: TrainedModel) -> int:
    """Predict one image at a time, as in many scripts; return the number of images."""
    preprocessing = model.preprocessing
    size = preprocessing.image_size
    steps = transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.ToTensor(),
            transforms.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )
    network = load_network(model).eval()
    files = image_files(folder)
    with torch.inference_mode():
        for file in files:
            image = Image.open(file).convert("RGB")
            network(steps(image)[None]).softmax(dim=1).numpy()
    return len(files)


def predict_folder(folder: Path, model_file: Path, output: Path) -> int:
    """Predict as the pipeline ``predict`` does; return the number of images."""
    files = find_images([str(folder)], follow_symlinks=False, option="")
    output.unlink(missing_ok=True)
    run = PredictionRun(read_torch_predictor(model_file, "cpu"), files, BATCH)
    return write_rows(run, output).files


def rate(predict: Callable[[], int]) -> float:
    """Return images/s, including the loading of the network."""
    start = time.perf_counter()
    return predict() / (time.perf_counter() - start)


def compare_speed(images: int, rounds: int, architecture: str, source: str | None) -> dict:
    """Compare the speed of both; a first round is a warm-up."""
    plain, batched = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(source or f"{temporary}/images")
        if source is None:
            make_photographs(folder, images, 600, 450)
        model_file = Path(temporary) / "model.pth"
        write_model(random_model(architecture, 256, 192), model_file)
        model = read_model(model_file)
        for round_ in range(rounds + 1):
            speeds = (
                rate(lambda: plain_loop(folder, model)),
                rate(lambda: predict_folder(folder, model_file, Path(temporary, "rows.csv"))),
            )
            if round_:
                plain.append(speeds[0])
                batched.append(speeds[1])
    return {
        "architecture": architecture,
        "images": images if source is None else len(image_files(Path(source))),
        "image_size": 192,
        "threads": torch.get_num_threads(),
        "plain_loop_images_per_second": statistics.median(plain),
        "predict_images_per_second": statistics.median(batched),
        "predict_times_the_plain_loop": statistics.median(
            b / p for b, p in zip(batched, plain, strict=True)
        ),
        "rounds": rounds,
    }


def make_small_images(folder: Path, n: int) -> None:
    """Make n small JPEG files: hard links to 1,000 different ones, which is faster."""
    rng = np.random.default_rng(0)
    for number in range(n):
        path = folder / f"{number // 1000:03d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < 1000:
            pixels = rng.integers(0, 256, (SMALL, SMALL, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(path, quality=85)
        else:
            os.link(folder / "000" / f"{number % 1000:06d}.jpg", path)


def peak_megabytes() -> float:
    """Return the peak memory of this process, on Linux."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def measure_memory(counts: list[int]) -> dict:
    """Return the peak memory of a new process for each number of files."""
    peaks: dict[str, float] = {}
    for n in counts:
        with tempfile.TemporaryDirectory() as temporary:
            folder, model_file = Path(temporary, "images"), Path(temporary, "model.pth")
            make_small_images(folder, n)
            write_model(random_model("resnet18", SMALL, SMALL), model_file)
            command = [sys.executable, __file__, "--worker", str(folder), str(model_file)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            peaks[str(n)] = float(done.stdout)
    return {
        "small_image_size": SMALL,
        "peak_memory_mb": peaks,
        "peak_memory_rise_mb": peaks[str(max(counts))] - peaks[str(min(counts))],
    }


def run_worker(folder: Path, model_file: Path) -> None:
    """Predict a folder in this process; print the peak memory."""
    predict_folder(folder, model_file, folder.parent / "rows.csv")
    print(peak_megabytes())


def main(arguments: argparse.Namespace) -> None:
    logging.disable(logging.WARNING)
    if arguments.worker:
        run_worker(*map(Path, arguments.worker))
        return
    results = {}
    if arguments.part != "memory":
        results |= compare_speed(
            arguments.images, arguments.rounds, arguments.architecture, arguments.folder
        )
    if arguments.part != "speed":
        results |= measure_memory(arguments.counts)
    save_results(arguments.name, results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--folder", help="folder of images; default: images of noise")
    parser.add_argument("--counts", type=int, nargs="+", default=[5000, 100_000])
    parser.add_argument("--part", choices=["both", "speed", "memory"], default="both")
    parser.add_argument("--name", default="predict")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    main(parser.parse_args())
