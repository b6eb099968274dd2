import importlib.util
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from skin_lesions.data.near_duplicates import (
    NearDuplicateConfig,
    find_near_duplicates,
    merge_pairs,
)

DOCS = Path(__file__).parents[3] / "docs" / "algorithms"


def load_script():
    spec = importlib.util.spec_from_file_location(
        "near_duplicates_page", DOCS / "near_duplicates.py"
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def textured_image(seed):
    """Return an image with structure of several sizes, (256, 256, 3)."""
    rng = np.random.default_rng(seed)
    scales = [cv2.resize(rng.uniform(-1, 1, (n, n)), (256, 256)) for n in (8, 32, 64)]
    gray = (128 + 40 * sum(scales)).clip(0, 255).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


def rotated(image, angle):
    matrix = cv2.getRotationMatrix2D((128, 128), angle, 1.0)
    return cv2.warpAffine(image, matrix, (256, 256), borderMode=cv2.BORDER_REFLECT_101)


def test_table_of_constants_in_the_docs_equals_the_config():
    script = load_script()
    page = (DOCS / "near-duplicates.md").read_text(encoding="utf-8")
    assert script.update_table(page) == page, "Fix: python docs/algorithms/near_duplicates.py"


@pytest.mark.parametrize("constant", fields(NearDuplicateConfig), ids=lambda c: c.name)
def test_each_constant_has_unit_meaning_and_origin(constant):
    assert set(constant.metadata) == {"unit", "meaning", "origin"}
    assert all(constant.metadata.values())
    assert isinstance(constant.default, constant.type)


def test_config_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        NearDuplicateConfig().min_inliers = 1


@pytest.mark.parametrize(
    ("constant", "value"),
    [
        ("max_keypoints", 4),
        ("max_hamming_distance", 0),
        ("min_votes", 1e6),
        ("lowe_ratio", 0.01),
        ("min_inliers", 501),
        ("min_cells", 257),
    ],
)
def test_strict_value_of_a_constant_rejects_a_near_duplicate(constant, value):
    image = textured_image(0)
    images = np.stack([image, rotated(image, 30)])
    assert len(find_near_duplicates(images)) == 1
    config = replace(NearDuplicateConfig(), **{constant: value})
    assert find_near_duplicates(images, config).empty


def test_clustering_uses_the_limits_of_the_config():
    rows = [(0, 1, 0.9), (2, 3, 0.9), (1, 2, 0.5)]
    pairs = pd.DataFrame(rows, columns=["a", "b", "strength"]).assign(kind="changed")
    assert merge_pairs(4, pairs).tolist() == [0, 0, 2, 2]
    config = replace(NearDuplicateConfig(), strong_pair=0.5)
    assert merge_pairs(4, pairs, config=config).tolist() == [0, 0, 0, 0]
