"""State dicts: code in weights files is never executed, and each tensor must match."""

import argparse
import os
import pickle
import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.models.state_dicts import (
    check_tensor_values,
    extract_state_dict,
    load_compatible_state_dict,
    load_tensors,
)

HEAD = {"2.weight", "2.bias"}


def network(classes=3, width=4):
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.Linear(width, classes))


def saved(content, path):
    torch.save(content, path)
    return path


def unreadable(path):
    """Return the error message of a file that cannot be loaded."""
    with pytest.raises(InputError) as error:
        load_tensors(path, "Remedy")
    assert str(error.value).endswith(". Remedy")
    return str(error.value)


def load_into(state, into=None):
    into = into or network()
    return into, load_compatible_state_dict(
        into, extract_state_dict(state, "weights.pth"), HEAD, "weights.pth does not match"
    )


def mismatch_message(state):
    with pytest.raises(InputError) as error:
        load_into(state)
    return str(error.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_malicious_pickle_is_rejected_and_not_executed(tmp_path):
    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    path = saved({"state_dict": Malicious()}, tmp_path / "weights.pth")
    assert "contains code or Python objects (io.open), and loading these" in unreadable(path)
    path.write_bytes(pickle.dumps(Malicious()))
    assert "weights.pth is not a readable PyTorch file: it is damaged, or" in unreadable(path)
    assert "(code in files is never executed). Remedy" in unreadable(path)
    assert not (tmp_path / "was_run").exists()


def script_module(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.script(nn.Linear(2, 2)).save(path)


@pytest.mark.filterwarnings("ignore:.*TorchScript archive")
@pytest.mark.parametrize(
    ("write", "found"),
    [
        (lambda path: torch.save({"model": nn.Linear(2, 2)}, path), "torch.nn.modules.linear"),
        (lambda path: torch.save({"args": argparse.Namespace()}, path), "argparse.Namespace"),
        (lambda path: torch.save({"lr": np.float64(1)}, path), "numpy._core.multiarray.scalar"),
        (lambda path: torch.save(os.system, path), "posix.system"),
        (script_module, "TorchScript"),
    ],
)
def test_error_of_a_file_with_code_says_how_to_convert_it_and_not_how_to_run_it(
    tmp_path, write, found
):
    """The text of torch proposes weights_only=False and add_safe_globals."""
    write(str(tmp_path / "weights.pth"))
    message = unreadable(tmp_path / "weights.pth")
    assert f"contains code or Python objects ({found}" in message
    assert "loading these could execute code. Expected only tensors. To convert it, run" in message
    assert "torch.save(network.state_dict(), path)" in message
    for advice in ("weights_only", "safe_globals", "trust"):
        assert advice not in message


@pytest.mark.parametrize("data", [b"<html>", b"\x1f\x8b\x08", b"PK\x03\x04", b"\x89PNG\r\n"])
def test_error_of_a_file_of_another_program_does_not_propose_to_execute_it(tmp_path, data):
    (tmp_path / "weights.pth").write_bytes(data)
    message = unreadable(tmp_path / "weights.pth")
    assert "is not a readable PyTorch file" in message
    assert "weights_only" not in message


def test_error_of_a_safetensors_file_says_how_to_convert_it(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    message = unreadable(tmp_path / "m.safetensors")
    assert "torch.save(safetensors.torch.load_file('m.safetensors'), 'weights.pth')" in message


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("is_zip", [True, False])
def test_any_damaged_file_is_rejected_with_an_input_error(tmp_path, is_zip):
    path = tmp_path / "weights.pth"
    torch.save(network().state_dict(), path, _use_new_zipfile_serialization=is_zip)
    complete, rng = path.read_bytes(), random.Random(0)
    rejected = 0
    for _ in range(400):
        damaged = bytearray(complete[: rng.choice([len(complete), rng.randrange(len(complete))])])
        for _ in range(min(len(damaged), 4)):
            damaged[rng.randrange(min(400, len(damaged)))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            load_tensors(path, "Remedy")
        except InputError:
            rejected += 1
    assert rejected > 200


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x02e", b"\x80\x02J", b"\x80\x02hR", b"\x80\x02c\x81M", b"\x80\x02}]}s"]
)
def test_each_error_of_a_damaged_pickle_becomes_an_input_error(tmp_path, data):
    (tmp_path / "weights.pth").write_bytes(data)
    with pytest.raises(InputError, match=r"weights\.pth is not a readable PyTorch file"):
        load_tensors(tmp_path / "weights.pth", "Remedy")


def test_tensors_are_found_under_the_usual_keys_and_prefixes():
    state = network().state_dict()
    prefixed = {f"module.{name}": value for name, value in state.items()}
    for content in (state, {"state_dict": state, "epoch": 3}, {"model": prefixed}, prefixed):
        assert extract_state_dict(content, "weights.pth").keys() == state.keys()


def test_submodule_named_module_keeps_its_name():
    state = {"module.weight": torch.zeros(1), "other.weight": torch.zeros(1)}
    assert extract_state_dict(state, "weights.pth").keys() == state.keys()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], r"contains no weights\. .* got list"),
        ({}, "contains no weights"),
        ({"epoch": 3}, "1 of 1 entries are not tensors .e.g. epoch"),
        ({"a": torch.zeros(1), "lr\x1b[2J": 0.1}, r"1 of 2 entries are not tensors .e.g. lr\\x1b"),
    ],
)
def test_error_of_content_that_is_not_a_state_dict_describes_the_content(content, message):
    with pytest.raises(InputError, match=message):
        extract_state_dict(content, "weights.pth")


def test_matching_tensors_are_loaded():
    state = network().state_dict()
    into, has_head = load_into(state)
    assert has_head
    assert all(torch.equal(value, state[name]) for name, value in into.state_dict().items())


def test_head_for_other_classes_is_not_loaded_and_the_own_head_does_not_change():
    state, into = network(classes=5).state_dict(), network()
    before = into[2].weight.clone()
    into, has_head = load_into(state, into)
    assert not has_head
    assert torch.equal(into[2].weight, before)
    assert torch.equal(into[0].weight, state["0.weight"])


def test_file_without_a_head_is_accepted():
    state = {name: v for name, v in network().state_dict().items() if name not in HEAD}
    assert not load_into(state)[1]


def test_batch_counts_may_be_missing():
    state = network().state_dict()
    del state["1.num_batches_tracked"]
    assert load_into(state)[1]


def test_mismatched_tensors_are_counted_with_examples():
    state = network().state_dict()
    state["first.weight"] = state.pop("0.weight")
    state["0.bias"] = torch.zeros(9)
    assert mismatch_message(state) == (
        "weights.pth does not match: 1 tensors of 9 are missing (e.g. 0.weight), "
        "1 tensors of 9 are unexpected (e.g. first.weight), "
        "1 tensors have a different shape (e.g. 0.bias)"
    )


def test_head_for_another_number_of_features_is_rejected():
    assert "1 tensors have a different shape (e.g. 2.weight)" in mismatch_message(
        network().state_dict() | {"2.weight": torch.zeros(3, 7)}
    )


def test_missing_tensor_is_never_left_random():
    state = network().state_dict()
    del state["1.running_mean"]
    assert "1 tensors of 9 are missing (e.g. 1.running_mean)" in mismatch_message(state)


def values_message(changes):
    state = extract_state_dict(network().state_dict() | changes, "weights.pth")
    with pytest.raises(InputError) as error:
        check_tensor_values(state, network(), "weights.pth")
    return str(error.value)


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.bool, torch.complex64])
def test_integer_and_complex_weights_are_rejected_with_name_and_type(dtype):
    """load_state_dict would convert them: integers below 1 to 0, complex numbers to real ones."""
    message = values_message({"0.weight": torch.zeros(4, 2, dtype=dtype)})
    name = str(dtype).removeprefix("torch.")
    assert f"weights.pth: the tensor 0.weight cannot be used as weights ({name}, " in message
    assert "Expected a dense tensor of float16, bfloat16, float32 or float64" in message


def test_sparse_and_meta_tensors_are_rejected():
    values = torch.zeros(4, 2)
    assert "(float32, sparse_coo, cpu)" in values_message({"0.weight": values.to_sparse()})
    assert "(float32, strided, meta)" in values_message({"0.weight": values.to("meta")})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_weights_are_converted(dtype):
    """Complete state dicts are often converted, including the counters of batch norms."""
    state = {name: value.to(dtype) for name, value in network().state_dict().items()}
    check_tensor_values(state, network(), "weights.pth")
    into, _ = load_into(state)
    torch.testing.assert_close(into[0].weight.detach(), state["0.weight"].float())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
@pytest.mark.parametrize("name", ["0.weight", "1.running_var"])
def test_weights_that_are_not_finite_are_rejected_with_the_name_of_the_tensor(name, value):
    """1e300 in float64 is infinite in float32."""
    tensor = network().state_dict()[name].double()
    tensor.view(-1)[-1] = value
    assert (
        f"weights.pth: 1 tensors contain NaN or infinite values (e.g. {name}). Expected finite"
    ) in values_message({name: tensor})


def test_values_of_tensors_that_are_not_loaded_are_not_checked():
    state = network().state_dict() | {"2.weight": torch.full((9, 4), float("nan"))}
    check_tensor_values(extract_state_dict(state, "weights.pth"), network(), "weights.pth")
