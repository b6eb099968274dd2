"""A model of crops is trained, saved and used on the main lesion of each image."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from skin_lesions.core.errors import InputError
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.tables import SplitTable
from skin_lesions.deployment.torch_predictor import TorchPredictor
from skin_lesions.evaluation.explanations import explain_images
from skin_lesions.models.inference import model_images
from skin_lesions.models.localization.lesion_boxes import locate_main_lesions
from skin_lesions.models.localization.localizer import LesionDetector
from skin_lesions.models.localization.localizer_file import write_localizer
from skin_lesions.models.model_file import read_model, write_model
from skin_lesions.pipelines.train.lesion_crops import prepare_crops
from skin_lesions.reporting.formatting import leaky_weights_note
from support.bundles import exportable_model
from support.factories import EVALUATE, encoded
from support.imagesets import blobs, square_images
from support.localization import LESION_IMAGE_SIZE as SIZE
from support.localization import lesion_examples, localizer_of
from support.models import SPLIT_PROVENANCE, trained_model
from support.training import PREPROCESS, calibrate_stored, fit_stored, predict_stored

CPU = torch.device("cpu")
OPTIONS = {"epochs": 1, "image_size": 32}


@pytest.fixture(scope="module")
def localizer():
    return localizer_of(trained_model())


@pytest.fixture
def lesions(tmp_path):
    """Store 60 images with one lesion; return store and split table."""
    pixels, _ = lesion_examples(60, seed=4)
    square_images(PixelStore(tmp_path).at(SIZE).folder, pixels)
    return PixelStore(tmp_path), SplitTable(blobs(60)[1], SPLIT_PROVENANCE, "v1")


def crops_with(localizer, folder, **changes):
    """Save a localizer; return the parameters that use it."""
    write_localizer(localizer, folder / "localizer.pth")
    path = str(folder / "localizer.pth")
    return PREPROCESS.model_copy(update={"localizer": path, **changes})


def prepare(lesions, preprocess, **options):
    table = lesions[1].frame.assign(width=SIZE, height=SIZE, pixel_id=lesions[1].frame["image_id"])
    values = {"allow_leakage": False, "batch_size": 8, "device": "cpu", **options}
    pixels = lesions[0].at(SIZE)
    return prepare_crops(pixels, table, table, table, preprocess, **values)


def test_model_of_crops_has_its_localizer_and_predicts_with_it(lesions, localizer, tmp_path):
    store, table = lesions
    preprocess = crops_with(localizer, tmp_path, lesion_margin=0.3)
    fitted, _ = fit_stored(lesions, preprocess=preprocess, stored_size=SIZE, **OPTIONS)
    model = calibrate_stored(fitted, lesions, **OPTIONS)
    assert model.preprocessing.lesion_margin == 0.3
    assert model.localizer.state_dict.keys() == localizer.state_dict.keys()
    write_model(model, tmp_path / "model.pth")
    loaded = read_model(tmp_path / "model.pth")
    predicted = predict_stored(loaded, lesions, "test")
    assert predicted.equals(predict_stored(model, lesions, "test"))

    # The predictor of files has the same crops. The files have the stored pixels.
    predictor = TorchPredictor(loaded, "cpu")
    squares = store.at(SIZE).read(store.at(SIZE).rows(predicted["image_id"]))
    finder = predictor.lesion_finder
    inputs = []
    for square in squares:
        data = encoded(Image.fromarray(square), "PNG")
        [found] = finder.find([finder.read(data)])
        inputs.append(predictor.crop(predictor.read(data), found))
    rows = table.frame[table.frame["split"] == "test"]
    expected = model_images(loaded, store, rows, 8, CPU).get_batch(np.arange(len(rows)))[0]
    np.testing.assert_array_equal(np.stack(inputs), expected.permute(0, 2, 3, 1).numpy())
    assert expected.shape[-1] == 32


def test_network_sees_the_crop_around_the_main_lesion(lesions, localizer):
    store, table = lesions
    rows = table.frame.head(5)
    preprocessing = replace(
        trained_model().preprocessing, stored_image_size=SIZE, image_size=16, lesion_margin=0.0
    )
    classes = {"classes": ("green", "red")}
    model = trained_model(preprocessing=preprocessing, localizer=localizer, **classes)
    boxes = locate_main_lesions(localizer, store.at(SIZE), rows["image_id"].tolist(), 2, CPU)
    batch, _ = model_images(model, store, rows, 2, CPU).get_batch(np.arange(5))
    for image, box, image_id in zip(batch, boxes, rows["image_id"], strict=True):
        (top, bottom), (left, right) = preprocessing.crop(1.0, box.tolist())
        part = Image.fromarray(store.at(SIZE)[image_id][top:bottom, left:right])
        expected = np.asarray(part.resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(image.permute(1, 2, 0).numpy() - expected).max() <= 2
    # A crop shows more of the dark lesion than the complete image.
    uncropped = replace(preprocessing, lesion_margin=None)
    without_crops = trained_model(preprocessing=uncropped, **classes)
    complete, _ = model_images(without_crops, store, rows, 2, CPU).get_batch(np.arange(5))
    assert batch.float().mean() < complete.float().mean() - 10


def test_annotations_replace_the_boxes_of_training_images_only(lesions, localizer, tmp_path):
    frame = lesions[1].frame
    annotated = frame[["file"]].assign(x0=8, y0=16, x1=32, y1=48)
    annotated.iloc[1:].to_csv(tmp_path / "boxes.csv", index=False)  # one image has no box
    located = prepare(lesions, crops_with(localizer, tmp_path))
    found = prepare(
        lesions, crops_with(localizer, tmp_path, annotations=str(tmp_path / "boxes.csv"))
    )
    assert set(found.boxes) == set(frame.loc[frame["split"] != "test", "image_id"])
    assert found.digest() != located.digest()
    # On another device, located boxes can differ by rounding. The training resumes there.
    assert replace(found, boxes={}).digest() == found.digest()
    for row in frame[frame["split"] != "test"].itertuples():
        is_annotated = row.split == "train" and row.file != "0.png"
        expected = [0.125, 0.25, 0.5, 0.75] if is_annotated else located.boxes[row.image_id]
        np.testing.assert_array_equal(found.boxes[row.image_id], expected)


def test_training_with_other_boxes_is_another_training(lesions, localizer, tmp_path):
    boxes = lesions[1].frame[["file"]].assign(x0=8, y0=16, x1=32, y1=48)
    boxes.to_csv(tmp_path / "boxes.csv", index=False)
    trainings = [
        fit_stored(
            lesions,
            preprocess=crops_with(localizer, tmp_path, annotations=annotations),
            stored_size=SIZE,
            **OPTIONS,
        )[0].provenance.training
        for annotations in (None, str(tmp_path / "boxes.csv"))
    ]
    assert trainings[0] != trainings[1]


def test_localizer_that_knows_test_images_stops_the_training(lesions, localizer, tmp_path):
    frame = lesions[1].frame
    test_id, train_id = (
        frame.loc[frame["split"] == s, "image_id"].iloc[0] for s in ("test", "train")
    )
    clean = localizer.model_copy(update={"train_image_ids": (train_id,), "val_image_ids": ()})
    assert prepare(lesions, crops_with(clean, tmp_path)).leakage is None
    leaky = clean.model_copy(update={"val_image_ids": (test_id,)})
    preprocess = crops_with(leaky, tmp_path)
    with pytest.raises(InputError, match=r"\(preprocess.localizer\) .* 1 of 12 test images"):
        prepare(lesions, preprocess)
    assert prepare(lesions, preprocess, allow_leakage=True).leakage.test_images == 1
    model, _ = fit_stored(
        lesions, preprocess=preprocess, stored_size=SIZE, allow_leaky_weights=True, **OPTIONS
    )
    assert model.initial_weights.leakage.test_images == 1
    assert leaky_weights_note(model).startswith("The initial weights or the localizer come from")


def test_localizer_that_cannot_be_used_is_rejected(lesions, localizer, tmp_path):
    with pytest.raises(InputError, match="preprocess.localizer: the file does not exist"):
        prepare(lesions, PREPROCESS.model_copy(update={"localizer": "missing.pth"}))
    with pytest.raises(InputError, match="method cam, which needs its classifier"):
        prepare(lesions, crops_with(localizer_of(trained_model(), "cam"), tmp_path))


def test_changed_tensors_of_the_localizer_are_found(localizer, tmp_path):
    preprocessing = replace(trained_model().preprocessing, lesion_margin=0.2)
    write_model(
        trained_model(preprocessing=preprocessing, localizer=localizer), tmp_path / "model.pth"
    )
    content = torch.load(tmp_path / "model.pth", weights_only=True)
    content["localizer_state_dict"]["network.conv1.weight"][0] += 1
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(InputError, match="tensors of its localizer do not match their hash"):
        read_model(tmp_path / "model.pth")
    with pytest.raises(ValueError, match="a model of crops has a margin and a localizer"):
        trained_model(localizer=localizer)


def test_maps_of_explanations_are_those_of_the_crops(lesions, localizer):
    store, table = lesions
    rows = table.frame.head(4).assign(predicted="nv", kind="")
    model = exportable_model()
    preprocessing = replace(model.preprocessing, stored_image_size=SIZE)
    complete = model.model_copy(update={"preprocessing": preprocessing})
    cropped = model.model_copy(
        update={"preprocessing": replace(preprocessing, lesion_margin=0.1), "localizer": localizer}
    )
    maps = [explain_images(each, store, rows, EVALUATE).maps for each in (complete, cropped)]
    assert maps[0].max() > 0
    assert not np.allclose(maps[0], maps[1])


def test_a_process_locates_each_image_once(lesions, localizer, monkeypatch):
    pixels = lesions[0].at(SIZE)
    first = locate_main_lesions(localizer, pixels, ["image0", "image1"], 2, CPU)
    counts = []
    find = LesionDetector.find
    monkeypatch.setattr(
        LesionDetector, "find", lambda self, *args: counts.append(len(args[0])) or find(self, *args)
    )
    again = locate_main_lesions(localizer, pixels, ["image1", "image2", "image0"], 2, CPU)
    assert counts == [1]
    np.testing.assert_array_equal(again[[2, 0]], first)
    # Another threshold is another localizer.
    other = localizer.model_copy(update={"threshold": 0.9})
    locate_main_lesions(other, pixels, ["image0", "image1"], 2, CPU)
    assert counts == [1, 2]
    assert locate_main_lesions(localizer, pixels, [], 2, CPU).shape == (0, 4)
