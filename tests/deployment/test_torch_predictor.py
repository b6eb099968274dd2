import hashlib

import numpy as np
import pandas as pd
import pytest
import torch

from skin_lesions.core.errors import InputError
from skin_lesions.core.versions import file_version
from skin_lesions.data.decoding import decode
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.deployment.decisions import Postprocessor
from skin_lesions.deployment.load import load_predictor
from skin_lesions.deployment.torch_predictor import TorchPredictor
from skin_lesions.evaluation.predictions import predict_images
from skin_lesions.models.model_file import write_model
from skin_lesions.models.networks import build_network
from support.factories import corners, encoded, jpeg
from support.imagesets import store_images
from support.models import trained_model

FILES = [*(jpeg(seed, size=40) for seed in range(5)), encoded(corners(70, 40), "PNG")]


def model_of(**changes):
    torch.manual_seed(0)
    return trained_model(state_dict=build_network("resnet18", 2).state_dict(), **changes)


def evaluated(model, folder):
    """Predict the files as the pipeline ``evaluate`` does: from the pixel store."""
    store = PixelStore(folder)
    size = model.preprocessing.stored_image_size
    ids = [hashlib.sha256(data).hexdigest() for data in FILES]
    images = (decode(data, size) for data in FILES)
    store_images(store.at(size), dict(zip(ids, images, strict=True)))
    rows = pd.DataFrame({"file": ids, "image_id": ids, "group_id": ids, "label": "nv"})
    rows = rows.assign(split="test", is_leaked=False)
    return predict_images(model, store, rows, 64, "cpu")


@pytest.mark.parametrize("tta", ["none", "flips"])
@pytest.mark.parametrize("mode", ["stretch", "center_crop"])
def test_predictions_equal_those_of_evaluate(mode, tta, tmp_path):
    model = model_of(preprocessing=Preprocessing(mode, 48, 32), test_time_augmentation=tta)
    expected = evaluated(model, tmp_path)
    predictor = TorchPredictor(model, "cpu")
    images = np.stack([predictor.read(data) for data in FILES])
    found = Postprocessor(predictor.description).predictions(predictor.outputs(images))
    assert [p.predicted for p in found] == expected["predicted"].tolist()
    assert [list(p.prediction_set) for p in found] == expected["conformal_set"].tolist()
    assert [p.is_unknown for p in found] == expected["is_unknown"].tolist()
    for values, columns in [
        ([p.probabilities for p in found], ["p_nv", "p_mel"]),
        ([p.balanced_probabilities for p in found], ["p_balanced_nv", "p_balanced_mel"]),
        ([[p.unknown_score] for p in found], ["unknown_score"]),
    ]:
        np.testing.assert_allclose(values, expected[columns].to_numpy(), atol=1e-6, rtol=1e-6)
    assert np.ptp([p.probabilities[0] for p in found]) > 1e-4


def test_batch_size_does_not_change_the_predictions():
    predictor = TorchPredictor(model_of(), "cpu")
    images = np.stack([predictor.read(data) for data in FILES])
    single = [predictor.outputs(image[None]).logits[0] for image in images]
    np.testing.assert_allclose(predictor.outputs(images).logits, single, atol=1e-5)


def test_model_outside_of_the_catalog_has_a_checksum_as_version(tmp_path):
    path = tmp_path / "mine.pth"
    write_model(model_of(), path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    predictor = load_predictor(path, "cpu")
    assert predictor.description.version == f"sha256:{checksum[:12]}"
    assert predictor.description.classes == ("nv", "mel")


def test_model_in_the_catalog_has_its_version(tmp_path):
    path = tmp_path / "model.pth" / "2026-11-29T06.00.00.000Z" / "model.pth"
    assert file_version(path) == "2026-11-29T06.00.00.000Z"


def test_file_that_is_no_model_is_rejected(tmp_path):
    path = tmp_path / "x.pth"
    torch.save({"weights": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="not a model file"):
        load_predictor(path, "cpu")
    with pytest.raises(InputError, match=r"The model does not exist .*Expected a model file"):
        load_predictor(tmp_path / "missing.pth", "cpu")


def test_unavailable_device_is_an_error():
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="predict.device=cuda is not available"):
            TorchPredictor(model_of(), "cuda")
