"""Search sets of images for near-duplicates; ``near_duplicates_parts.py`` starts this script.

    PYTHONPATH=../earlier/src python benchmarks/search_images.py IMAGES RESULTS

IMAGES and RESULTS are pickle files. The search is that of the package on the path, which may be an
earlier version.
"""

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np

from skin_lesions.data import decoding
from skin_lesions.data.near_duplicates import find_near_duplicates, merge_pairs


def search(files: list[bytes]) -> dict[str, Any]:
    """Return pairs, groups, number of candidate pairs and seconds of each stage."""
    if hasattr(decoding, "decode_within"):
        from skin_lesions.data.near_duplicates.config import DEFAULT_CONFIG  # noqa: PLC0415

        area = DEFAULT_CONFIG.detection_size**2
        images = [decoding.decode_within(data, area) for data in files]
    else:  # versions that compare stretched squares
        images = np.stack([decoding.decode(data, 256).pixels for data in files])
    pairs = find_near_duplicates(images)
    return {
        "pairs": pairs[["a", "b"]].to_numpy(),
        "groups": merge_pairs(len(images), pairs),
        "candidates": pairs.attrs["proposed"],
        "seconds": pairs.attrs["seconds"],
    }


if __name__ == "__main__":
    images_file, results_file = map(Path, sys.argv[1:])
    # The file was written by near_duplicates_parts.py.
    sets = pickle.loads(images_file.read_bytes())  # noqa: S301
    results_file.write_bytes(pickle.dumps({name: search(files) for name, files in sets.items()}))
