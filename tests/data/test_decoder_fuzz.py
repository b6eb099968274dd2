"""Whatever the bytes: pixels of the right shape, or UnreadableImageError; never a crash, never endless.

About 10 seconds; SOAK_SECONDS=600 looks longer, SOAK_SEED=7 begins elsewhere.
"""

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skin_lesions.data.decoding import UnreadableImageError, decode
from support.factories import corners, encoded

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::DeprecationWarning")

SECONDS = float(os.environ.get("SOAK_SECONDS", "10"))
FIRST_SEED = int(os.environ.get("SOAK_SEED", "0"))
SIZE = 16
SLOW = 5.0  # seconds for one small file


def samples():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8))
    grey16 = Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100)
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        encoded(noise, "JPEG", exif=exif),
        encoded(noise, "JPEG", progressive=True),
        encoded(noise.convert("L"), "JPEG", restart_marker_blocks=3),
        encoded(noise.convert("CMYK"), "JPEG"),
        encoded(noise, "MPO", save_all=True, append_images=[noise]),
        encoded(corners(), "PNG", exif=exif),
        encoded(noise.convert("RGBA"), "PNG"),
        encoded(corners().quantize(), "PNG", transparency=1),
        encoded(grey16, "PNG"),
        encoded(corners(), "PNG", save_all=True, append_images=[noise.resize((48, 32))]),
        encoded(noise, "WEBP"),
        encoded(noise.convert("RGBA"), "WEBP", lossless=True, exif=exif),
        encoded(noise, "TIFF", exif=exif),
        encoded(noise, "TIFF", compression="tiff_lzw"),
        encoded(noise, "TIFF", compression="tiff_adobe_deflate"),
        encoded(noise, "TIFF", compression="jpeg"),
        encoded(grey16, "TIFF"),
        encoded(noise, "BMP"),
        encoded(corners().quantize(), "BMP"),
        encoded(noise.quantize(), "GIF"),
        encoded(corners(), "GIF", save_all=True, append_images=[noise]),
    ]


def damaged(data, other, rng):
    """Flip, cut, repeat or splice; headers, being short, as often as the rest."""
    damage = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        reach = len(damage) if rng.random() < 0.5 else min(len(damage), 200)
        place = int(rng.integers(max(reach, 1)))
        kind = rng.integers(5)
        if kind == 0:
            damage[place : place + 1] = bytes([rng.integers(256)])
        elif kind == 1:
            damage[place : place + 4] = rng.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"])
        elif kind == 2:
            del damage[place : place + int(rng.integers(1, 60))]
        elif kind == 3:
            damage[place:place] = damage[place : place + int(rng.integers(1, 60))]
        else:
            damage[place:] = other[int(rng.integers(len(other))) :]
    return bytes(damage)


def check(seed, files):
    rng = np.random.default_rng(seed)
    data, other = (files[i] for i in rng.integers(len(files), size=2))
    start = time.perf_counter()
    try:
        pixels = decode(damaged(data, other, rng), SIZE).pixels
    except UnreadableImageError as error:
        if not str(error):
            raise AssertionError(f"seed {seed}: no reason given") from error
    else:
        assert pixels.shape == (SIZE, SIZE, 3), f"seed {seed}"
        assert pixels.dtype == np.uint8, f"seed {seed}"
    assert time.perf_counter() - start < SLOW, f"seed {seed} took too long"


def soak(seconds, first_seed):
    """Check seed after seed, saying which comes next: a crash of the process must be told too."""
    files, end = samples(), time.perf_counter() + seconds
    for seed in itertools.count(first_seed):
        if time.perf_counter() > end:
            return
        os.pwrite(1, f"{seed:>20}".encode(), 0)
        check(seed, files)


def test_damaged_files_give_pixels_or_a_reason_and_nothing_else(tmp_path):
    told = tmp_path / "seed"
    with told.open("wb") as seed:
        ended = subprocess.run(
            [sys.executable, __file__, str(SECONDS), str(FIRST_SEED)],
            check=False,
            stdout=seed,
            stderr=subprocess.PIPE,
            timeout=SECONDS + 60,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        )
    last = told.read_text().strip() or "none"
    assert ended.returncode == 0, (
        f"seed {last} ended with {ended.returncode} (SOAK_SEED={last} repeats it):\n"
        f"{ended.stderr.decode()[-2000:]}"
    )
    assert int(last) > FIRST_SEED + 100, "too few files were tried to say anything"


@pytest.mark.parametrize("length", range(0, 300, 7))
def test_every_short_beginning_of_every_kind_of_file_is_refused(length):
    for data in samples():
        with pytest.raises(UnreadableImageError):
            decode(data[: min(length, len(data) // 2)], SIZE)


if __name__ == "__main__":
    soak(float(sys.argv[1]), int(sys.argv[2]))
