r"""Lesion localization with the features of a trained classifier, by grouped cross-validation.

    python benchmarks/localization.py --root data/folder --data ../shared/data/localisation

The newest model of the data root is used. Each setting is one run of the pipeline ``localize``. The
data are the folders ``images`` and ``masks``, and the boxes in ``pairs.csv``. Names that begin with
ISIC are dermoscopic images. The others are photographs, named by patient: ``PAT_<patient>_...``.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from record import ROOT, save_results
from skin_lesions.evaluation.localization import LocalizationResults

PATIENT = r"^(PAT_\d+)_"
FROZEN = ",localize.decoder.network_learning_rate=0,localize.decoder.epochs=30"
# Annotations and further parameters of each setting.
SETTINGS = {
    "masks": ("masks", ""),
    "masks, network not trained": ("masks", FROZEN),
    "boxes": ("pairs.csv", ""),
    "activation maps, boxes": ("pairs.csv", ",localize.method=cam"),
}


def results_of(root: Path, images: Path, annotations: Path, params: str) -> dict[str, Any]:
    """Run the pipeline, and return the scores of all methods, overall and by kind of image."""
    start = time.perf_counter()
    params = (
        f"data_root={root},localize.images={images},localize.annotations={annotations}"
        f",localize.filename_pattern={PATIENT}{params}"
    )
    command = [sys.executable, "-m", "kedro", "run", "--env", "folder", "--pipelines", "localize"]
    subprocess.run([*command, "--params", params], cwd=ROOT, check=True)
    newest = sorted(root.glob("08_reporting/localization.json/*/localization.json"))[-1]
    results = LocalizationResults.model_validate_json(newest.read_text(encoding="utf-8"))
    parts = {"all": results.methods, **results.sources}
    return {
        "seconds": time.perf_counter() - start,
        "folds": results.provenance.folds,
        "scores": {
            part: {method: scores.model_dump() for method, scores in methods.items()}
            for part, methods in parts.items()
        },
    }


def by_kind(images: Path, folder: Path) -> Path:
    """Copy the images into one folder for each kind, so that they are sources."""
    for path in sorted(images.iterdir()):
        kind = "dermoscopy" if path.name.startswith("ISIC") else "smartphone"
        (folder / kind).mkdir(exist_ok=True)
        shutil.copy(path, folder / kind)
    return folder


def main(root: Path, data: Path, settings: Sequence[str], record: str) -> None:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        images = by_kind(data / "images", Path(folder))
        for name in settings:
            annotations, params = SETTINGS[name]
            found[name] = results_of(root, images, data / annotations, params)
            for part, methods in found[name]["scores"].items():
                values = {m: round(scores["iou"]["value"], 3) for m, scores in methods.items()}
                print(f"{name}, {part}: {values}")
            save_results(record, {"settings": found})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="data root with a model")
    parser.add_argument("--data", type=Path, required=True, help="folder with the real images")
    parser.add_argument(
        "--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS), metavar="SETTING"
    )
    parser.add_argument("--name", default="localization")
    args = parser.parse_args()
    main(args.root.resolve(), args.data.resolve(), args.settings, args.name)
