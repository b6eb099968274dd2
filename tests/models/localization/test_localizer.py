import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.models.localization import dense
from skin_lesions.models.localization.boxes import fit_threshold
from skin_lesions.models.localization.dense import DecoderRecipe
from skin_lesions.models.localization.lesions import Lesion, box_iou
from skin_lesions.models.localization.localizer import (
    LesionDetector,
    LocalizerSettings,
    fit_localizer,
    localize,
    mask_network,
    weights_sha256,
)
from skin_lesions.models.localization.localizer_file import read_localizer, write_localizer
from skin_lesions.models.networks import build_network
from support.localization import LESION_IMAGE_SIZE as SIZE
from support.localization import lesion_examples as examples

CPU = torch.device("cpu")
PREPROCESSING = Preprocessing("center_crop", stored_image_size=80, image_size=48)


class TinyCNN(nn.Module):
    """Two stages with strides 8 and 16, the mean over the positions and a linear head."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 16, 8, stride=8), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(16, 16, 2, stride=2), nn.ReLU())
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.second(self.first(x)).mean(dim=(2, 3)))


def tiny(seed=0):
    torch.manual_seed(seed)
    return TinyCNN().eval()


def recipe(**changes):
    values = {"epochs": 25, "batch_size": 8, "learning_rate": 5e-3, "weight_decay": 0.01}
    values |= {"network_learning_rate": 0.0}
    return DecoderRecipe(**{**values, "views": 4, "seed": 0, **changes})


def fit(method="dense", data=None, network=None, **changes):
    squares, lesions = data or examples(24)
    return fit_localizer(
        network or tiny(),
        squares,
        lesions,
        LocalizerSettings(method=method, image_size=SIZE, batch_size=8, decoder=recipe(**changes)),
        architecture="tiny",
        preprocessing=PREPROCESSING,
        device=CPU,
    )


def found(localizer, squares, network=None):
    return localize(localizer, network or tiny(), squares, batch_size=5, device=CPU)


def mean_iou(localizer, data):
    squares, lesions = data
    first = np.stack([result.boxes[0] for result in found(localizer, squares)])
    return box_iou(first, np.stack([lesion.main_box for lesion in lesions])).mean()


@pytest.fixture(scope="module")
def dense_localizer():
    return fit()


@pytest.fixture(scope="module")
def trained_localizer():
    """Return a localizer for which the last layers of the network were trained too."""
    return fit(network_learning_rate=5e-3, epochs=15)


def test_decoder_finds_lesions_of_other_images_better_than_the_mean_box(dense_localizer):
    test = examples(20, seed=1)
    assert mean_iou(dense_localizer, test) > 0.75
    assert mean_iou(fit("mean_box"), test) < 0.5


def test_last_layers_of_the_network_are_trained_in_a_copy(trained_localizer):
    network = tiny()
    before = copy.deepcopy(network.state_dict())
    localizer = fit(network=network, network_learning_rate=5e-3, epochs=15)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    trained = {
        name
        for name, value in localizer.state_dict.items()
        if name.startswith("network.")
        and not torch.equal(value, before[name.removeprefix("network.")])
    }
    assert trained == {"network.second.0.weight", "network.second.0.bias"}
    for name in trained:
        assert torch.equal(localizer.state_dict[name], trained_localizer.state_dict[name])
    loaded = mask_network(localizer, network).pyramid.network.second[0].weight
    assert torch.equal(loaded, localizer.state_dict["network.second.0.weight"])
    assert mean_iou(localizer, examples(20, seed=1)) > 0.7


def test_trained_layers_of_another_architecture_are_rejected(trained_localizer):
    tensors = {**trained_localizer.state_dict, "network.second.0.weight": torch.zeros(1)}
    other = trained_localizer.model_copy(update={"state_dict": tensors})
    with pytest.raises(InputError, match="other tensors than tiny"):
        mask_network(other, tiny())


def test_threshold_is_fitted_to_the_annotated_images():
    squares, lesions = examples(24, masks=False)
    localizer = fit(data=(squares, lesions), epochs=10)
    maps = [result.probabilities for result in found(localizer, squares)]
    main_boxes = np.stack([lesion.main_box for lesion in lesions])
    assert localizer.threshold == fit_threshold(maps, main_boxes)
    assert localizer.threshold != 0.5


def test_boxes_without_masks_train_the_decoder():
    assert mean_iou(fit(data=examples(24, masks=False)), examples(20, seed=1)) > 0.7


def test_boxes_of_other_images_train_no_useful_decoder():
    squares, lesions = examples(24, masks=False)
    shuffled = fit(data=(squares, lesions[7:] + lesions[:7]))
    assert mean_iou(shuffled, examples(20, seed=1)) < 0.55


def test_mirrored_image_has_mirrored_boxes(dense_localizer):
    squares, _ = examples(10, seed=2)
    mirror_images = found(dense_localizer, squares[:, :, ::-1])
    for direct, mirrored in zip(found(dense_localizer, squares), mirror_images, strict=True):
        np.testing.assert_allclose(mirrored.probabilities[:, ::-1], direct.probabilities, atol=1e-4)
        expected = direct.boxes[:, [2, 1, 0, 3]]
        expected[:, [0, 2]] = 1 - expected[:, [0, 2]]
        np.testing.assert_allclose(mirrored.boxes[0], expected[0], atol=1 / 32 + 1e-6)


def test_equal_seeds_give_equal_localizers_and_other_seeds_do_not(dense_localizer):
    again, other = fit(), fit(seed=1)
    for name, tensor in dense_localizer.state_dict.items():
        assert torch.equal(again.state_dict[name], tensor)
    assert not torch.equal(
        other.state_dict["decoder.body.0.weight"],
        dense_localizer.state_dict["decoder.body.0.weight"],
    )


def test_features_that_are_not_stored_give_the_same_localizer(dense_localizer, monkeypatch):
    monkeypatch.setattr(dense, "_CACHE_BYTES", 0)
    again = fit()
    squares, _ = examples(4, seed=3)
    for first, second in zip(found(dense_localizer, squares), found(again, squares), strict=True):
        np.testing.assert_allclose(first.probabilities, second.probabilities, atol=0.02)


def test_fit_does_not_change_the_network():
    network = tiny()
    before = copy.deepcopy(network.state_dict())
    fit(network=network, epochs=1)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_mean_box_is_the_mean_of_all_boxes_and_whole_image_is_the_image():
    squares, _ = examples(2)
    one = Lesion(boxes=np.array([[0, 0, 0.5, 0.5]]))
    two = Lesion(boxes=np.array([[0.3, 0.3, 1, 1], [0.6, 0, 0.9, 0.3]]))
    localizer = fit("mean_box", (squares, [one, two]))
    [result, _] = found(localizer, squares)
    np.testing.assert_allclose(result.boxes, [[0.3, 0.1, 0.8, 0.6]])
    assert result.probabilities[10, 15] == 1
    assert result.probabilities[25, 15] == 0
    assert (localizer.masks, localizer.boxes) == (0, 2)
    assert localizer.preprocessing.resize_mode == "stretch"  # that of the classifier is a crop
    whole = fit("whole_image", (squares[:0], []))
    assert found(whole, squares)[0].boxes.tolist() == [[0, 0, 1, 1]]


def test_activation_maps_find_the_lesion_that_the_class_depends_on():
    network = tiny()
    with torch.no_grad():
        for conv in (network.first[0], network.second[0]):
            conv.weight.copy_(conv.weight.abs())
            conv.bias.zero_()
        network.first[0].weight.neg_()  # dark positions are active
        network.head.weight.abs_()
        network.head.weight[0] += 1  # class 0 is predicted
    data = examples(24)
    localizer = fit("cam", data, network)
    assert localizer.state_dict == {}
    squares, lesions = examples(20, seed=1)
    first = np.stack([result.boxes[0] for result in found(localizer, squares, network)])
    iou = box_iou(first, np.stack([lesion.main_box for lesion in lesions])).mean()
    assert iou > mean_iou(fit("mean_box", data), (squares, lesions)) + 0.1


@pytest.mark.parametrize(
    ("method", "learning_rate"),
    [("dense", 0), ("dense", 0.01), ("cam", 0), ("mean_box", 0), ("whole_image", 0)],
)
def test_saved_localizer_finds_the_same(method, learning_rate, tmp_path):
    localizer = fit(method, epochs=1, network_learning_rate=learning_rate)
    write_localizer(localizer, tmp_path / "localizer.pt")
    loaded = read_localizer(tmp_path / "localizer.pt")
    assert loaded.model_dump() == localizer.model_dump()
    squares, _ = examples(3, seed=1)
    for first, second in zip(found(localizer, squares), found(loaded, squares), strict=True):
        np.testing.assert_array_equal(first.boxes, second.boxes)
        np.testing.assert_array_equal(first.probabilities, second.probabilities)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format": 99}, "format 99"),
        ({"threshold": 0.123}, "has changed since it was saved"),
        ({"state_dict": 1}, "no tensors"),
    ],
)
def test_changed_file_is_rejected(change, problem, dense_localizer, tmp_path):
    path = tmp_path / "localizer.pt"
    write_localizer(dense_localizer, path)
    torch.save({**torch.load(path, weights_only=True), **change}, path)
    with pytest.raises(InputError, match=problem):
        read_localizer(path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"threshold": None}, "have a threshold"),
        ({"threshold": 2.0}, "threshold: Input should be less than or equal to 1"),
        ({"method": "other"}, "method: Input should be"),
        ({"state_dict": {"x": torch.zeros(1)}}, "its decoder has other tensors"),
    ],
)
def test_file_with_invalid_values_is_rejected(change, problem, dense_localizer, tmp_path):
    path = tmp_path / "localizer.pt"
    write_localizer(dense_localizer.model_copy(update=change), path)
    with pytest.raises(InputError, match=problem):
        read_localizer(path)


def test_file_of_another_kind_is_rejected(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(InputError, match="not a localizer"):
        read_localizer(tmp_path / "weights.pt")


def test_localizer_of_another_classifier_is_rejected(dense_localizer):
    assert dense_localizer.classifier_sha256 == weights_sha256(tiny())
    with pytest.raises(InputError, match="belongs to another classifier"):
        found(dense_localizer, examples(1)[0], tiny(seed=1))


def test_missing_annotations_are_rejected():
    squares, lesions = examples(3)
    with pytest.raises(InputError, match="3 images and 2 annotations"):
        fit(data=(squares, lesions[:2]))
    with pytest.raises(InputError, match="dense requires images with boxes or masks"):
        fit(data=(squares[:0], []))


def test_diverged_training_stops():
    with pytest.raises(InputError, match="loss of the localizer is nan"):
        fit(learning_rate=float("inf"))


@pytest.mark.parametrize("learning_rate", [0.0, 1e-3])
def test_localizer_needs_no_classifier(learning_rate, tmp_path):
    """The file has all tensors of the network except those of its head."""
    torch.manual_seed(0)
    network = build_network("resnet18", 3).eval()
    squares, lesions = examples(6)
    settings = LocalizerSettings(
        method="dense",
        image_size=SIZE,
        batch_size=8,
        decoder=recipe(epochs=1, views=1, network_learning_rate=learning_rate),
    )
    options = {"architecture": "resnet18", "preprocessing": PREPROCESSING, "device": CPU}
    localizer = fit_localizer(network, squares, lesions, settings, **options)
    assert not any(name.startswith("network.fc.") for name in localizer.state_dict)
    write_localizer(localizer, tmp_path / "localizer.pth")
    loaded = read_localizer(tmp_path / "localizer.pth")
    expected = LesionDetector(localizer, network, CPU).maps(squares, 4)
    np.testing.assert_array_equal(LesionDetector(loaded, None, CPU).maps(squares, 4), expected)
    incomplete = {k: v for k, v in loaded.state_dict.items() if k != "network.bn1.running_mean"}
    with pytest.raises(InputError, match="other tensors than resnet18"):
        LesionDetector(loaded.model_copy(update={"state_dict": incomplete}), None, CPU)


def test_classifier_of_crops_has_a_localizer_of_complete_images():
    squares, lesions = examples(4)
    settings = LocalizerSettings(
        method="dense", image_size=SIZE, batch_size=8, decoder=recipe(epochs=1, views=1)
    )
    of_crops = replace(PREPROCESSING, lesion_margin=0.2)
    localizer = fit_localizer(
        tiny(), squares, lesions, settings, architecture="tiny", preprocessing=of_crops, device=CPU
    )
    assert localizer.preprocessing.lesion_margin is None
    assert len(found(localizer, squares)) == 4


def test_only_cam_needs_the_classifier():
    squares, _ = examples(2)
    [first, _] = LesionDetector(fit("mean_box"), None, CPU).find(squares, 2)
    assert first.boxes.shape == (1, 4)
    with pytest.raises(InputError, match="cam needs its classifier.*localize.method=dense"):
        LesionDetector(fit("cam"), None, CPU)


@pytest.mark.slow
def test_mask_network_can_be_exported_to_onnx():
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    network = build_network("resnet18", 3).eval()
    masks = mask_network(
        fit(network=network, data=examples(4), epochs=1, network_learning_rate=1e-3), network
    )
    program = torch.onnx.export(
        masks,
        (torch.randn(2, 3, SIZE, SIZE),),
        dynamo=True,
        input_names=["images"],
        dynamic_shapes={"inputs": {0: torch.export.Dim("batch", min=1)}},
        verbose=False,
    )
    session = ort.InferenceSession(program.model_proto.SerializeToString())
    images = torch.randn(3, 3, SIZE, SIZE)  # another number of images
    [logits] = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(logits, masks(images).numpy(), atol=1e-3)
