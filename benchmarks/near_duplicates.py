"""Benchmark of near-duplicate detection on transformed real images: recall and precision of pairs.

    python benchmarks/near_duplicates.py --folder ../shared/data/isic8_grouped --images 150
    python benchmarks/near_duplicates.py --folder ../shared/data/isic8_grouped --images 2144 \
        --single
    python benchmarks/near_duplicates.py --folder ../shared/data/localisation/images --crops 4

The search uses all images of the folder. ``--images`` of them are transformed, once with each
transformation. Near-duplicates of one image may therefore also be merged through each other. With
``--single``, each image has only one near-duplicate. With ``--crops``, the originals are left out:
each is replaced by several crops of 60 to 95 % of its area.

A pair of different originals counts as true if ``metadata.csv`` gives both the same group_id,
lesion_id or patient_id. The metadata are not complete. The pairs that count as wrong are therefore
listed for inspection. Two trivial detectors are evaluated for comparison: one puts all images into
one group, and one finds nothing. ``near_duplicates_scale.py`` measures the time.
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
from record import save_results
from skin_lesions.core.parallel import ordered_map
from skin_lesions.data.decoding import decode_within
from skin_lesions.data.image_files import UnreadableImageError
from skin_lesions.data.near_duplicates import find_near_duplicates, merge_pairs
from skin_lesions.data.near_duplicates.config import DEFAULT_CONFIG

Image = np.ndarray
Rng = np.random.Generator
Transform = Callable[[Image, Rng], Image]

BLUR_SIZE = 256  # width of the image to which the sigma of a blur refers, pixels
MAX_AREA = DEFAULT_CONFIG.detection_size**2  # pixels of a searched image
KEYS = ("group_id", "lesion_id", "patient_id")
BORDERS = (cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101)


def encode(image: Image, quality: int = 90) -> bytes:
    """Return a JPEG file of a BGR image."""
    ordered = np.ascontiguousarray(image)
    return cv2.imencode(".jpg", ordered, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def jpeg(image: Image, quality: int) -> Image:
    """Encode and decode a BGR image."""
    return cv2.imdecode(np.frombuffer(encode(image, quality), np.uint8), cv2.IMREAD_COLOR)


def signed_uniform(rng: Rng, low: float, high: float) -> float:
    """Draw uniformly from low to high, with a random sign."""
    return float(rng.uniform(low, high) * rng.choice([-1, 1]))


def warp(
    image: Image,
    rng: Rng,
    *,
    angle: float = 0,
    scale: float = 1,
    shear: float = 0,
    shift: tuple[float, float] = (0, 0),
) -> Image:
    """Rotate (degrees), scale, shear and shift (fractions of the size) about the center."""
    size = np.array(image.shape[1::-1])
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    # Affine map x -> linear @ x + offset, which maps the center to the shifted center.
    linear = scale * np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, shear], [0, 1]])
    offset = size / 2 + np.array(shift) * size - linear @ (size / 2)
    border = BORDERS[rng.integers(len(BORDERS))]
    affine = np.column_stack([linear, offset])
    return cv2.warpAffine(image, affine, tuple(size.tolist()), borderMode=border)


def crop(image: Image, rng: Rng, area: float) -> Image:
    height, width = image.shape[:2]
    fraction_y = min(1, np.sqrt(area * rng.uniform(0.8, 1.25)))
    fraction_x = min(1, area / fraction_y)
    y, x = int(rng.uniform(0, 1 - fraction_y) * height), int(rng.uniform(0, 1 - fraction_x) * width)
    return image[y : y + int(fraction_y * height), x : x + int(fraction_x * width)]


def adjust_tone(image: Image, contrast: float, bias: float) -> Image:
    return ((image - 128.0) * contrast + 128 + bias).clip(0, 255).astype(np.uint8)


def adjust_color(image: Image, hue: float, saturation: float) -> Image:
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV).astype(float)
    hsv[..., 0] = (hsv[..., 0] + hue) % 180
    hsv[..., 1] = (hsv[..., 1] * saturation).clip(0, 255)
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR)


def add_noise(image: Image, rng: Rng, sigma: float) -> Image:
    return (image + rng.normal(0, sigma, image.shape)).clip(0, 255).astype(np.uint8)


def blur(image: Image, sigma: float) -> Image:
    """Blur the image. ``sigma`` is in pixels of an image of ``BLUR_SIZE`` pixels width."""
    return cv2.GaussianBlur(image, (0, 0), sigma * image.shape[1] / BLUR_SIZE)


def resize(image: Image, factor: float) -> Image:
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def random_hflip(image: Image, rng: Rng) -> Image:
    return np.ascontiguousarray(image[:, :: rng.choice([-1, 1])])


def all_except_crop_and_blur(image: Image, rng: Rng) -> Image:
    warped = warp(
        random_hflip(image, rng),
        rng,
        angle=rng.uniform(-180, 180),
        scale=rng.uniform(0.85, 1.25),
        shear=signed_uniform(rng, 0, 0.2),
        shift=(signed_uniform(rng, 0, 0.1), signed_uniform(rng, 0, 0.1)),
    )
    toned = adjust_tone(warped, rng.uniform(0.75, 1.3), signed_uniform(rng, 0, 25))
    return add_noise(
        adjust_color(toned, signed_uniform(rng, 0, 12), rng.uniform(0.7, 1.3)),
        rng,
        rng.uniform(0, 8),
    )


def all_with_crop_and_blur(image: Image, rng: Rng) -> Image:
    warped = warp(
        random_hflip(image, rng),
        rng,
        angle=rng.uniform(-45, 45),
        shear=signed_uniform(rng, 0, 0.15),
    )
    cropped = crop(warped, rng, rng.uniform(0.6, 0.9))
    toned = adjust_tone(cropped, rng.uniform(0.75, 1.3), signed_uniform(rng, 0, 25))
    return blur(
        adjust_color(toned, signed_uniform(rng, 0, 12), rng.uniform(0.7, 1.3)), rng.uniform(0.4, 1)
    )


# The keys are part of the recorded results, and their order is part of the random seeds.
SIMPLE: dict[str, Transform] = {
    "reencoded": lambda image, rng: jpeg(image, int(rng.integers(40, 90))),
    "resized": lambda image, rng: resize(image, rng.uniform(0.5, 1.5)),
    "flipped": lambda image, rng: np.flip(image, axis=rng.integers(2)),
    "turned": lambda image, rng: np.rot90(image, rng.integers(1, 4)),
    "brightened": lambda image, rng: adjust_tone(image, 1, signed_uniform(rng, 15, 45)),
}
HARD: dict[str, Transform] = {
    "rotated": lambda image, rng: warp(image, rng, angle=rng.uniform(-180, 180)),
    "sheared": lambda image, rng: warp(image, rng, shear=signed_uniform(rng, 0.1, 0.3)),
    "shifted": lambda image, rng: warp(
        image, rng, shift=(signed_uniform(rng, 0.05, 0.2), signed_uniform(rng, 0.05, 0.2))
    ),
    "smaller": lambda image, rng: warp(image, rng, scale=rng.uniform(0.65, 0.9)),
    "larger": lambda image, rng: warp(image, rng, scale=rng.uniform(1.1, 1.4)),
    "cropped": lambda image, rng: crop(image, rng, rng.uniform(0.6, 0.9)),
    "colored": lambda image, rng: adjust_color(
        image, signed_uniform(rng, 5, 20), rng.uniform(0.5, 1.5)
    ),
    "contrast": lambda image, rng: adjust_tone(
        image, rng.choice([0.6, 0.75, 1.3, 1.5]), signed_uniform(rng, 0, 25)
    ),
    "noisy": lambda image, rng: add_noise(image, rng, rng.uniform(5, 15)),
    "blurred": lambda image, rng: blur(image, rng.uniform(0.8, 1.8)),
    "several_all_angles": all_except_crop_and_blur,
    "several_cropped": all_with_crop_and_blur,
}


def read_images(folder: Path) -> tuple[list[str], list[Image]]:
    """Decode all images of a folder as the audit pipeline does.

    Returns:
        File names (n) and n RGB images, (height, width, 3).
    """

    def decode_file(path: Path) -> Image | None:
        try:
            return decode_within(path.read_bytes(), MAX_AREA)
        except UnreadableImageError:
            return None

    paths = image_files(folder)
    images = list(ordered_map(decode_file, paths))
    names = [
        path.relative_to(folder).as_posix()
        for path, image in zip(paths, images, strict=True)
        if image is not None
    ]
    return names, [image for image in images if image is not None]


def known_groups(folder: Path, names: list[str]) -> np.ndarray:
    """Return the group of each image by the metadata. Unlisted images have their own group."""
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
    known_pairs = pd.DataFrame(pairs, columns=["a", "b"], dtype=int).assign(
        kind="pixels", strength=1.0
    )
    return merge_pairs(len(names), known_pairs)


def pair_precision(groups: np.ndarray, truth: np.ndarray) -> float:
    """Return the fraction of true pairs among all pairs of images in the same group."""
    table = pd.DataFrame({"group": groups, "truth": truth})
    # n images of one group are n * (n - 1) / 2 pairs.
    pairs = sum(comb(n, 2) for n in table.groupby("group").size())
    true = sum(comb(n, 2) for n in table.groupby(["group", "truth"]).size())
    return true / pairs if pairs else float("nan")


def transform_images(
    folder: Path, names: list[str], chosen: np.ndarray, *, single: bool, seed: int
) -> tuple[pd.DataFrame, list[Image]]:
    """Transform the chosen images: each with all transformations, or each only with the next one.

    Returns:
        Table with ``origin`` (row of the original) and ``change`` (name), and one RGB image per
        row, (height, width, 3).
    """
    transforms = list(enumerate((SIMPLE | HARD).items()))
    rows, transformed = [], []
    for position, origin in enumerate(chosen):
        image = cv2.imread(str(folder / names[origin]))
        for number, (name, transform) in (
            transforms[position % len(transforms) :][:1] if single else transforms
        ):
            rng = np.random.default_rng([seed, int(origin), number])
            rows.append((origin, name))
            transformed.append(decode_within(encode(transform(image, rng)), MAX_AREA))
    return pd.DataFrame(rows, columns=["origin", "change"]), transformed


def score_groups(
    groups: np.ndarray, truth: np.ndarray, duplicates: pd.DataFrame, originals: int
) -> dict[str, Any]:
    """Compute recall and precision of groups.

    Args:
        groups: Group of each image: the originals, followed by their near-duplicates.
        truth: True group of each image, in the same order.
        duplicates: Origin and change of each near-duplicate.
        originals: Number of originals.
    """
    found = groups[duplicates["origin"]] == groups[originals:]
    simple = duplicates["change"].isin(SIMPLE)
    return {
        "recall_simple": float(found[simple].mean()),
        "recall_hard": float(found[~simple].mean()),
        "pair_precision": pair_precision(groups, truth),
        "pair_precision_of_originals": pair_precision(groups[:originals], truth[:originals]),
    }


def wrong_pairs(
    pairs: pd.DataFrame, truth: np.ndarray, origin: np.ndarray, names: list[str]
) -> list[str]:
    """List the wrong pairs, once for each pair of originals, in descending order of strength."""
    wrong = pairs[truth[pairs["a"]] != truth[pairs["b"]]].sort_values("strength", ascending=False)
    originals = np.sort(origin[wrong[["a", "b"]].to_numpy()], axis=1)
    lines = [
        f"{names[a]} {names[b]} {strength:.2f}"
        for (a, b), strength in zip(originals, wrong["strength"], strict=True)
    ]
    return list({line.rsplit(" ", 1)[0]: line for line in reversed(lines)}.values())[::-1]


def evaluate_transforms(folder: Path, images: int, *, single: bool, seed: int, name: str) -> None:
    names, originals = read_images(folder)
    known = known_groups(folder, names)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(names), min(images, len(names)), replace=False))
    duplicates, transformed = transform_images(folder, names, chosen, single=single, seed=seed)
    searched = [*originals, *transformed]
    origin = np.concatenate([np.arange(len(names)), duplicates["origin"]])
    truth = known[origin]
    start = time.perf_counter()
    pairs = find_near_duplicates(searched)
    seconds = time.perf_counter() - start
    groups = merge_pairs(len(searched), pairs)
    linked_pairs = set(zip(pairs["a"], pairs["b"], strict=True))
    # grouped: same group as its origin; direct: linked to its origin by a pair.
    duplicates["grouped"] = groups[duplicates["origin"]] == groups[len(names) :]
    duplicates["direct"] = [
        (o, len(names) + i) in linked_pairs for i, o in enumerate(duplicates["origin"])
    ]
    by_change = duplicates.groupby("change", sort=False)[["grouped", "direct"]].mean().round(4)
    one_group, no_groups = np.zeros(len(searched), int), np.arange(len(searched))
    wrong = wrong_pairs(pairs, truth, origin, names)
    save_results(
        name,
        {
            "originals": len(names),
            "changed_copies": len(duplicates),
            **score_groups(groups, truth, duplicates, len(names)),
            "if_all_were_called_copies": score_groups(one_group, truth, duplicates, len(names)),
            "if_none_were": score_groups(no_groups, truth, duplicates, len(names)),
            "recall_by_change": by_change.to_dict("index"),
            "pairs_by_kind": pairs["kind"].value_counts().to_dict(),
            "wrong_pairs_by_metadata": len(wrong),
            "largest_groups": largest_groups(groups),
            "largest_groups_of_originals": largest_groups(groups[: len(names)]),
            "pairs_proposed_per_image": pairs.attrs["proposed"] / len(searched),
            "seconds": seconds,
        },
    )
    print("Wrong pairs by metadata:", *wrong, sep="\n  ")


def largest_groups(groups: np.ndarray) -> list[int]:
    return np.sort(np.bincount(groups))[::-1][:8].tolist()


def evaluate_crops(folder: Path, crops: int, seed: int) -> None:
    """Merge crops of the same photograph. The photograph itself is not among the images."""
    names, _ = read_images(folder)
    rng = np.random.default_rng(seed)
    origin = np.repeat(np.arange(len(names)), crops)
    images = (cv2.imread(str(folder / names[row])) for row in origin)
    searched = [
        decode_within(encode(crop(image, rng, rng.uniform(0.6, 0.95))), MAX_AREA)
        for image in images
    ]
    pairs = find_near_duplicates(searched)
    groups = merge_pairs(len(searched), pairs)
    true_pairs = len(names) * comb(crops, 2)
    sizes = pd.DataFrame({"group": groups, "origin": origin}).groupby(["group", "origin"]).size()
    save_results(
        "near_duplicates_crops",
        {
            "photographs": len(names),
            "crops_of_each": crops,
            "recall_of_pairs": sum(comb(n, 2) for n in sizes) / true_pairs,
            "pair_precision": pair_precision(groups, known_groups(folder, names)[origin]),
            "largest_groups": largest_groups(groups),
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--images", type=int, default=150, help="number of images to transform")
    parser.add_argument("--single", action="store_true", help="transform each image only once")
    parser.add_argument("--crops", type=int, help="evaluate this number of crops per image instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="near_duplicates")
    args = parser.parse_args()
    if args.crops:
        evaluate_crops(args.folder, args.crops, args.seed)
    else:
        evaluate_transforms(
            args.folder, args.images, single=args.single, seed=args.seed, name=args.name
        )
