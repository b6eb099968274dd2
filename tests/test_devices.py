import pytest
import torch

from skin_lesions import devices
from skin_lesions.devices import choose_precision, make_ready
from skin_lesions.errors import InputError

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
def test_a_gpu_gets_the_precision_it_is_made_for(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert choose_precision(CUDA, "auto") == expected


@pytest.mark.parametrize("device", [CPU, MPS])
def test_elsewhere_it_is_float32_and_half_precision_is_refused(device):
    assert choose_precision(device, "auto") == torch.float32
    with pytest.raises(InputError, match=f"needs an NVIDIA GPU; on {device.type} take auto"):
        choose_precision(device, "bfloat16")


def test_what_is_asked_for_is_taken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    assert choose_precision(CUDA, "float32") == torch.float32
    assert choose_precision(CUDA, "float16") == torch.float16


def test_threads_are_at_most_the_cores_of_this_process(monkeypatch):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(7)
        monkeypatch.setattr(devices, "cores", lambda: 3)
        make_ready(CPU)
        assert torch.get_num_threads() == 3
        torch.set_num_threads(2)  # fewer, by wish
        make_ready(CPU)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
