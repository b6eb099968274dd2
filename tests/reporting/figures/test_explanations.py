from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.evaluation.explained_images import ExplainedImages, without_maps
from skin_lesions.reporting.figures.confused_pairs import (
    draw_confused_pairs,
    find_confusions,
    title,
)
from skin_lesions.reporting.figures.explanations import draw_explanations
from skin_lesions.reporting.figures.image_tiles import ImageTiles
from support.imagesets import square_images
from support.report_inputs import two_classes, with_frame


def table(pairs):
    """Make predictions of classes a, b and c: (label, predicted, probability)."""
    frame = pd.DataFrame(pairs, columns=["label", "predicted", "probability"])
    for name in "abc":
        other = (1 - frame["probability"]) / 2
        frame[f"p_{name}"] = frame["probability"].where(frame["predicted"] == name, other)
    frame["file"] = frame["image_id"] = [f"i{i}" for i in range(len(frame))]
    return frame.drop(columns="probability").assign(split="test")


def test_confusions_are_ordered_by_count_and_show_the_most_confident_images():
    frame = table(
        [
            ("a", "b", 0.6),
            ("a", "b", 0.9),
            ("a", "a", 0.9),
            ("c", "a", 0.5),
            ("b", "b", 0.5),
            ("b", "b", 0.8),
        ]
    )
    first, second = find_confusions(frame)
    assert (first.label, first.predicted, first.count, first.support) == ("a", "b", 2, 3)
    assert (first.wrong, first.correct, first.probability) == ("i1", "i5", 0.9)
    assert (second.label, second.correct) == ("c", "i2")
    assert len(find_confusions(frame, 1)) == 1


def test_confusion_with_a_class_without_correct_images_has_no_correct_image():
    [confusion] = find_confusions(table([("a", "b", 0.6)]))
    assert confusion.correct is None


def test_validation_images_are_not_confusions():
    assert find_confusions(table([("a", "b", 0.6)]).assign(split="val")) == []


def test_title_names_the_most_frequent_confusion_or_states_that_there_is_none():
    frame = table([("a", "b", 0.6), ("a", "a", 0.6)])
    assert title(frame) == "Most frequent confusion: a predicted as b (1 of 2 test images)"
    assert title(frame[1:]) == "No test image is predicted as a wrong class"


def rgb_images(figure):
    """Return the photographs that a figure contains; maps have one channel."""
    return [image for image in figure.axes[0].images if image.get_array().ndim == 3]


def texts(figure):
    return [text.get_text() for text in figure.findobj() if hasattr(text, "get_text")]


def draw(study, images=None):
    explained = study.explained_images
    if images is not None:
        explained = replace(explained, frame=images.to_frame())
    return draw_explanations(explained, study.pixel_store, study.model, study.malignancy)


def test_each_gallery_image_is_drawn_beside_its_map():
    study = two_classes()
    gallery = study.explained_images.frame["kind"].ne("").sum()
    figure = draw(study)
    assert len(rgb_images(figure)) == 2 * gallery
    assert len(figure.axes[0].images) == 3 * gallery
    assert "empty map" in texts(figure)  # of the first class


def test_without_maps_the_images_and_the_reason_are_drawn():
    study = two_classes()
    images = ExplainedImages.from_frame(study.explained_images.frame)
    figure = draw(study, without_maps(images.frame, "disabled"))
    assert len(figure.axes[0].images) == images.frame["kind"].ne("").sum()
    assert "No maps: disabled." in texts(figure)


def test_figures_of_no_images_state_it():
    study = two_classes()
    images = ExplainedImages.from_frame(study.explained_images.frame)
    nothing = draw(study, without_maps(images.frame[:0], "there are no test images"))
    assert "No test images to explain" in texts(nothing)
    empty = with_frame(study.predictions, study.predictions.frame[:0])
    drawn = draw_confused_pairs(empty, study.pixel_store, study.model)
    assert "No test image is predicted as a wrong class" in texts(drawn)


@pytest.mark.parametrize(("width", "height"), [(80, 40), (40, 80)])
def test_tiles_of_a_model_with_center_crop_show_the_central_square(tmp_path, width, height):
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    if width > height:
        pixels[0, :, 8:24] = 200  # the central square of the original, stretched
    else:
        pixels[0, 8:24] = 200
    images = square_images(tmp_path, pixels, [(width, height)])
    tiles = ImageTiles(images, Preprocessing("center_crop", 32, 16))
    assert (tiles.pixels("image0") == 200).all()
    stretched = ImageTiles(images, Preprocessing("stretch", 32, 16))
    np.testing.assert_array_equal(stretched.pixels("image0"), pixels[0])
