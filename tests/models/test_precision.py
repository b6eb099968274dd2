import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, cosine_similarity, cross_entropy
from torchvision.models import get_model

from skin_lesions.models.precision import autocast, choose_precision, warn_if_slow

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        pytest.param((6, 1), torch.float32, id="GTX 1080"),
        pytest.param((7, 0), torch.float16, id="V100"),
        pytest.param((7, 5), torch.float16, id="T4"),
        pytest.param((8, 0), torch.bfloat16, id="A100"),
        pytest.param((9, 0), torch.bfloat16, id="H100"),
    ],
)
def test_auto_selects_the_precision_of_the_tensor_cores_of_a_gpu(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert choose_precision(CUDA, "auto") == expected


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        pytest.param({"amx_bf16": True}, torch.bfloat16, id="AMX"),
        pytest.param(
            {"cpu_name": "AMD EPYC 9R14", "avx512_bf16": True}, torch.bfloat16, id="AMD, AVX-512"
        ),
        pytest.param({"cpu_name": "AMD EPYC 7R13", "avx512_bf16": False}, torch.float32, id="AMD"),
        pytest.param(
            {"cpu_name": "Intel Xeon", "avx512_bf16": True}, torch.float32, id="Intel, AVX-512 only"
        ),
        pytest.param({}, torch.float32, id="unknown"),
    ],
)
def test_auto_selects_bfloat16_on_a_cpu_only_where_it_was_measured_to_be_faster(
    monkeypatch, capabilities, expected
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert choose_precision(CPU, "auto") == expected


SLOW = [
    pytest.param(CPU, (0, 0), "bfloat16", id="CPU"),
    pytest.param(MPS, (0, 0), "float16", id="MPS"),
    pytest.param(CUDA, (6, 1), "float16", id="GTX 1080"),
    pytest.param(CUDA, (7, 5), "bfloat16", id="T4"),
]
FAST = [
    pytest.param(CPU, (0, 0), "float32", id="CPU"),
    pytest.param(MPS, (0, 0), "auto", id="MPS"),
    pytest.param(CUDA, (7, 5), "float16", id="T4"),
    pytest.param(CUDA, (8, 0), "bfloat16", id="A100"),
    pytest.param(CUDA, (8, 0), "float16", id="A100 in float16"),
]


@pytest.fixture
def capability(monkeypatch, request):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: request.param)


@pytest.mark.parametrize(("device", "capability", "requested"), SLOW, indirect=["capability"])
def test_requested_precision_is_used_where_it_is_slow_with_a_warning(
    device, capability, requested, caplog
):
    warn_if_slow(device, requested)
    assert f"train.precision={requested} may be slower than float32" in caplog.text
    assert f"this {device.type}" in caplog.text
    assert choose_precision(device, requested) == getattr(torch, requested)


@pytest.mark.parametrize(("device", "capability", "requested"), FAST, indirect=["capability"])
def test_no_warning_is_logged_for_a_fast_precision(device, capability, requested, caplog):
    warn_if_slow(device, requested)
    assert not caplog.text


def test_requested_precision_is_returned(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    assert choose_precision(CUDA, "float32") == torch.float32
    assert choose_precision(CUDA, "float16") == torch.float16


def test_cpu_computes_dense_layers_in_bfloat16_and_depthwise_layers_in_float32():
    network = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1))
    weights = [layer.weight for layer in network]
    records = []
    for layer in network:
        layer.register_forward_hook(lambda _, args, out: records.append((args[0], out)))
    images = torch.randn(2, 4, 8, 8)
    with autocast(CPU, torch.bfloat16):
        network(images)
    (_, first), (_, second), (_, third) = records
    assert [out.dtype for out in (first, second, third)] == [torch.bfloat16] * 3
    exact = conv2d(first.float(), weights[1], network[1].bias, groups=4)
    assert torch.equal(second, exact.to(torch.bfloat16))


def test_groups_of_a_convolution_are_recognized_by_position_and_by_keyword():
    """Fails if another version of torch moves ``groups`` to another position."""
    signature = (conv2d.__doc__ or "").strip().partition(" ->")[0]
    assert signature == (
        "conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1)"
    )
    torch.manual_seed(0)
    images, depthwise, dense = (
        torch.randn(1, 4, 8, 8),
        torch.randn(4, 1, 3, 3),
        torch.randn(4, 4, 1, 1),
    )
    exact = conv2d(images, depthwise, groups=4).to(torch.bfloat16)
    rounded = conv2d(images.bfloat16(), depthwise.bfloat16(), groups=4)
    assert not torch.equal(exact, rounded)
    with autocast(CPU, torch.bfloat16):
        by_keyword = conv2d(images, depthwise, groups=4)
        by_position = conv2d(images, depthwise, None, 1, 0, 1, 4)
        ungrouped = conv2d(images, dense, None, 1, 0, 1, 1)
    # Grouped convolutions return the type of their inputs.
    assert torch.equal(by_keyword, conv2d(images, depthwise, groups=4))
    assert torch.equal(by_position, by_keyword)
    assert ungrouped.dtype == torch.bfloat16


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v3_small"])
def test_bfloat16_gradients_on_a_cpu_equal_float32_except_for_rounding(architecture):
    torch.manual_seed(0)
    network = get_model(architecture, weights=None, num_classes=3).eval()
    images = torch.randn(4, 3, 64, 64)
    gradients = {}
    for precision in (torch.float32, torch.bfloat16):
        network.zero_grad()
        with autocast(CPU, precision):
            logits = network(images)
        cross_entropy(logits.float(), torch.tensor([0, 1, 2, 0])).backward()
        gradients[precision] = torch.cat([p.grad.flatten() for p in network.parameters()])
    exact, rounded = gradients.values()
    assert exact.dtype == rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert cosine_similarity(exact, rounded, dim=0) > 0.99


@pytest.mark.parametrize(("size", "dtype"), [(1, torch.float32), (4, torch.bfloat16)])
def test_kernel_that_is_larger_than_its_input_is_computed_in_float32(size, dtype):
    """Its bfloat16 gradient depends on the content of unused memory on CPUs with AVX-512."""
    images, weight = torch.randn(2, 8, size, size), torch.randn(8, 8, 3, 3)
    exact = conv2d(images, weight, padding=1)
    with autocast(CPU, torch.bfloat16):
        outputs = conv2d(images, weight, padding=1)
    assert outputs.dtype == dtype
    assert torch.equal(outputs, exact) == (dtype == torch.float32)
