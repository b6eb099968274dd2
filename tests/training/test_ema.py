import torch
from torch import nn

from skin_lesions.training.ema import ModelEma


def network():
    return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))


def test_ema_averages_weights_and_batch_statistics():
    trained = network()
    ema = ModelEma(trained)
    expected = {name: value.clone() for name, value in ema.network.state_dict().items()}
    for value in (1.0, 5.0, -2.0):
        with torch.no_grad():
            for tensor in (*trained.parameters(), trained[1].running_mean, trained[1].running_var):
                tensor.fill_(value)
        ema.update(0.9)
        for name, tensor in expected.items():
            if name != "1.num_batches_tracked":
                tensor.mul_(0.9).add_(0.1 * value)
    torch.testing.assert_close(dict(ema.network.state_dict()), expected)


def test_ema_network_is_a_separate_copy_without_gradients():
    trained = network()
    ema = ModelEma(trained)
    before = ema.network[0].weight.clone()
    with torch.no_grad():
        trained[0].weight.add_(1)
    assert torch.equal(ema.network[0].weight, before)
    assert not any(p.requires_grad for p in ema.network.parameters())
    assert not ema.network.training
    assert all(p.requires_grad for p in trained.parameters())


def test_ema_continues_from_a_loaded_state():
    trained = network()
    ema = ModelEma(trained)
    ema.network.load_state_dict({k: v * 0 for k, v in ema.network.state_dict().items()})
    with torch.no_grad():
        trained[0].weight.fill_(1)
    ema.update(0.75)
    torch.testing.assert_close(ema.network[0].weight, torch.full((2, 2), 0.25))
