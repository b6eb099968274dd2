"""Benchmark of near-duplicate search for images that show parts of a photograph.

    python benchmarks/near_duplicates_parts.py --data ../shared/data
    python benchmarks/near_duplicates_parts.py --data ../shared/data --baseline ../earlier/src

The first command prints, for each kind of pair (``photographs.CELLS`` and panels of collages), the
recall of the search, and for each set of different subjects that share an overlay the number of
wrong pairs. With ``--baseline``, the search of another checkout is evaluated on the same images.

All pairs are searched together. A pair is ``linked`` if the search returns it, and ``grouped`` if
both images are in one group. Photographs of ``Photograph.is_held_out`` are reported apart: no
constant was selected on them. Intervals are bootstrap intervals over photographs.

The folder has the structure of isic8_grouped, isic2017 and localisation. The benchmark also uses
the photographs in scikit-image and scikit-learn (extra ``dev``).
"""

import argparse
import itertools
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import photographs as ph
from near_duplicates import largest_groups, pair_precision
from record import ROOT, save_results

COLLAGE = "panel of a collage"
SMOOTH = "smooth skin, overlap 0.3 to 0.6"
SMOOTH_FRACTION = 0.25  # of the photographs: those with the least texture
RESAMPLES = 1000
IMAGES_PER_BACKGROUND = 12


@dataclass(frozen=True)
class Pairs:
    """Images 2 i and 2 i + 1 show parts of one photograph.

    ``table`` has one row per pair: cell, photograph and held_out.
    """

    images: list[bytes]
    table: pd.DataFrame


def make_pairs(photographs: list[ph.Photograph], fillers: Iterator[ph.Photograph], n: int) -> Pairs:
    """Make about n pairs of each cell. Each photograph occurs at most a few times in a cell."""
    images: list[bytes] = []
    rows = []
    smooth = sorted(photographs, key=lambda photograph: ph.texture(photograph.image))
    smooth = smooth[: max(1, int(SMOOTH_FRACTION * len(photographs)))]
    for number, cell in enumerate([*ph.CELLS, COLLAGE, SMOOTH]):
        chosen = smooth if cell == SMOOTH else photographs
        rng = np.random.default_rng([1, number])
        made = 0
        # Small photographs cannot contain a strongly magnified detail: the others are used again.
        for _ in range(10):
            for position in rng.permutation(len(chosen)):
                photograph = chosen[position]
                if made == n:
                    break
                if cell == COLLAGE:
                    pair = ph.collage_pair(photograph, fillers, rng)
                else:
                    kind = "overlap 0.3 to 0.6" if cell == SMOOTH else cell
                    pair = ph.CELLS[kind](photograph, rng)
                if pair is not None:
                    images += pair
                    rows.append((cell, photograph.subject, photograph.is_held_out))
                    made += 1
    return Pairs(images, pd.DataFrame(rows, columns=["cell", "photograph", "held_out"]))


def make_negatives(
    lesions: list[ph.Photograph], backgrounds: list[ph.Photograph], n: int
) -> dict[str, tuple[list[bytes], list[str]]]:
    """Make sets of at most n different subjects: their images, and the subject of each image."""
    lesions = lesions[:n]
    sets: dict[str, tuple[list[bytes], list[str]]] = {}
    for number, overlay in enumerate(ph.OVERLAYS):
        rng = np.random.default_rng([2, number])
        images = [ph.with_overlay(lesion, overlay, rng) for lesion in lesions]
        sets[f"common {overlay}"] = (images, [lesion.subject for lesion in lesions])
    rng = np.random.default_rng(3)
    images = [ph.publish(lesion.image, rng) for lesion in lesions]
    sets["lesions of eight classes"] = (images, [lesion.subject for lesion in lesions])
    patients = [photograph for photograph in backgrounds if photograph.patient]
    images = [ph.publish(photograph.image, rng) for photograph in patients]
    sets["lesions of the same patients"] = (images, [p.subject for p in patients])
    chosen = lesions[: IMAGES_PER_BACKGROUND * len(backgrounds)]
    images = [
        ph.on_background(lesion, backgrounds[i // IMAGES_PER_BACKGROUND].image, rng)
        for i, lesion in enumerate(chosen)
    ]
    sets["common background"] = (images, [lesion.subject for lesion in chosen])
    return sets


def search_in(source: Path, sets: dict[str, list[bytes]]) -> dict[str, dict[str, Any]]:
    """Search each set with the code in ``source``, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        images, results = Path(folder, "images"), Path(folder, "results")
        images.write_bytes(pickle.dumps(sets))
        subprocess.run(
            [sys.executable, __file__, "--search", images, results],
            env=os.environ | {"PYTHONPATH": str(source)},
            check=True,
        )
        # The file was written by this script.
        return dict(pickle.loads(results.read_bytes()))  # noqa: S301


def search(sets: dict[str, list[bytes]]) -> dict[str, dict[str, Any]]:
    """Search each set: pairs, groups, number of candidate pairs and seconds of each stage."""
    from skin_lesions.data import decoding  # noqa: PLC0415
    from skin_lesions.data.near_duplicates import (  # noqa: PLC0415
        find_near_duplicates,
        merge_pairs,
    )

    results = {}
    for name, files in sets.items():
        if hasattr(decoding, "decode_within"):
            from skin_lesions.data.near_duplicates.config import DEFAULT_CONFIG  # noqa: PLC0415

            area = DEFAULT_CONFIG.detection_size**2
            images = [decoding.decode_within(data, area) for data in files]
        else:  # versions that compare stretched squares
            images = np.stack([decoding.decode(data, 256).pixels for data in files])
        pairs = find_near_duplicates(images)
        results[name] = {
            "pairs": pairs[["a", "b"]].to_numpy(),
            "groups": merge_pairs(len(images), pairs),
            "candidates": pairs.attrs["proposed"],
            "seconds": pairs.attrs["seconds"],
        }
    return results


def interval(found: pd.Series, photographs: pd.Series) -> list[float]:
    """Return the 95 % bootstrap interval of a fraction, over photographs."""
    table = found.astype(int).groupby(photographs).agg(["sum", "count"]).to_numpy()
    rng = np.random.default_rng(0)
    drawn = table[rng.integers(0, len(table), (RESAMPLES, len(table)))].sum(axis=1)
    return np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975]).round(3).tolist()


def score_pairs(pairs: Pairs, result: dict[str, Any]) -> dict[str, Any]:
    linked = set(map(tuple, result["pairs"].tolist()))
    groups = result["groups"]
    table = pairs.table.assign(
        linked=[(2 * i, 2 * i + 1) in linked for i in range(len(pairs.table))],
        grouped=groups[::2] == groups[1::2],
    )
    recall: dict[str, Any] = {}
    for (held_out, cell), rows in table.groupby(["held_out", "cell"], sort=False):
        recall.setdefault("held_out" if held_out else "tuning", {})[cell] = {
            "pairs": len(rows),
            "linked": round(float(rows["linked"].mean()), 3),
            "grouped": round(float(rows["grouped"].mean()), 3),
            "interval": interval(rows["grouped"], rows["photograph"]),
        }
    subject = np.repeat(pd.factorize(table["photograph"])[0], 2)
    wrong = sum(subject[a] != subject[b] for a, b in result["pairs"])
    return {
        "images": len(pairs.images),
        "recall": recall,
        "pair_precision": pair_precision(groups, subject),
        "verified_pairs": len(result["pairs"]),
        "wrong_pairs": int(wrong),
        "largest_groups": largest_groups(groups),
        "candidates_per_image": result["candidates"] / len(pairs.images),
        "seconds": sum(result["seconds"].values()),
    }


def score_negatives(subjects: list[str], result: dict[str, Any]) -> dict[str, Any]:
    wrong = sum(subjects[a] != subjects[b] for a, b in result["pairs"])
    return {
        "images": len(subjects),
        "wrong_pairs": int(wrong),
        "wrong_pairs_per_1000_images": round(1000 * wrong / len(subjects), 2),
        "candidates_per_image": round(result["candidates"] / len(subjects), 1),
    }


def main(data: Path, n: int, negative_images: int, baseline: Path | None, name: str) -> None:
    rng = np.random.default_rng(0)
    lesions = ph.lesion_photographs(data)
    others = [p for p in lesions if "/" not in p.name]  # localisation
    isic8 = [p for p in lesions if p.name.startswith("isic8/")]
    isic2017 = [p for p in lesions if p.name.startswith("isic2017/")]
    rng.shuffle(isic8)
    rng.shuffle(isic2017)
    packaged = ph.packaged_photographs()
    # Packaged photographs count several times, because there are few of them.
    photographs = [*packaged * 3, *others * 2, *isic8[:300], *isic2017[:300]]
    # Each filler of a collage is used once if there are enough: two collages with the same filler
    # show the same photograph.
    fillers = itertools.cycle(isic2017[300:] or isic2017)
    pairs = make_pairs(photographs, fillers, n)
    negatives = make_negatives(isic8, [*packaged, *others], negative_images)
    sets = {"pairs": pairs.images} | {key: images for key, (images, _) in negatives.items()}
    results: dict[str, Any] = {}
    for version, source in {"search": ROOT / "src", "baseline": baseline}.items():
        if source is None:
            continue
        found = search_in(source, sets)
        results[version] = {
            "pairs": score_pairs(pairs, found["pairs"]),
            "negatives": {
                key: score_negatives(subjects, found[key])
                for key, (_, subjects) in negatives.items()
            },
        }
        print_table(version, results[version])
    save_results(name, results)


def print_table(version: str, scores: dict[str, Any]) -> None:
    print(f"\n{version}: recall")
    for part, cells in scores["pairs"]["recall"].items():
        print(pd.DataFrame(cells).T.rename_axis(part).to_string())
    print(pd.DataFrame(scores["negatives"]).T.to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with the real images")
    parser.add_argument("--pairs", type=int, default=600, help="pairs of each kind")
    parser.add_argument(
        "--negatives", type=int, default=2000, help="maximum number of images of each set"
    )
    parser.add_argument("--baseline", type=Path, help="folder src of another checkout")
    parser.add_argument("--name", default="near_duplicates_parts")
    parser.add_argument("--search", type=Path, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.search:
        images_file, results_file = args.search
        images_of_sets = pickle.loads(images_file.read_bytes())  # noqa: S301
        results_file.write_bytes(pickle.dumps(search(images_of_sets)))
    else:
        main(args.data, args.pairs, args.negatives, args.baseline, args.name)
