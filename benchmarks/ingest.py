"""Benchmark of ingest compared with bare decoding and resizing, and of a second ingest.

Bare decoding is simplejpeg and an antialiased resize, applied to bytes in memory in as many threads
as there are cores. Ingest also reads, hashes, copies and checks every file. Both
run on the same cores in one process.
"""

import argparse
import logging
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import simplejpeg
import torch
from kedro.io import Version
from torch.nn.functional import interpolate

from images import make_photographs
from record import save_results
from skin_lesions.config.source import DemoSource, Kaggle, Source
from skin_lesions.core.parallel import usable_cpus
from skin_lesions.data.pixel_store import DecodeRequest, IngestRequest
from skin_lesions.data.sources import open_source
from skin_lesions.datasets import PixelStoreDataset, RawImagesDataset

SIZE = 256  # width and height of stored images, pixels


def bare_seconds(folder: Path) -> float:
    encoded = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))]

    def decode(data: bytes) -> torch.Tensor:
        image = torch.from_numpy(simplejpeg.decode_jpeg(data)).permute(2, 0, 1)
        return interpolate(image[None], (SIZE, SIZE), mode="bilinear", antialias=True)

    start = time.perf_counter()
    with ThreadPoolExecutor(usable_cpus()) as pool:
        for _ in pool.map(decode, encoded):
            pass
    return time.perf_counter() - start


def ingest_seconds(folder: Path, root: Path) -> float:
    source = Source(
        kind="folder",
        folder=str(folder),
        follow_symlinks=False,
        metadata=(),
        metadata_key=None,
        label_column=None,
        filename_pattern=None,
        demo=DemoSource(seed=0, missingness_leak=False),
        kaggle=Kaggle(dataset="", version=None),
    )
    raw = RawImagesDataset(
        filepath=str(root / "manifest.parquet"),
        objects=str(root / "objects"),
        decode_into=str(root / "pixels"),
        version=Version(None, None),
    )
    start = time.perf_counter()
    raw.save(IngestRequest(open_source(source), SIZE))
    PixelStoreDataset(filepath=str(root / "pixels")).save(DecodeRequest(raw.load(), SIZE))
    return time.perf_counter() - start


def main(images: int, rounds: int, width: int, height: int, name: str) -> None:
    logging.disable(logging.INFO)
    bare, first, second = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        make_photographs(source, images, width, height)
        bare_seconds(source)  # warm-up of the threads and the page cache
        for round_ in range(rounds):
            root = Path(folder) / f"root{round_}"
            bare.append(bare_seconds(source))
            first.append(ingest_seconds(source, root))
            second.append(ingest_seconds(source, root))
            shutil.rmtree(root)  # before the operating system writes the files to the disk
    save_results(
        name,
        {
            "images": images,
            "picture": f"{width}x{height}",
            "bare_images_per_second": images / statistics.median(bare),
            "ingest_images_per_second": images / statistics.median(first),
            "share_of_bare": statistics.median(b / f for b, f in zip(bare, first, strict=True)),
            "second_ingest_share_of_first": statistics.median(
                s / f for s, f in zip(second, first, strict=True)
            ),
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=600)
    parser.add_argument("--height", type=int, default=450)
    parser.add_argument("--name", default="ingest")
    main(**vars(parser.parse_args()))
