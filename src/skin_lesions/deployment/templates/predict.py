"""Predict the classes of skin images: python predict.py IMAGE... > rows.csv.

Research software, not a medical device. It needs only onnxruntime, numpy and Pillow.
"""

import contextlib
import csv
import hashlib
import importlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageCms, ImageOps

FOLDER = Path(__file__).resolve().parent
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")  # for some others, Pillow runs a program
FORMULA_STARTS = tuple("=+-@\t\r\n")  # of a cell that a spreadsheet would run


def verify_checksums() -> None:
    """Stop if a file of the bundle is missing or has changed."""
    for line in (FOLDER / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        expected, name = line.split("  ")
        path = FOLDER / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            sys.exit(f"{path} is missing or has changed. Get a complete copy of the bundle.")


def read_pixels(data: bytes, settings: dict) -> np.ndarray:
    """Decode an image file into (size, size, 3) uint8, RGB, as the training did."""
    image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    several = getattr(image, "n_frames", 1) > 1 and image.format != "MPO"
    if several or image.mode in {"I", "F"} or image.width * image.height > 100_000_000:
        raise ValueError("several images, 32-bit pixels, or more than 100 million pixels")
    profile, is_rgb = image.info.get("icc_profile"), image.mode in {"RGB", "RGBA", "P"}
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:  # blend with white
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    aspect = image.width / image.height
    stored, size = settings["stored_image_size"], settings["image_size"]
    image = image.convert("RGB").resize((stored, stored), Image.Resampling.BILINEAR)
    if profile and is_rgb:
        srgb = ImageCms.createProfile("sRGB")
        with contextlib.suppress(ImageCms.PyCMSError):  # a damaged profile
            ImageCms.profileToProfile(image, io.BytesIO(profile), srgb, inPlace=True)
    if "region" in settings:  # around the lesion
        image = image.crop(settings["region"])
    elif settings["resize_mode"] == "center_crop":  # the central square of the original image
        width, height = (max(1, round(stored * min(1, x))) for x in (1 / aspect, aspect))
        left, top = (stored - width) // 2, (stored - height) // 2
        image = image.crop((left, top, left + width, top + height))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def predict(model: dict, session: onnxruntime.InferenceSession, pixels: np.ndarray) -> dict:
    """Return the prediction for an image, and whether a person must look at it."""
    classes, fitted = model["classes"], model["postprocessing"]
    [p], [score] = session.run(["probabilities", "unknown_score"], {"images": pixels[None]})
    row, decisive = {f"p_{name}": x for name, x in zip(classes, p, strict=True)}, p
    if fitted["frequencies"]["decision"] == "balanced":  # if all classes were equally common
        decisive = p / np.maximum(fitted["frequencies"]["train_counts"], 1)
        decisive /= decisive.sum()
        row |= {f"p_balanced_{name}": x for name, x in zip(classes, decisive, strict=True)}
    predicted = np.argmax(decisive)
    in_set = p >= [entry["min_probability"] for entry in fitted["conformal"]["classes"]]
    min_confidence = fitted["referral"]["min_confidence"]  # None: no image is certain enough
    is_uncertain = min_confidence is None or p[predicted] < min_confidence
    applies = {"uncertain": is_uncertain, "unknown": score > fitted["unknown_score"]["threshold"]}
    reasons = [reason for reason, is_true in applies.items() if is_true]
    return row | {
        "predicted": classes[predicted],
        "prediction_set": "|".join(classes[c] for c in np.argsort(-p) if in_set[c]),
        "unknown_score": score,
        "refer": bool(reasons),
        "refer_reason": "|".join(reasons),
    }


def main(paths: list[str]) -> None:
    """Print one row for each image file."""
    verify_checksums()
    listed = (FOLDER / "SHA256SUMS").read_text(encoding="utf-8")  # no other file is run
    lesions = importlib.import_module("lesions") if "  lesions.py\n" in listed else None
    model = json.loads((FOLDER / "model.json").read_text(encoding="utf-8"))
    if model["provenance"]["origin"]["kind"] == "demo":
        sys.stderr.write("Trained on synthetic images: the rows say nothing about real skin.\n")
    session, rows = onnxruntime.InferenceSession(FOLDER / "model.onnx"), []
    for path in paths:
        row = {"file": path, "model_version": model["version"]}
        try:
            data = Path(path).read_bytes()
            row["image_id"] = hashlib.sha256(data).hexdigest()
            found, settings = {}, model["preprocessing"]
            if lesions:
                found, settings = lesions.find_lesions(data, read_pixels, settings)
            pixels = read_pixels(data, settings)
        except Exception as error:  # noqa: BLE001 (decoders raise many errors for damaged files)
            row |= {"refer": True, "refer_reason": "unreadable", "error": str(error)}
        else:
            row |= predict(model, session, pixels) | found
        texts = {name: cell for name, cell in row.items() if isinstance(cell, str)}
        risky = {name: x for name, x in texts.items() if x.startswith(FORMULA_STARTS)}
        rows.append(row | {name: f"'{text}" for name, text in risky.items()})
    ps = [name for name in max(rows, key=len) if name.startswith("p_")]
    columns = ["file", "image_id", "predicted", *ps, "prediction_set", "unknown_score", "refer"]
    columns += ["refer_reason", *(lesions.COLUMNS if lesions else []), "error", "model_version"]
    writer = csv.DictWriter(sys.stdout, columns, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


if __name__ == "__main__":
    main([path for path in sys.argv[1:] if path not in ("-h", "--help")] or sys.exit(__doc__))
