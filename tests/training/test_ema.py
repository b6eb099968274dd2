import torch
from torch import nn

from skin_lesions.training.ema import ModelEma


def network():
    return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))


def test_the_average_follows_weights_and_batch_statistics():
    moving = network()
    average = ModelEma(moving)
    expected = {name: value.clone() for name, value in average.network.state_dict().items()}
    for value in (1.0, 5.0, -2.0):
        with torch.no_grad():
            for tensor in (*moving.parameters(), moving[1].running_mean, moving[1].running_var):
                tensor.fill_(value)
        average.update(0.9)
        for name, tensor in expected.items():
            if name != "1.num_batches_tracked":
                tensor.mul_(0.9).add_(0.1 * value)
    torch.testing.assert_close(dict(average.network.state_dict()), expected)


def test_the_averaged_network_is_its_own_and_does_not_learn():
    moving = network()
    average = ModelEma(moving)
    before = average.network[0].weight.clone()
    with torch.no_grad():
        moving[0].weight.add_(1)
    assert torch.equal(average.network[0].weight, before)
    assert not any(p.requires_grad for p in average.network.parameters())
    assert not average.network.training
    assert all(p.requires_grad for p in moving.parameters())


def test_after_loading_a_state_it_goes_on_from_there():
    moving = network()
    average = ModelEma(moving)
    average.network.load_state_dict({k: v * 0 for k, v in average.network.state_dict().items()})
    with torch.no_grad():
        moving[0].weight.fill_(1)
    average.update(0.75)
    torch.testing.assert_close(average.network[0].weight, torch.full((2, 2), 0.25))
