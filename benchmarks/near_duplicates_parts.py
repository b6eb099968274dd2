"""Benchmark of near-duplicate search for images that show parts of a photograph.

    python benchmarks/near_duplicates_parts.py --data ../shared/data
    python benchmarks/near_duplicates_parts.py --data ../shared/data --baseline ../earlier/src

The first command prints, for each kind of pair (``photographs.CELLS`` and panels of collages), the
recall of the search, and for each set of different subjects that share an overlay the number of
wrong pairs. With ``--baseline``, the search of another checkout is evaluated on the same images.

The pairs of each kind are searched together. A pair is ``linked`` if the search returns it, and
``grouped`` if both images are in one group. Photographs of ``Photograph.is_held_out`` are reported
apart: no constant was selected on them. Intervals are bootstrap intervals over photographs.

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
from near_duplicates import pair_precision
from record import ROOT, save_results

COLLAGE = "panel of a collage"
SMOOTH = "smooth skin, overlap 0.3 to 0.6"
SMOOTH_FRACTION = 0.25  # of the photographs: those with the least texture
PLAIN = "lesions of eight classes"  # set of negatives without an overlay
RESAMPLES = 1000
IMAGES_PER_BACKGROUND = 12


@dataclass(frozen=True)
class Pairs:
    """Images 2 i and 2 i + 1 show parts of one photograph.

    ``table`` has one row per pair: photograph and held_out.
    """

    images: list[bytes]
    table: pd.DataFrame


def make_pairs(
    photographs: list[ph.Photograph], fillers: Iterator[ph.Photograph], n: int
) -> dict[str, Pairs]:
    """Make about n pairs of each cell. Each photograph occurs at most a few times in a cell."""
    smooth = sorted(photographs, key=lambda photograph: ph.texture(photograph.image))
    smooth = smooth[: max(1, int(SMOOTH_FRACTION * len(photographs)))]
    cells = {}
    for number, cell in enumerate([*ph.CELLS, COLLAGE, SMOOTH]):
        chosen = smooth if cell == SMOOTH else photographs
        rng = np.random.default_rng([1, number])
        images: list[bytes] = []
        rows = []
        # Small photographs cannot contain a strongly magnified detail: the others are used again.
        for _ in range(10):
            for position in rng.permutation(len(chosen)):
                photograph = chosen[position]
                if len(rows) == n:
                    break
                if cell == COLLAGE:
                    pair = ph.collage_pair(photograph, fillers, rng)
                else:
                    kind = "overlap 0.3 to 0.6" if cell == SMOOTH else cell
                    pair = ph.CELLS[kind](photograph, rng)
                if pair is not None:
                    images += pair
                    rows.append((photograph.subject, photograph.is_held_out))
        cells[cell] = Pairs(images, pd.DataFrame(rows, columns=["photograph", "held_out"]))
    return cells


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
    sets[PLAIN] = (images, [lesion.subject for lesion in lesions])
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
            [sys.executable, Path(__file__).with_name("search_images.py"), images, results],
            env=os.environ | {"PYTHONPATH": str(source)},
            check=True,
        )
        # The file was written by the script.
        return dict(pickle.loads(results.read_bytes()))  # noqa: S301


def interval(found: pd.Series, photographs: pd.Series) -> list[float]:
    """Return the 95 % bootstrap interval of a fraction, over photographs."""
    table = found.astype(int).groupby(photographs).agg(["sum", "count"]).to_numpy()
    rng = np.random.default_rng(0)
    drawn = table[rng.integers(0, len(table), (RESAMPLES, len(table)))].sum(axis=1)
    return np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975]).round(3).tolist()


def score_pairs(cells: dict[str, Pairs], found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Score the search of each cell; the precision is that of all cells together."""
    recall: dict[str, Any] = {"tuning": {}, "held_out": {}}
    groups, subjects = [], []
    for number, (cell, pairs) in enumerate(cells.items()):
        result = found[cell]
        linked = set(map(tuple, result["pairs"].tolist()))
        table = pairs.table.assign(
            linked=[(2 * i, 2 * i + 1) in linked for i in range(len(pairs.table))],
            grouped=result["groups"][::2] == result["groups"][1::2],
        )
        for held_out, rows in table.groupby("held_out"):
            recall["held_out" if held_out else "tuning"][cell] = {
                "pairs": len(rows),
                "linked": round(float(rows["linked"].mean()), 3),
                "grouped": round(float(rows["grouped"].mean()), 3),
                "interval": interval(rows["grouped"], rows["photograph"]),
            }
        groups += [(number, group) for group in result["groups"].tolist()]
        subjects += np.repeat(pairs.table["photograph"], 2).tolist()
    images = sum(len(pairs.images) for pairs in cells.values())
    return {
        "images": images,
        "recall": recall,
        "pair_precision": pair_precision(pd.factorize(pd.Series(groups))[0], np.array(subjects)),
        "candidates_per_image": sum(found[cell]["candidates"] for cell in cells) / images,
        "seconds": sum(sum(found[cell]["seconds"].values()) for cell in cells),
    }


def score_negatives(
    negatives: dict[str, tuple[list[bytes], list[str]]], found: dict[str, dict[str, Any]]
) -> dict[str, dict[str, float]]:
    """Count the linked pairs of different subjects.

    The metadata do not list every lesion: some pairs show one lesion under two names. Those are
    also linked without an overlay, and counted apart.
    """
    wrong = {
        name: {
            tuple(sorted((subjects[a], subjects[b])))
            for a, b in found[name]["pairs"].tolist()
            if subjects[a] != subjects[b]
        }
        for name, (_, subjects) in negatives.items()
    }
    scores = {}
    for name, (images, _) in negatives.items():
        without_overlay = wrong[name] - (wrong[PLAIN] if name != PLAIN else set())
        scores[name] = {
            "images": len(images),
            "wrong_pairs": len(wrong[name]),
            "also_linked_without_overlay": len(wrong[name]) - len(without_overlay),
            "wrong_pairs_per_1000_images": round(1000 * len(without_overlay) / len(images), 2),
            "candidates_per_image": round(found[name]["candidates"] / len(images), 1),
        }
    print(f"{PLAIN}, wrong by the metadata:", *sorted(wrong[PLAIN]), sep="\n  ")
    return scores


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
    cells = make_pairs(photographs, fillers, n)
    negatives = make_negatives(isic8, [*packaged, *others], negative_images)
    sets = {cell: pairs.images for cell, pairs in cells.items()}
    sets |= {key: images for key, (images, _) in negatives.items()}
    results: dict[str, Any] = {}
    for version, source in {"search": ROOT / "src", "baseline": baseline}.items():
        if source is None:
            continue
        found = search_in(source, sets)
        results[version] = {
            "pairs": score_pairs(cells, found),
            "negatives": score_negatives(negatives, found),
        }
        print_table(version, results[version])
        save_results(name, results)


def print_table(version: str, scores: dict[str, Any]) -> None:
    precision = scores["pairs"]["pair_precision"]
    print(f"\n{version}: recall; precision {precision:.4f}")
    for part, cells in scores["pairs"]["recall"].items():
        print(pd.DataFrame(cells).T.rename_axis(part).to_string())
    print(pd.DataFrame(scores["negatives"]).T.to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the real images")
    parser.add_argument("--pairs", type=int, default=600, help="pairs of each kind")
    parser.add_argument(
        "--negatives", type=int, default=2000, help="maximum number of images of each set"
    )
    parser.add_argument("--baseline", type=Path, help="folder src of another checkout")
    parser.add_argument("--name", default="near_duplicates_parts")
    args = parser.parse_args()
    main(args.data, args.pairs, args.negatives, args.baseline, args.name)
