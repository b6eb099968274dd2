import torch

from skin_lesions import devices
from skin_lesions.devices import make_ready

CPU = torch.device("cpu")


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
