"""Fuzz tests of the image decoder.

For any bytes, the decoder returns pixels of the right shape or raises UnreadableImageError. It
never crashes and always ends. The tests take about 10 seconds. SOAK_SECONDS=600 runs them longer,
and SOAK_SEED=7 starts with another seed.
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

from skin_lesions.data.decoding import decode
from skin_lesions.data.image_files import UnreadableImageError
from support.factories import corners, encoded

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("SOAK_SECONDS", "10"))
FIRST_SEED = int(os.environ.get("SOAK_SEED", "0"))
SIZE = 16
MAX_SECONDS_PER_FILE = 5.0  # of CPU time; all files are small


def samples():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8))
    gray16 = Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100)
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
        encoded(gray16, "PNG"),
        encoded(corners(), "PNG", save_all=True, append_images=[noise.resize((48, 32))]),
        encoded(noise, "WEBP"),
        encoded(noise.convert("RGBA"), "WEBP", lossless=True, exif=exif),
        encoded(noise, "TIFF", exif=exif),
        encoded(noise, "TIFF", compression="tiff_lzw"),
        encoded(noise, "TIFF", compression="tiff_adobe_deflate"),
        encoded(noise, "TIFF", compression="jpeg"),
        encoded(gray16, "TIFF"),
        encoded(noise, "BMP"),
        encoded(corners().quantize(), "BMP"),
        encoded(noise.quantize(), "GIF"),
        encoded(corners(), "GIF", save_all=True, append_images=[noise]),
    ]


def damage(data, other, rng):
    """Change, delete, repeat or splice bytes; half of the time in the first 200 bytes.

    Headers are short. They would rarely be damaged if all positions had the same probability.
    """
    damaged = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        length = len(damaged) if rng.random() < 0.5 else min(len(damaged), 200)
        position = int(rng.integers(max(length, 1)))
        kind = rng.integers(5)
        if kind == 0:
            damaged[position : position + 1] = bytes([rng.integers(256)])
        elif kind == 1:
            damaged[position : position + 4] = rng.choice(
                [b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"]
            )
        elif kind == 2:
            del damaged[position : position + int(rng.integers(1, 60))]
        elif kind == 3:
            damaged[position:position] = damaged[position : position + int(rng.integers(1, 60))]
        else:
            damaged[position:] = other[int(rng.integers(len(other))) :]
    return bytes(damaged)


def check(seed, files):
    rng = np.random.default_rng(seed)
    data, other = (files[i] for i in rng.integers(len(files), size=2))
    start = time.process_time()  # not the clock: other processes may use the CPU
    try:
        pixels = decode(damage(data, other, rng), SIZE).pixels
    except UnreadableImageError as error:
        if not str(error):
            raise AssertionError(f"seed {seed}: the error has no reason") from error
    else:
        assert pixels.shape == (SIZE, SIZE, 3), f"seed {seed}"
        assert pixels.dtype == np.uint8, f"seed {seed}"
    assert time.process_time() - start < MAX_SECONDS_PER_FILE, f"seed {seed} took too long"


def soak(seconds, first_seed):
    """Check one seed after the other; write each to stdout first, because the process may crash."""
    files, end = samples(), time.perf_counter() + seconds
    for seed in itertools.count(first_seed):
        if time.perf_counter() > end:
            return
        os.pwrite(1, f"{seed:>20}".encode(), 0)
        check(seed, files)


def test_damaged_files_are_decoded_or_rejected_with_a_reason(tmp_path):
    seed_file = tmp_path / "seed"
    with seed_file.open("wb") as stdout:
        process = subprocess.run(
            [sys.executable, __file__, str(SECONDS), str(FIRST_SEED)],
            check=False,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=SECONDS + 60,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        )
    last_seed = seed_file.read_text().strip() or "none"
    assert process.returncode == 0, (
        f"seed {last_seed} ended with {process.returncode} (SOAK_SEED={last_seed} repeats it):\n"
        f"{process.stderr.decode()[-2000:]}"
    )
    assert int(last_seed) > FIRST_SEED + 100, "too few files were tested"


@pytest.mark.parametrize("length", range(0, 300, 7))
def test_truncated_files_of_every_format_are_rejected(length):
    for data in samples():
        with pytest.raises(UnreadableImageError):
            decode(data[: min(length, len(data) // 2)], SIZE)


if __name__ == "__main__":
    soak(float(sys.argv[1]), int(sys.argv[2]))
