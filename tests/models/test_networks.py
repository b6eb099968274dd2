"""Networks: each architecture gets a head for the given classes and loads all other weights."""

import pytest
import torch
import torchvision
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.models import networks
from skin_lesions.models.devices import choose_device
from skin_lesions.models.model_file import write_model
from skin_lesions.models.networks import (
    build_network,
    classifier_head,
    create_network,
    layer_groups,
    resolve_initial_weights,
    to_sync_batchnorm,
)
from skin_lesions.models.weights import sha256_in_filename
from skin_lesions.models.weights_origin import WeightsOrigin
from skin_lesions.training.schedules import image_sizes
from support.models import trained_model
from support.recipes import recipe

CLASSES = ["mel", "nv", "scc"]
# The smallest architecture of each torchvision family, and a small image size for a fast test.
FAMILIES = {
    "alexnet": 64,
    "convnext_tiny": 32,
    "densenet121": 32,
    "efficientnet_b0": 32,
    "efficientnet_v2_s": 32,
    "googlenet": 32,
    "inception_v3": 80,
    "maxvit_t": 224,
    "mnasnet0_5": 32,
    "mobilenet_v2": 32,
    "mobilenet_v3_small": 32,
    "regnet_x_400mf": 32,
    "resnet18": 32,
    "resnext50_32x4d": 32,
    "shufflenet_v2_x0_5": 32,
    "squeezenet1_1": 32,
    "swin_t": 32,
    "swin_v2_t": 32,
    "vgg11": 32,
    "vgg11_bn": 32,
    "vit_b_32": 224,
    "wide_resnet50_2": 32,
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Use one thread: on a busy machine, two threads would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_initial(architecture="resnet18", weights="none", classes=CLASSES, size=32, seed=0):
    return create_network(
        architecture=architecture,
        weights=str(weights),
        weights_sha256=None,
        classes=classes,
        image_sizes=[size],
        seed=seed,
    )


def on_meta_device(make, architecture, *arguments, **options):
    """Build a network without initializing its weights, which is slow."""
    if architecture.startswith("regnet"):  # its constructor computes with tensors
        return make(architecture, *arguments, **options)
    with torch.device("meta"):
        return make(architecture, *arguments, **options)


def published_state(architecture):
    """Return the tensors that torchvision published for an architecture, all of value 0.5."""
    options = {"init_weights": False} if architecture in ("googlenet", "inception_v3") else {}
    state = on_meta_device(torchvision.models.get_model, architecture, **options).state_dict()
    for name, value in state.items():
        # Expanded views: a complete VGG takes a few kilobytes on disk.
        state[name] = torch.tensor(0.5, dtype=value.dtype).expand(value.shape)
    return state


def saved(content, path):
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory):
    return saved(published_state("resnet18"), tmp_path_factory.mktemp("weights") / "resnet18.pth")


def test_every_torchvision_family_is_tested():
    def family(name):
        return torchvision.models.get_model_builder(name).__module__

    registered = torchvision.models.list_models(module=torchvision.models)
    assert {family(name) for name in FAMILIES} == {family(name) for name in registered}


@pytest.mark.parametrize(("architecture", "size"), FAMILIES.items())
def test_all_tensors_except_the_head_are_loaded_and_the_head_has_one_logit_per_class(
    architecture, size, tmp_path
):
    path = saved(published_state(architecture), tmp_path / "published.pth")
    initial = make_initial(architecture, path, size=size)
    last = {id(parameter) for parameter in classifier_head(initial.network).parameters()}
    head_names = {name for name, value in initial.network.named_parameters() if id(value) in last}
    state = initial.network.state_dict()
    assert 1 <= len(head_names) <= 2
    assert all(
        (state[name] == 0.5).all() == (name not in head_names)
        for name in state
        if state[name].is_floating_point()
    )
    assert initial.origin.head == "new"
    with torch.no_grad():
        for network in (initial.network.eval(), initial.network.train()):
            assert network(torch.rand(2, 3, size, size)).shape == (2, len(CLASSES))


@pytest.mark.parametrize("architecture", FAMILIES)
def test_layer_groups_contain_every_parameter_once_with_the_head_last(architecture):
    network = on_meta_device(build_network, architecture, 3)
    groups = layer_groups(network)
    parameter_ids = [id(parameter) for group in groups for parameter in group]
    assert len(parameter_ids) == len(set(parameter_ids))
    assert set(parameter_ids) == {id(parameter) for parameter in network.parameters()}
    assert len(groups) >= 5
    assert groups[-1] == list(classifier_head(network).parameters())
    assert groups[0][-1].shape[0] != 3
    assert id(next(network.parameters())) in map(id, groups[0])


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("alexnet", [*(f"features.{i}" for i in (0, 3, 6, 8, 10)), "classifier.1", "classifier.6"]),
        (
            "resnet18",
            ["conv1", "layer1.0.conv1", "layer2.0.conv1", "layer3.0.conv1", "layer4.0.conv1", "fc"],
        ),
        (
            "efficientnet_b0",
            [
                "features.0.0",
                *[f"features.{i}.0.block.0.0" for i in range(1, 8)],
                "features.8.0",
                "classifier.1",
            ],
        ),
        (
            "vit_b_32",
            [
                "class_token",
                *[f"encoder.layers.encoder_layer_{i}.ln_1" for i in range(12)],
                "heads.head",
            ],
        ),
    ],
)
def test_layer_groups_are_the_stages_in_order(architecture, expected):
    network = on_meta_device(build_network, architecture, 3)
    name_of = {id(value): name for name, value in network.named_parameters()}
    found = [name_of[id(group[0])].removesuffix(".weight") for group in layer_groups(network)]
    assert found == expected


def test_layer_groups_of_a_timm_network_are_its_stages():
    pytest.importorskip("timm")
    network = build_network("timm/tf_efficientnet_lite0", 3)
    name_of = {id(value): name for name, value in network.named_parameters()}
    found = [name_of[id(group[0])].split(".")[:2] for group in layer_groups(network)]
    blocks = [["blocks", str(i)] for i in range(7)]
    assert found == [
        ["conv_stem", "weight"],
        *blocks,
        ["conv_head", "weight"],
        ["classifier", "weight"],
    ]


def test_random_weights_depend_only_on_the_seed():
    first, second, other = (make_initial(seed=seed).network for seed in (1, 1, 2))
    assert torch.equal(first.conv1.weight, second.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


def test_new_head_depends_only_on_the_seed(resnet_file):
    first, second, other = (make_initial(weights=resnet_file, seed=s).network for s in (1, 1, 2))
    assert torch.equal(first.fc.weight, second.fc.weight)
    assert not torch.equal(first.fc.weight, other.fc.weight)


def test_weights_of_a_new_head_on_pretrained_features_are_small(resnet_file):
    head = make_initial(weights=resnet_file).network.fc
    assert head.weight.std().item() == pytest.approx(0.01, rel=1e-3)
    assert not head.bias.any()


def test_new_head_on_pretrained_features_predicts_nearly_uniform_probabilities(efficientnet_lite0):
    initial = make_initial("timm/tf_efficientnet_lite0", efficientnet_lite0, size=64)
    network = initial.network.eval()
    with torch.no_grad():
        probabilities = network(torch.randn(4, 3, 64, 64)).softmax(dim=1)
    assert (probabilities - 1 / len(CLASSES)).abs().max() < 0.15
    assert probabilities.std() > 0


def test_networks_without_auxiliary_heads_load_weights_with_auxiliary_heads():
    assert any(name.startswith("aux1.") for name in published_state("googlenet"))
    assert any(name.startswith("AuxLogits.") for name in published_state("inception_v3"))
    for architecture in ("googlenet", "inception_v3"):
        network = build_network(architecture, 3)
        assert network.transform_input  # as in torchvision for these weights
        assert not any("aux" in name.lower() for name in network.state_dict())


def test_old_tensor_names_of_densenets_are_supported(tmp_path):
    old = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value
        for name, value in published_state("densenet121").items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    network = make_initial("densenet121", saved(old, tmp_path / "old.pth")).network
    assert (network.features.denseblock1.denselayer1.norm1.weight == 0.5).all()


def test_old_tensor_names_of_vision_transformers_are_supported(tmp_path):
    state = published_state("vit_b_32")
    for name in list(state):
        old = name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2.")
        state[old] = state.pop(name)
    state._metadata = {name: {"version": 1} for name in state._metadata}
    network = make_initial("vit_b_32", saved(state, tmp_path / "old.pth"), size=224).network
    assert (network.encoder.layers.encoder_layer_0.mlp[0].weight == 0.5).all()


def test_weights_without_module_versions_are_treated_as_current(tmp_path):
    path = saved(dict(published_state("mnasnet0_5")), tmp_path / "plain.pth")
    assert (make_initial("mnasnet0_5", path).network.layers[0].weight == 0.5).all()


def test_published_weights_of_every_architecture_have_a_sha256_in_the_filename():
    for architecture in torchvision.models.list_models(module=torchvision.models):
        assert sha256_in_filename(networks._imagenet_url(architecture)), architecture


def test_published_weights_of_a_vision_transformer_match_its_image_size():
    weights = torchvision.models.ViT_H_14_Weights
    assert weights.DEFAULT.transforms().crop_size == [518]
    assert weights.IMAGENET1K_SWAG_LINEAR_V1.transforms().crop_size == [224]
    assert networks._imagenet_url("vit_h_14") == weights.IMAGENET1K_SWAG_LINEAR_V1.url


@pytest.mark.parametrize(
    ("architecture", "size", "default_size"), [("vit_b_32", 64, 224), ("inception_v3", 32, 299)]
)
def test_unsupported_image_size_is_rejected_with_the_default_size(architecture, size, default_size):
    with pytest.raises(
        InputError, match=rf"{size} x {size} pixels.*train\.image_size={default_size}"
    ):
        make_initial(architecture, size=size)


def test_proposed_image_size_is_accepted_in_every_epoch_and_in_evaluation():
    with pytest.raises(InputError) as error:
        make_initial("vit_b_32", size=160)
    proposal = dict(part.split("=") for part in str(error.value).split("--params ")[1].split(","))
    values = {name.removeprefix("train."): float(value) for name, value in proposal.items()}
    assert values.pop("ingest.stored_image_size") == 256
    proposed = recipe(**values | {"image_size": int(values["image_size"])})
    assert image_sizes(proposed) == [224]


def test_image_size_check_does_not_change_the_network():
    network = make_initial().network
    assert network.training
    assert network.bn1.num_batches_tracked == 0
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet17", "did you mean .*resnet18"),
        ("ResNet18", "did you mean resnet18"),
        ("efficientnet-b0", "did you mean efficientnet_b0"),
        ("quantized_resnet18", "did you mean"),
        ("fcn_resnet50", "Unknown train.architecture .fcn_resnet50."),
        ("zzz", "expected timm/<name> or one of alexnet, .*wide_resnet50_2"),
    ],
)
def test_unknown_architecture_is_rejected_with_similar_names(name, message):
    with pytest.raises(InputError, match=message):
        build_network(name, 2)


def test_misspelled_timm_architecture_is_rejected_with_similar_names():
    pytest.importorskip("timm")
    with pytest.raises(InputError, match="did you mean .*timm/tf_efficientnet_lite0"):
        build_network("timm/tf_efficientnet_lite_0", 2)
    with pytest.raises(InputError, match=r"timm\.list_models\(\) lists all of them"):
        build_network("timm/hf-hub:someone/something", 2)


def test_error_without_timm_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(InputError, match=r"pip install .*\[timm\]"):
        build_network("timm/tf_efficientnet_lite0", 2)


def test_weights_of_another_architecture_are_rejected_with_the_mismatched_tensors(
    resnet_file, tmp_path
):
    with pytest.raises(InputError) as error:
        make_initial("squeezenet1_1", resnet_file)
    assert "contains no weights of squeezenet1_1" in str(error.value)
    assert "50 tensors of 52 are missing (e.g. features.0.weight)" in str(error.value)
    assert "122 tensors of 122 are unexpected (e.g. conv1.weight)" in str(error.value)


@pytest.fixture
def own_model():
    return trained_model(
        classes=CLASSES,
        preprocessing=Preprocessing("stretch", 64, 32, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
        state_dict=build_network("resnet18", 3).state_dict(),
    )


def written(model, path, **changes):
    write_model(model.model_copy(update=changes), path)
    return str(path)


def test_own_model_is_loaded_with_its_head_and_its_normalization(own_model, tmp_path):
    initial = make_initial(weights=written(own_model, tmp_path / "model.pth"))
    assert all(
        torch.equal(value, own_model.state_dict[name])
        for name, value in initial.network.state_dict().items()
    )
    assert initial.origin.head == "loaded"
    assert (initial.mean, initial.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_head_of_a_model_for_other_classes_is_not_loaded(own_model, tmp_path):
    other_order = ("nv", "mel", "scc")
    initial = make_initial(weights=written(own_model, tmp_path / "m.pth", classes=other_order))
    assert initial.origin.head == "new"
    assert not torch.equal(initial.network.fc.weight, own_model.state_dict["fc.weight"])
    assert torch.equal(initial.network.conv1.weight, own_model.state_dict["conv1.weight"])


def change_weight(content):
    content["state_dict"]["fc.bias"] += 1


def reverse_classes(content):
    content["classes"].reverse()


@pytest.mark.parametrize("change", [change_weight, reverse_classes])
def test_changed_model_is_rejected_as_initial_weights(own_model, tmp_path, change):
    path = written(own_model, tmp_path / "model.pth")
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    with pytest.raises(InputError, match=r"has changed since it was saved.*Set train\.weights to"):
        make_initial(weights=path)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(64, dtype=torch.int32), r"the tensor bn1\.weight cannot .* \(int32"),
        (torch.full((64,), float("nan")), r"1 tensors contain NaN .* \(e\.g\. bn1\.weight\)"),
    ],
)
def test_weights_that_are_no_finite_numbers_are_rejected(tmp_path, tensor, message):
    torch.save(
        build_network("resnet18", 2).state_dict() | {"bn1.weight": tensor}, tmp_path / "w.pt"
    )
    with pytest.raises(InputError, match=message):
        make_initial(weights=tmp_path / "w.pt")


def test_error_of_a_model_of_another_architecture_has_both_names(own_model, tmp_path):
    path = written(own_model, tmp_path / "model.pth", architecture="resnet34")
    with pytest.raises(InputError, match=r"another architecture \(resnet34, not resnet18\)"):
        make_initial(weights=path)


def test_origin_describes_the_source_of_the_weights(resnet_file):
    origin = make_initial(weights=resnet_file).origin
    file = resolve_initial_weights(
        architecture="resnet18", weights=str(resnet_file), weights_sha256=None
    )
    assert origin == WeightsOrigin(
        weights="resnet18.pth", file="resnet18.pth", sha256=file.sha256, head="new"
    )
    assert make_initial().origin == WeightsOrigin(weights="none")


def test_normalization_is_that_of_the_published_weights():
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    initial = make_initial()
    assert (initial.mean, initial.std) == imagenet
    network = on_meta_device(build_network, "efficientnet_v2_l", 2)
    assert networks._input_normalization(network, "efficientnet_v2_l") == ((0.5,) * 3, (0.5,) * 3)


def test_unavailable_device_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        InputError, match=r"train\.device=cuda is not available.*available device:.*cpu"
    ):
        choose_device("cuda")


def test_auto_selects_the_best_available_device(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"


def test_head_of_zeros_and_its_norm_are_not_changed():
    """Some heads of timm have zero weights (standard deviation 0), and some contain a norm."""
    layers = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 3))
    nn.init.zeros_(layers[1].weight)
    networks._init_head_near_zero(layers)
    assert (layers[1].weight == 0).all()
    assert (layers[1].bias == 0).all()
    assert (layers[0].weight == 1).all()


@pytest.mark.parametrize("name", ["resnet18", "timm/tf_efficientnet_lite0"])
def test_conversion_to_sync_batchnorm_does_not_change_outputs(name):
    """Norms of timm contain their activation, which must not be lost."""
    if name.startswith("timm/"):
        pytest.importorskip("timm", reason="the extra timm is not installed")
    torch.manual_seed(0)
    network, images = build_network(name, 3).eval(), torch.randn(2, 3, 64, 64)
    names = list(network.state_dict())
    with torch.inference_mode():
        before = network(images)
        converted = to_sync_batchnorm(network)
        assert any(isinstance(module, nn.SyncBatchNorm) for module in converted.modules())
        torch.testing.assert_close(converted(images), before)
    assert list(converted.state_dict()) == names


def test_origin_contains_the_images_of_all_models_before(own_model, tmp_path):
    """Weights that were trained on a test image two trainings ago have still memorized it."""
    before = WeightsOrigin(weights="first.pth", train_image_ids=("a",), val_image_ids=("b",))
    path = written(
        own_model,
        tmp_path / "second.pth",
        train_image_ids=("c", "b"),
        val_image_ids=("d",),
        initial_weights=before,
    )
    origin = make_initial(weights=path).origin
    assert origin.train_image_ids == ("a", "b", "c")
    assert origin.val_image_ids == ("b", "d")
