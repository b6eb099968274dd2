"""Changed copies of real images: how many are found, and how many pairs are wrong.

    python benchmarks/near_duplicates.py --folder ../shared/data/isic8_grouped --images 150
    python benchmarks/near_duplicates.py --folder ../shared/data/isic8_grouped --images 2144 --alone
    python benchmarks/near_duplicates.py --folder ../shared/data/localisation/images --crops 4

All images of the folder are searched; ``--images`` of them are changed, once in each way, so that
copies may also be joined by their siblings; with ``--alone`` each has one copy only. With
``--crops`` the originals are left out: each stands as several crops of 60 to 95 % of its area.

A pair of different originals counts as true if ``metadata.csv`` gives both the same group_id,
lesion_id or patient_id. The metadata don't know all: so the pairs that count as wrong are named, to
be looked at. Two bad detectors are judged beside ours: one that calls everything a copy, and one that finds
nothing. ``near_duplicates_scale.py`` tells how long it takes.
"""

import argparse
import time
from collections.abc import Callable
from math import comb
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from images import image_files
from record import keep
from skin_lesions.core.parallel import ordered_map
from skin_lesions.data.decoding import UnreadableImageError, decode
from skin_lesions.data.near_duplicates import find_near_duplicates, merge_pairs

Picture = np.ndarray
Rng = np.random.Generator
Change = Callable[[Picture, Rng], Picture]

SIZE = 256
KEYS = ("group_id", "lesion_id", "patient_id")
BORDERS = (cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101)


def jpeg(picture: Picture, quality: int) -> Picture:
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR)


def either(rng: Rng, low: float, high: float) -> float:
    """Draw from low to high, or from -high to -low."""
    return float(rng.uniform(low, high) * rng.choice([-1, 1]))


def warped(
    picture: Picture,
    rng: Rng,
    *,
    angle: float = 0,
    scale: float = 1,
    shear: float = 0,
    shift: tuple[float, float] = (0, 0),
) -> Picture:
    """Turn (degrees), zoom, shear and shift (shares of the size) about the middle."""
    size = np.array(picture.shape[1::-1])
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    linear = scale * np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, shear], [0, 1]])
    offset = size / 2 + np.array(shift) * size - linear @ (size / 2)
    border = BORDERS[rng.integers(len(BORDERS))]
    affine = np.column_stack([linear, offset])
    return cv2.warpAffine(picture, affine, tuple(size.tolist()), borderMode=border)


def cropped(picture: Picture, rng: Rng, area: float) -> Picture:
    height, width = picture.shape[:2]
    share_y = min(1, np.sqrt(area * rng.uniform(0.8, 1.25)))
    share_x = min(1, area / share_y)
    y, x = int(rng.uniform(0, 1 - share_y) * height), int(rng.uniform(0, 1 - share_x) * width)
    return picture[y : y + int(share_y * height), x : x + int(share_x * width)]


def toned(picture: Picture, contrast: float, bias: float) -> Picture:
    return ((picture - 128.0) * contrast + 128 + bias).clip(0, 255).astype(np.uint8)


def coloured(picture: Picture, hue: float, saturation: float) -> Picture:
    hsv = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV).astype(float)
    hsv[..., 0] = (hsv[..., 0] + hue) % 180
    hsv[..., 1] = (hsv[..., 1] * saturation).clip(0, 255)
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR)


def noisy(picture: Picture, rng: Rng, sigma: float) -> Picture:
    return (picture + rng.normal(0, sigma, picture.shape)).clip(0, 255).astype(np.uint8)


def blurred(picture: Picture, sigma: float) -> Picture:
    """Blur; sigma in pixels of a 256-pixel image."""
    return cv2.GaussianBlur(picture, (0, 0), sigma * picture.shape[1] / SIZE)


def resized(picture: Picture, factor: float) -> Picture:
    return cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def mirrored_or_not(picture: Picture, rng: Rng) -> Picture:
    return np.ascontiguousarray(picture[:, :: rng.choice([-1, 1])])


def all_but_crop_and_blur(picture: Picture, r: Rng) -> Picture:
    moved = warped(
        mirrored_or_not(picture, r),
        r,
        angle=r.uniform(-180, 180),
        scale=r.uniform(0.85, 1.25),
        shear=either(r, 0, 0.2),
        shift=(either(r, 0, 0.1), either(r, 0, 0.1)),
    )
    lit = toned(moved, r.uniform(0.75, 1.3), either(r, 0, 25))
    return noisy(coloured(lit, either(r, 0, 12), r.uniform(0.7, 1.3)), r, r.uniform(0, 8))


def all_with_crop_and_blur(picture: Picture, r: Rng) -> Picture:
    moved = warped(
        mirrored_or_not(picture, r), r, angle=r.uniform(-45, 45), shear=either(r, 0, 0.15)
    )
    part = cropped(moved, r, r.uniform(0.6, 0.9))
    lit = toned(part, r.uniform(0.75, 1.3), either(r, 0, 25))
    return blurred(coloured(lit, either(r, 0, 12), r.uniform(0.7, 1.3)), r.uniform(0.4, 1))


SIMPLE: dict[str, Change] = {
    "reencoded": lambda p, r: jpeg(p, int(r.integers(40, 90))),
    "resized": lambda p, r: resized(p, r.uniform(0.5, 1.5)),
    "flipped": lambda p, r: np.flip(p, axis=r.integers(2)),
    "turned": lambda p, r: np.rot90(p, r.integers(1, 4)),
    "brightened": lambda p, r: toned(p, 1, either(r, 15, 45)),
}
HARD: dict[str, Change] = {
    "rotated": lambda p, r: warped(p, r, angle=r.uniform(-180, 180)),
    "sheared": lambda p, r: warped(p, r, shear=either(r, 0.1, 0.3)),
    "shifted": lambda p, r: warped(p, r, shift=(either(r, 0.05, 0.2), either(r, 0.05, 0.2))),
    "smaller": lambda p, r: warped(p, r, scale=r.uniform(0.65, 0.9)),
    "larger": lambda p, r: warped(p, r, scale=r.uniform(1.1, 1.4)),
    "cropped": lambda p, r: cropped(p, r, r.uniform(0.6, 0.9)),
    "coloured": lambda p, r: coloured(p, either(r, 5, 20), r.uniform(0.5, 1.5)),
    "contrast": lambda p, r: toned(p, r.choice([0.6, 0.75, 1.3, 1.5]), either(r, 0, 25)),
    "noisy": lambda p, r: noisy(p, r, r.uniform(5, 15)),
    "blurred": lambda p, r: blurred(p, r.uniform(0.8, 1.8)),
    "several_all_angles": all_but_crop_and_blur,
    "several_cropped": all_with_crop_and_blur,
}


def squashed(picture: Picture) -> Picture:
    shrinks = picture.shape[0] > SIZE
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(picture), (SIZE, SIZE), interpolation=how)[..., ::-1]


def read(folder: Path) -> tuple[list[str], np.ndarray]:
    """Decode all images below a folder, as the ingest pipeline does: names, (n, 256, 256, 3)."""

    def decoded(path: Path) -> Picture | None:
        try:
            return decode(path.read_bytes(), SIZE).pixels
        except UnreadableImageError:
            return None

    paths = image_files(folder)
    squares = list(ordered_map(decoded, paths))
    names = [
        p.relative_to(folder).as_posix()
        for p, s in zip(paths, squares, strict=True)
        if s is not None
    ]
    return names, np.stack([square for square in squares if square is not None])


def known_groups(folder: Path, names: list[str]) -> np.ndarray:
    """Number the groups that the metadata tell of; an image that they don't know is alone."""
    path = folder / "metadata.csv"
    table = pd.DataFrame({"file": names})
    if path.exists():
        table = table.merge(pd.read_csv(path), on="file", how="left")
    links = [
        rows.to_numpy()
        for key in KEYS
        if key in table
        for _, rows in table.index.to_series().groupby(table[key])
    ]
    pairs = [(rows[0], row) for rows in links for row in rows[1:]]
    sure = pd.DataFrame(pairs, columns=["a", "b"], dtype=int).assign(kind="pixels", strength=1.0)
    return merge_pairs(len(names), sure)


def pair_precision(groups: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of true pairs among all pairs of images of one group."""
    both = pd.DataFrame({"group": groups, "truth": truth})
    pairs = sum(comb(n, 2) for n in both.groupby("group").size())
    true = sum(comb(n, 2) for n in both.groupby(["group", "truth"]).size())
    return true / pairs if pairs else float("nan")


def changed_copies(
    folder: Path, names: list[str], chosen: np.ndarray, alone: bool, seed: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """Change each chosen image in all ways, or each in the next one: (origin, change), pixels."""
    changes = list(enumerate((SIMPLE | HARD).items()))
    rows, squares = [], []
    for turn, origin in enumerate(chosen):
        picture = cv2.imread(str(folder / names[origin]))
        for number, (name, change) in changes[turn % len(changes) :][:1] if alone else changes:
            rng = np.random.default_rng([seed, int(origin), number])
            rows.append((origin, name))
            squares.append(squashed(jpeg(np.ascontiguousarray(change(picture, rng)), 90)))
    return pd.DataFrame(rows, columns=["origin", "change"]), np.stack(squares)


def judged(
    groups: np.ndarray, truth: np.ndarray, copies: pd.DataFrame, originals: int
) -> dict[str, Any]:
    """Score groups of originals, followed by their copies."""
    found = groups[copies["origin"]] == groups[originals:]
    simple = copies["change"].isin(SIMPLE)
    return {
        "recall_simple": float(found[simple].mean()),
        "recall_hard": float(found[~simple].mean()),
        "pair_precision": pair_precision(groups, truth),
        "pair_precision_of_originals": pair_precision(groups[:originals], truth[:originals]),
    }


def wrong_pairs(
    pairs: pd.DataFrame, truth: np.ndarray, origin: np.ndarray, names: list[str]
) -> list[str]:
    """Name the wrong pairs, once for each two originals, the strongest first."""
    wrong = pairs[truth[pairs["a"]] != truth[pairs["b"]]].sort_values("strength", ascending=False)
    ends = np.sort(origin[wrong[["a", "b"]].to_numpy()], axis=1)
    lines = [
        f"{names[a]} {names[b]} {strength:.2f}"
        for (a, b), strength in zip(ends, wrong["strength"], strict=True)
    ]
    return list({line.rsplit(" ", 1)[0]: line for line in reversed(lines)}.values())[::-1]


def on_folder(folder: Path, images: int, alone: bool, seed: int, name: str) -> None:
    names, originals = read(folder)
    known = known_groups(folder, names)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(names), min(images, len(names)), replace=False))
    copies, changed = changed_copies(folder, names, chosen, alone, seed)
    squares = np.concatenate([originals, changed])
    origin = np.concatenate([np.arange(len(names)), copies["origin"]])
    truth = known[origin]
    start = time.perf_counter()
    pairs = find_near_duplicates(squares)
    took = time.perf_counter() - start
    groups = merge_pairs(len(squares), pairs)
    direct = set(zip(pairs["a"], pairs["b"], strict=True))
    copies["grouped"] = groups[copies["origin"]] == groups[len(names) :]
    copies["direct"] = [(o, len(names) + i) in direct for i, o in enumerate(copies["origin"])]
    by_change = copies.groupby("change", sort=False)[["grouped", "direct"]].mean().round(4)
    everything, nothing = np.zeros(len(squares), int), np.arange(len(squares))
    wrong = wrong_pairs(pairs, truth, origin, names)
    keep(
        name,
        {
            "originals": len(names),
            "changed_copies": len(copies),
            **judged(groups, truth, copies, len(names)),
            "if_all_were_called_copies": judged(everything, truth, copies, len(names)),
            "if_none_were": judged(nothing, truth, copies, len(names)),
            "recall_by_change": by_change.to_dict("index"),
            "pairs_by_kind": pairs["kind"].value_counts().to_dict(),
            "wrong_pairs_by_metadata": len(wrong),
            "largest_groups": largest(groups),
            "largest_groups_of_originals": largest(groups[: len(names)]),
            "pairs_proposed_per_image": pairs.attrs["proposed"] / len(squares),
            "seconds": took,
        },
    )
    print("wrong by metadata:", *wrong, sep="\n  ")


def largest(groups: np.ndarray) -> list[int]:
    return np.sort(np.bincount(groups))[::-1][:8].tolist()


def on_crops(folder: Path, crops: int, seed: int) -> None:
    """Join crops of the same photograph, which itself is not there."""
    names, _ = read(folder)
    rng = np.random.default_rng(seed)
    origin = np.repeat(np.arange(len(names)), crops)
    pictures = (cv2.imread(str(folder / names[row])) for row in origin)
    squares = [squashed(jpeg(cropped(p, rng, rng.uniform(0.6, 0.95)), 90)) for p in pictures]
    pairs = find_near_duplicates(np.stack(squares))
    groups = merge_pairs(len(squares), pairs)
    same_photograph = len(names) * comb(crops, 2)
    both = pd.DataFrame({"group": groups, "origin": origin}).groupby(["group", "origin"]).size()
    keep(
        "near_duplicates_crops",
        {
            "photographs": len(names),
            "crops_of_each": crops,
            "recall_of_pairs": sum(comb(n, 2) for n in both) / same_photograph,
            "pair_precision": pair_precision(groups, known_groups(folder, names)[origin]),
            "largest_groups": largest(groups),
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--images", type=int, default=150, help="how many of them are changed")
    parser.add_argument("--alone", action="store_true", help="one change of each, no siblings")
    parser.add_argument("--crops", type=int, help="judge this many crops of each image instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="near_duplicates")
    given = parser.parse_args()
    if given.crops:
        on_crops(given.folder, given.crops, given.seed)
    else:
        on_folder(given.folder, given.images, given.alone, given.seed, given.name)
