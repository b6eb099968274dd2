"""Benchmark of the detection of damaged JPEG files, with the false alarms and the decoding time.

Each file is damaged in its image data; the end marker stays. A damage replaces a block of bytes
with random bytes or zeros, or inverts single bits. Without ``--folder``, the images are generated.
Files that the decoder rejects although they are unchanged are false alarms.

Damage that is not detected changes values, but not the number of decoded values. The benchmark
reports how much the stored pixels differ then.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from images import image_files, make_photographs
from record import save_results
from skin_lesions.data.decoding import decode
from skin_lesions.data.image_files import UnreadableImageError
from skin_lesions.data.jpeg import decode_jpeg

SIZE = 256  # width and height of stored images, pixels
VISIBLE = 2.0  # gray levels: the mean difference of a visible damage

Damage = Callable[[bytearray, int, np.random.Generator], None]  # data, start, generator


def random_block(length: int) -> Damage:
    def overwrite(data: bytearray, start: int, rng: np.random.Generator) -> None:
        # No 0xff: a decoder detects an invalid marker easily.
        data[start : start + length] = rng.integers(0, 255, length, dtype=np.uint8).tobytes()

    return overwrite


def zero_block(length: int) -> Damage:
    def overwrite(data: bytearray, start: int, _: np.random.Generator) -> None:
        data[start : start + length] = bytes(length)

    return overwrite


def invert_bit(data: bytearray, start: int, rng: np.random.Generator) -> None:
    data[start] ^= 1 << int(rng.integers(8))


DAMAGES: dict[str, Damage] = {
    "1 bit": invert_bit,
    "1 random byte": random_block(1),
    "4 random bytes": random_block(4),
    "16 random bytes": random_block(16),
    "64 random bytes": random_block(64),
    "512 random bytes": random_block(512),
    "64 zeros": zero_block(64),
    "512 zeros": zero_block(512),
}


def image_data(data: bytes) -> tuple[int, int]:
    """Return the start and end of the image data after the last scan header."""
    start = data.rindex(b"\xff\xda")
    return start + 2 + int.from_bytes(data[start + 2 : start + 4]), data.rindex(b"\xff\xd9")


def damage_length(name: str) -> int:
    return 1 if name == "1 bit" else int(name.split(maxsplit=1)[0])


def apply_damage(name: str, data: bytes, rng: np.random.Generator) -> bytes | None:
    """Return a damaged copy, or None if the image data are too short."""
    start, end = image_data(data)
    length = damage_length(name)
    if end - start <= length:
        return None
    damaged = bytearray(data)
    DAMAGES[name](damaged, int(rng.integers(start, end - length)), rng)
    return bytes(damaged) if damaged != data else None


def is_rejected(data: bytes) -> bool:
    try:
        decode_jpeg(data, "RGB")
    except ValueError:
        return True
    return False


def measure_damage(name: str, files: list[bytes], repeats: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    copies = [(data, apply_damage(name, data, rng)) for data in files for _ in range(repeats)]
    pairs = [(data, damaged) for data, damaged in copies if damaged is not None]
    missed = [(data, damaged) for data, damaged in pairs if not is_rejected(damaged)]
    differences = [difference(data, damaged) for data, damaged in missed]
    return {
        "damaged_files": len(pairs),
        "detected_fraction": 1 - len(missed) / len(pairs),
        "visible_and_missed_fraction": sum(d > VISIBLE for d in differences) / len(pairs),
        "largest_missed_difference": max(differences, default=0.0),  # mean gray levels
    }


def difference(data: bytes, damaged: bytes) -> float:
    before = decode(data, SIZE).pixels.astype(int)
    return float(np.abs(before - decode(damaged, SIZE).pixels).mean())


def milliseconds(decoder: Callable[[bytes], object], files: list[bytes], rounds: int) -> float:
    """Return the median time per file of several rounds, in one thread."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for data in files:
            decoder(data)
        times.append((time.perf_counter() - start) / len(files) * 1000)
    return statistics.median(times)


def torchvision_decoder(data: bytes) -> object:
    """Decode as the project did before: without a check of the image data."""
    import torch  # noqa: PLC0415
    from torchvision.io import ImageReadMode, decode_jpeg  # noqa: PLC0415

    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    return decode_jpeg(encoded, mode=ImageReadMode.RGB)


def false_alarms(paths: list[Path]) -> list[str]:
    rejected = []
    for path in paths:
        try:
            decode(path.read_bytes(), SIZE)
        except UnreadableImageError as reason:
            rejected.append(f"{path}: {reason}")
    return rejected


def main(folder: Path | None, name: str, images: int, repeats: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as generated:
        if folder is None:
            make_photographs(Path(generated), images, 600, 450)
        paths = [
            path
            for path in image_files(folder or Path(generated))
            if path.suffix.lower() in (".jpg", ".jpeg")
        ]
        rejected = false_alarms(paths)
        for line in rejected:
            print(line)
        chosen = [path.read_bytes() for path in paths[:: max(1, len(paths) // images)]]
    save_results(
        name,
        {
            "intact_files": len(paths),
            "false_alarms": len(rejected),
            "damage": {kind: measure_damage(kind, chosen, repeats) for kind in DAMAGES},
            "decode_ms": milliseconds(lambda data: decode_jpeg(data, "RGB"), chosen, rounds),
            "decode_ms_without_check": milliseconds(torchvision_decoder, chosen, rounds),
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="intact images; default: generated images")
    parser.add_argument("--name", default="damaged_jpeg", help="name of the record")
    parser.add_argument("--images", type=int, default=100, help="files to damage")
    parser.add_argument("--repeats", type=int, default=10, help="damaged copies per file")
    parser.add_argument("--rounds", type=int, default=5)
    main(**vars(parser.parse_args()))
