"""The pipeline `localize`: from annotated images to tested boxes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from skin_lesions.config.localize import Localize
from skin_lesions.config.report import Report
from skin_lesions.core.errors import InputError
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.provenance import ImageProvenance, Origin
from skin_lesions.data.tables import ImageTable, SplitTable
from skin_lesions.evaluation.localization.images import fold_parts, split_part
from skin_lesions.pipelines.localize.nodes import draw, evaluate, fit, read_annotations
from support.imagesets import square_images
from support.models import SPLIT_PROVENANCE, trained_model

FOLDER = Path(__file__).parents[3] / "conf" / "base" / "parameters"
REPORT, LOCALIZE = (
    OmegaConf.to_container(OmegaConf.load(FOLDER / f"{name}.yml"))[name]
    for name in ("report", "localize")
)
SIZE = 64
NUMBER = 24  # images


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more threads would only wait for each other
    yield
    torch.set_num_threads(threads)


def parameters(**changes) -> Localize:
    decoder = LOCALIZE["decoder"] | {"epochs": 20, "views": 2, "batch_size": 8}
    decoder["network_learning_rate"] = 0.0
    small = {"image_size": SIZE, "folds": 2, "min_images": 4, "decoder": decoder}
    return Localize.model_validate(LOCALIZE | small | changes)


def lesions(n: int = NUMBER, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw n dark discs on bright skin at any place; return (n, s, s, 3) and masks (n, s, s)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    radius = rng.uniform(6, 14, n)[:, None, None]
    center = rng.uniform(16, SIZE - 16, (2, n, 1, 1))
    masks = (x - center[0]) ** 2 + (y - center[1]) ** 2 <= radius**2
    pixels = np.where(masks[..., None], [90, 50, 40], [220, 180, 160])
    return (pixels + rng.normal(0, 8, pixels.shape)).clip(0, 255).astype(np.uint8), masks


def stored(folder: Path, pixels: np.ndarray):
    """Store images with a split; return the inputs of ``read_annotations``."""
    n = len(pixels)
    square_images(PixelStore(folder).at(SIZE).folder, pixels)
    table = pd.DataFrame(
        {
            "file": [f"{i:02d}.png" for i in range(n)],
            "image_id": [f"image{i}" for i in range(n)],
            "width": SIZE,
            "height": SIZE,
            "source": np.where(np.arange(n) % 2, "a", "b"),
            "label": np.where(np.arange(n) % 3, "nv", "mel"),
        }
    )
    groups = table[["file"]].assign(group_id=[f"g{i // 2}" for i in range(n)])
    split = np.array(["train", "train", "val", "test"])[np.arange(n) // 2 % 4]
    provenance = ImageProvenance(
        origin=Origin(kind="folder", folder="images"), raw_images_version="V1"
    )
    rows = table.assign(split=split, group_id=groups["group_id"], is_leaked=False)
    split_table = SplitTable(rows, SPLIT_PROVENANCE, "V1")
    return ImageTable(table, provenance, "V1"), groups, split_table, PixelStore(folder)


def model():
    torch.manual_seed(0)
    return trained_model(version="V1")


def save_masks(folder: Path, masks: dict[str, np.ndarray]) -> Path:
    folder.mkdir()
    for name, mask in masks.items():
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"{name}_segmentation.png")
    return folder


def run(inputs, localize, classifier=None):
    """Run all nodes; return annotated images, localizer, results and boxes."""
    classifier = classifier or model()
    images = read_annotations(classifier, *inputs, localize)
    localizer = fit(images, classifier, localize)
    results, boxes = evaluate(images, localizer, classifier, inputs[2], inputs[3], localize)
    return images, localizer, results, boxes


@pytest.fixture
def folder(tmp_path):
    """A folder with images, and masks of all but the last two."""
    pixels, masks = lesions()
    images = tmp_path / "images"
    images.mkdir()
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(images / f"{i:02d}.png")
    annotations = save_masks(tmp_path / "masks", {f"{i:02d}": masks[i] for i in range(NUMBER - 2)})
    return {"images": str(images), "annotations": str(annotations)}


def test_lesions_of_a_folder_are_found_better_than_with_a_fixed_box(tmp_path, folder):
    inputs = stored(tmp_path / "store", lesions(4)[0])
    images, localizer, results, boxes = run(inputs, parameters(**folder))
    assert results.verdict == "better"
    assert results.lesion_dependence is None  # the images have no labels
    assert results.methods["dense"].iou.value > results.methods["mean_box"].iou.value + 0.2
    assert set(results.methods) == {"dense", "mean_box", "whole_image"}
    assert results.methods["dense"].images == NUMBER - 2
    assert results.methods["dense"].thresholded_jaccard.value is not None
    provenance = results.provenance
    assert (provenance.folds, provenance.annotation_format) == (2, "masks")
    assert (provenance.images, provenance.annotations) == ("images", "masks")
    # Boxes of annotated images are from the folds, those of the others from the localizer.
    assert set(boxes["file"]) == {f"{i:02d}.png" for i in range(NUMBER)}
    assert localizer.masks == NUMBER - 2
    figures = draw(images, results, Report.model_validate(REPORT))
    assert all(drawn.figure.axes for drawn in figures)


def test_images_of_the_split_are_tested_on_the_test_split_only(tmp_path):
    pixels, masks = lesions(NUMBER)
    inputs = stored(tmp_path / "store", pixels)
    is_test = (inputs[2].frame["split"] == "test").to_numpy()
    names = {f"{i:02d}": mask for i, mask in enumerate(masks)}
    annotations = save_masks(tmp_path / "masks", names)
    _, localizer, results, _ = run(inputs, parameters(annotations=str(annotations)))
    assert results.methods["dense"].images == is_test.sum()
    assert results.provenance.folds is None
    assert results.lesion_dependence.images == is_test.sum()
    assert results.lesion_dependence.scores.chance == 0.5
    # Other masks of the test images change the result, but not the localizer.
    moved = {
        name: np.roll(mask, 20, axis=1) if is_test[int(name)] else mask
        for name, mask in names.items()
    }
    changed = save_masks(tmp_path / "changed", moved)
    _, same, other, _ = run(inputs, parameters(annotations=str(changed)))
    assert same.threshold == localizer.threshold
    for name, tensor in localizer.state_dict.items():
        assert torch.equal(tensor, same.state_dict[name]), name
    assert other.methods["dense"].iou.value < results.methods["dense"].iou.value - 0.2


def test_groups_are_in_one_fold_and_each_image_is_tested_once():
    rows = pd.DataFrame({"file": [f"{i}.png" for i in range(30)], "group_id": np.arange(30) // 3})
    parts = fold_parts(rows, 5, seed=0)
    assert sorted(pd.concat([part.test for part in parts])["file"]) == sorted(rows["file"])
    for part in parts:
        assert not set(part.fit["group_id"]) & set(part.test["group_id"])
        assert len(part.fit) + len(part.test) == 30
    assert [part.test["file"].tolist() for part in fold_parts(rows, 5, seed=1)] != [
        part.test["file"].tolist() for part in parts
    ]
    with pytest.raises(InputError, match="Expected at least 2, to fit on one and test on another"):
        fold_parts(rows.assign(group_id=0), 5, seed=0)


def test_split_without_annotated_test_images_is_an_error():
    rows = pd.DataFrame({"file": ["a.png", "b.png"], "split": ["train", "val"]})
    with pytest.raises(InputError, match="0 images of test are annotated"):
        split_part(rows)


def test_synthetic_images_have_their_own_masks(tmp_path, monkeypatch):
    pixels, masks = lesions()
    image_table, *others = stored(tmp_path, pixels)
    origin = Origin(kind="demo", seed=3)
    provenance = ImageProvenance(origin=origin, raw_images_version="V1")
    by_file = {f"{i:02d}.png": (mask if i else None) for i, mask in enumerate(masks)}
    monkeypatch.setattr(
        "skin_lesions.pipelines.localize.annotated_images.render_mask",
        lambda file, seed: by_file[file] if seed == 3 else None,
    )
    demo = ImageTable(image_table.frame, provenance, "V1")
    images = read_annotations(model(), demo, *others, parameters())
    assert (images.annotation_format, len(images.annotated)) == ("synthetic", NUMBER - 1)
    with pytest.raises(InputError, match="only synthetic images have masks of their own"):
        read_annotations(model(), image_table, *others, parameters())


def test_unusable_annotations_are_counted_and_named(tmp_path, caplog):
    pixels, masks = lesions()
    inputs = stored(tmp_path / "store", pixels)
    empty = np.zeros((SIZE, SIZE), bool)
    annotations = save_masks(tmp_path / "masks", {"00": masks[0], "01": empty, "nobody": masks[1]})
    images = read_annotations(model(), *inputs, parameters(annotations=str(annotations)))
    assert (len(images.annotated), images.unusable) == (1, 2)
    assert "01_segmentation.png: the mask is empty" in caplog.text
    assert "nobody_segmentation.png" in caplog.text


def test_images_of_patients_are_left_out_on_request(tmp_path, folder):
    inputs = stored(tmp_path / "store", lesions(4)[0])
    images, _, results, _ = run(inputs, parameters(**folder, method="mean_box"))
    settings = REPORT | {"show_images": False}
    _, worst = draw(images, results, Report.model_validate(settings))
    assert not any(axes.images for axes in worst.figure.axes)
