"""The export stops if the exported network differs from the original one."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from skin_lesions.config.export import Export
from skin_lesions.core.errors import InputError
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.preprocessing import resize_batch
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.deployment.onnx_check import check_onnx, images_to_compare
from skin_lesions.deployment.onnx_session import open_session
from support.bundles import exportable_model, random_images

LIMITS = Export(
    compared_images=8,
    max_probability_difference=1e-4,
    max_unknown_score_difference=1e-3,
    localizer=None,
)


@pytest.fixture
def network(bundle_model):
    return (bundle_model[0] / "model.onnx").read_bytes()


def test_equal_network_is_accepted_and_the_differences_are_logged(bundle_model, network, caplog):
    caplog.set_level(logging.INFO, "skin_lesions")
    check_onnx(network, bundle_model[1], random_images(11, 64), LIMITS)
    assert "checked on 11 images: largest difference of a probability" in caplog.text


def test_other_weights_are_reported_with_the_largest_difference(bundle_model, network):
    model = bundle_model[1]
    changed = {**model.state_dict, "fc.bias": model.state_dict["fc.bias"] * 1.1}
    with pytest.raises(InputError, match=r"resnet18\) differs .* on 8 images: by up to 0.00"):
        check_onnx(
            network, model.model_copy(update={"state_dict": changed}), random_images(8, 64), LIMITS
        )


def test_other_statistics_of_the_unknown_score_are_reported(bundle_model, network):
    model = bundle_model[1]
    other = exportable_model(method="nearest_neighbors").postprocessing.unknown_score
    fitted = replace(model.postprocessing, unknown_score=other)
    with pytest.raises(InputError, match=r"and \S+ in the unknown score"):
        check_onnx(
            network,
            model.model_copy(update={"postprocessing": fitted}),
            random_images(8, 64),
            LIMITS,
        )


@pytest.mark.parametrize("output", ["probabilities", "unknown_score"])
def test_network_that_returns_nan_is_reported(bundle_model, network, output, monkeypatch):
    session = open_session(network)

    class Session:
        def run(self, names, inputs):
            outputs = session.run(names, inputs)
            outputs[names.index(output)][0] = np.nan
            return outputs

    monkeypatch.setattr("skin_lesions.deployment.onnx_check.open_session", lambda _: Session())
    with pytest.raises(InputError, match="differs from the original one"):
        check_onnx(network, bundle_model[1], random_images(2, 64), LIMITS)


def test_stored_images_are_compared_as_the_network_gets_them(stored, bundle_model):
    pixels, split_table = stored
    model = bundle_model[1].model_copy(
        update={"preprocessing": Preprocessing("stretch", 32, 24), "classes": ("green", "red")}
    )
    found = images_to_compare(model.preprocessing, split_table, pixels, 5)
    first = split_table.frame.sort_values("file")["image_id"].iloc[0]
    squares = pixels.at(32).read(pixels.at(32).rows([first]))
    expected = resize_batch(squares, [1.0], model.preprocessing)[0].permute(1, 2, 0).numpy()
    assert found.shape == (5, 24, 24, 3)
    np.testing.assert_array_equal(found[0], expected)
    assert len({image.tobytes() for image in found}) == 5


def test_random_images_replace_missing_ones(stored, bundle_model, tmp_path, caplog):
    caplog.set_level(logging.INFO, "skin_lesions")
    store = PixelStore(tmp_path / "empty")
    found = images_to_compare(bundle_model[1].preprocessing, stored[1], store, 3)
    assert found.shape == (3, 64, 64, 3)
    assert found.std() > 50
    assert "on random images" in caplog.text
