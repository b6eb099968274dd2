"""End-to-end runs of `localize` on synthetic images, which have exact masks."""

import json

import numpy as np
import pytest
from PIL import Image

from skin_lesions.core.errors import InputError
from skin_lesions.data.sources.synthetic import render_file, render_mask, synthetic_table
from support.factories import write_files

pytestmark = pytest.mark.slow

OTHER_SEED = 77
QUICK = {"image_size": 96, "decoder": {"epochs": 1, "views": 1}}


def test_lesions_of_the_demo_are_localized(demo_copy, tmp_path):
    demo_copy.run("localize", localize=QUICK)
    results = demo_copy.load("localization")
    split = demo_copy.table("split_table")
    tested = split[split["split"] == "test"]["file"]
    assert results.provenance.annotation_format == "synthetic"
    assert results.provenance.synthetic_images
    assert list(results.methods) == ["dense", "mean_box", "whole_image"]
    assert 0 < results.methods["dense"].images < len(tested)
    assert results.lesion_dependence.images == results.methods["dense"].images

    boxes = demo_copy.load("lesion_boxes")
    images = demo_copy.table("image_table")
    assert set(boxes["file"]) == set(images.drop_duplicates("image_id")["file"])
    (folder,) = demo_copy.data_root.glob("07_model_output/lesion_boxes/*/lesion_boxes")
    coco = json.loads((folder / "boxes.json").read_text())
    assert len(coco["annotations"]) == len(boxes)
    assert len(list(folder.glob("yolo/**/*.txt"))) == len(coco["images"])
    for name in ("localization_methods", "worst_localizations"):
        assert demo_copy.load(name).startswith(b"\x89PNG")
    localizer = demo_copy.load("localizer")
    assert (localizer.method, localizer.architecture) == ("dense", "resnet18")
    assert localizer.provenance.model_version == demo_copy.versions("model")[0]
    assert localizer.provenance.synthetic_images
    assert_predictions_and_bundle_have_the_boxes(demo_copy, boxes, tmp_path)
    demo_copy.run("report")
    assert "Does the classifier use the lesion?" in demo_copy.load("report")
    assert_a_model_of_crops_works_everywhere(demo_copy, tmp_path / "new")


def assert_predictions_and_bundle_have_the_boxes(study, boxes, tmp_path):
    """Compare the main boxes of some test images with those of ``localize``."""
    split, raw = study.table("split_table"), study.load("raw_images")
    rows = split[split["split"] == "test"].drop_duplicates("image_id").head(8)
    rows = rows[rows["file"].isin(boxes["file"])]
    files = {row.file: raw.store.get(row.image_id) for row in rows.itertuples()}
    images = write_files(tmp_path / "new", files)
    study.run("predict", predict={"input": str(images)})
    first = boxes.groupby("file").first().loc[sorted(files), ["x0", "y0", "x1", "y1"]]
    corners = [f"lesion_{name}" for name in first]
    found = study.load("new_predictions").set_index("file").loc[first.index]
    assert set(found["localizer_version"]) == {study.versions("localizer")[0]}
    np.testing.assert_allclose(found[corners], first, atol=0.06)  # rounded
    study.run("export")
    [version] = study.versions("model_bundle")
    bundle = study.data_root / "06_models/bundle" / version / "bundle"
    study.run("predict", predict={"input": str(images), "model": str(bundle)})
    found = study.load("new_predictions").set_index("file").loc[first.index]
    np.testing.assert_allclose(found[corners], first, atol=3)  # Pillow resizes
    study.run("predict", predict={"input": str(images), "localizer": None})
    assert "lesion_x0" not in study.load("new_predictions")


def assert_a_model_of_crops_works_everywhere(study, images):
    """Train on crops of the lesions; evaluate, report and export the model, and predict."""
    version = study.versions("localizer")[0]
    path = study.data_root / "06_models/localizer.pth" / version / "localizer.pth"
    study.run(
        *("train", "evaluate", "report", "export"),
        preprocess={"localizer": str(path), "lesion_margin": 0.3},
        evaluate={"robustness": {"enabled": True, "corruptions": ["blur"]}},
    )
    model = study.load("model")
    assert model.preprocessing.lesion_margin == 0.3
    assert model.localizer.tensors_sha256 == study.load("localizer").tensors_sha256
    assert study.load("robustness").measured
    framing = "a crop around the main lesion that its localizer finds, with a margin of 0.3 times"
    assert framing in study.load("report")
    assert framing in study.load("model_card")

    bundle = study.data_root / "06_models/bundle" / study.versions("model_bundle")[0] / "bundle"
    tables = []
    for settings in ({}, {"model": str(bundle)}):
        study.run("predict", predict={"input": str(images), **settings})
        tables.append(study.load("new_predictions").set_index("file"))
    columns = [name for name in tables[0] if name.startswith("p_")]
    # Pillow resizes, so a box can move by a pixel, which is a large part of 64.
    np.testing.assert_allclose(tables[0][columns], tables[1][columns], atol=0.1)
    predictions = study.table("predictions").set_index("file")
    found = predictions.loc[tables[0].index, columns]
    np.testing.assert_allclose(tables[0][columns], found, atol=1e-6)
    assert set(tables[0]["localizer_version"]) == {model.version}


def test_folder_without_labels_is_localized_with_its_own_masks(demo_copy, tmp_path):
    table = synthetic_table(OTHER_SEED)
    files = table[(table["label"] == "Melanoma") & table["planted"].isna()]["file"].iloc[:12]
    images = write_files(
        tmp_path / "images", {f"{i}.jpg": render_file(f, OTHER_SEED) for i, f in enumerate(files)}
    )
    masks = tmp_path / "masks"
    masks.mkdir()
    for i, file in enumerate(files):
        pixels = np.asarray(render_mask(file, OTHER_SEED), np.uint8) * 255
        Image.fromarray(pixels).save(masks / f"{i}_segmentation.png")
    settings = {"images": str(images), "method": "mean_box", "folds": 3}
    with pytest.raises(InputError, match="localize.images: requires localize.annotations"):
        demo_copy.run("localize", localize=settings)
    demo_copy.run("localize", localize=settings | {"annotations": str(masks)})
    results = demo_copy.load("localization")
    assert (results.provenance.folds, results.provenance.annotated_images) == (3, 12)
    assert results.methods["mean_box"].iou.value > results.methods["whole_image"].iou.value
    assert results.lesion_dependence is None
    assert set(demo_copy.load("lesion_boxes")["file"]) == {f"{i}.jpg" for i in range(12)}
