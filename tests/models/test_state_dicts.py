"""Files of weights: nothing in them is run, and each tensor must fit."""

import pickle
import random

import pytest
import torch
from torch import nn

from skin_lesions.core.errors import InputError
from skin_lesions.models.state_dicts import (
    extract_state_dict,
    load_compatible_state_dict,
    load_tensors,
    rename_by_position,
)

HEAD = {"2.weight", "2.bias"}


def network(classes=3, width=4):
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.Linear(width, classes))


def saved(content, path):
    torch.save(content, path)
    return path


def filled(state, into=None):
    into = into or network()
    return into, load_compatible_state_dict(
        into, extract_state_dict(state, "weights.pth"), HEAD, "weights.pth does not fit"
    )


def misfit(state):
    with pytest.raises(InputError) as refused:
        filled(state)
    return str(refused.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path):
    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    path = tmp_path / "weights.pth"
    for write in (
        lambda: torch.save({"state_dict": Malicious()}, path),
        lambda: path.write_bytes(pickle.dumps(Malicious())),
    ):
        write()
        with pytest.raises(
            InputError, match=r"weights\.pth can't be read.*would run code.*do that"
        ):
            load_tensors(path, "do that")
    assert not (tmp_path / "was_run").exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("is_zip", [True, False])
def test_damaged_files_are_refused_in_words_whatever_the_damage(tmp_path, is_zip):
    path = tmp_path / "weights.pth"
    torch.save(network().state_dict(), path, _use_new_zipfile_serialization=is_zip)
    whole, chance = path.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(400):
        damaged = bytearray(whole[: chance.choice([len(whole), chance.randrange(len(whole))])])
        for _ in range(min(len(damaged), 4)):
            damaged[chance.randrange(min(400, len(damaged)))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            load_tensors(path, "get it anew")
        except InputError:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x02e", b"\x80\x02J", b"\x80\x02hR", b"\x80\x02c\x81M", b"\x80\x02}]}s"]
)
def test_each_way_in_which_a_pickle_can_break_is_told_in_words(tmp_path, data):
    (tmp_path / "weights.pth").write_bytes(data)
    with pytest.raises(InputError, match=r"weights\.pth can't be read"):
        load_tensors(tmp_path / "weights.pth", "get it anew")


def test_tensors_are_found_below_the_usual_names_and_prefixes():
    state = network().state_dict()
    prefixed = {f"module.{name}": value for name, value in state.items()}
    for content in (state, {"state_dict": state, "epoch": 3}, {"model": prefixed}, prefixed):
        assert extract_state_dict(content, "weights.pth").keys() == state.keys()


def test_a_part_that_is_called_module_keeps_its_name():
    state = {"module.weight": torch.zeros(1), "other.weight": torch.zeros(1)}
    assert extract_state_dict(state, "weights.pth").keys() == state.keys()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "holds no weights: .* got list"),
        ({}, "holds no weights"),
        ({"epoch": 3}, "1 of 1 entries are no tensors .e.g. epoch"),
        ({"a": torch.zeros(1), "lr\x1b[2J": 0.1}, r"1 of 2 entries are no tensors .e.g. lr\\x1b"),
    ],
)
def test_what_is_no_state_dict_says_what_it_is(content, words):
    with pytest.raises(InputError, match=words):
        extract_state_dict(content, "weights.pth")


def test_all_that_fits_goes_in():
    state = network().state_dict()
    into, whole = filled(state)
    assert whole
    assert all(torch.equal(value, state[name]) for name, value in into.state_dict().items())


def test_a_head_for_other_classes_stays_out_and_the_own_one_as_it_was():
    state, into = network(classes=5).state_dict(), network()
    before = into[2].weight.clone()
    into, whole = filled(state, into)
    assert not whole
    assert torch.equal(into[2].weight, before)
    assert torch.equal(into[0].weight, state["0.weight"])


def test_a_file_without_a_head_is_enough():
    state = {name: v for name, v in network().state_dict().items() if name not in HEAD}
    assert not filled(state)[1]


def test_counts_of_batches_may_be_absent():
    state = network().state_dict()
    del state["1.num_batches_tracked"]
    assert filled(state)[1]


def test_what_does_not_fit_is_counted_with_examples():
    state = network().state_dict()
    state["first.weight"] = state.pop("0.weight")
    state["0.bias"] = torch.zeros(9)
    assert misfit(state) == (
        "weights.pth does not fit: 1 tensors of 9 are missing (e.g. 0.weight), 1 tensors of 9 are "
        "unknown to it (e.g. first.weight), 1 tensors have another shape (e.g. 0.bias)"
    )


def test_a_head_for_other_features_does_not_fit():
    assert "1 tensors have another shape (e.g. 2.weight)" in misfit(
        network().state_dict() | {"2.weight": torch.zeros(3, 7)}
    )


def test_a_part_that_is_absent_never_stays_random():
    state = network().state_dict()
    del state["1.running_mean"]
    assert "1 tensors of 9 are missing (e.g. 1.running_mean)" in misfit(state)


def by_position(theirs):
    theirs = {f"their_{name}": value for name, value in theirs.state_dict().items()}
    return theirs, rename_by_position(extract_state_dict(theirs, "weights.pth"), network(), HEAD)


def test_tensors_of_other_names_take_ours_by_position_when_every_shape_agrees():
    theirs, state = by_position(network())
    into, whole = filled(state)
    assert whole
    assert torch.equal(into[0].weight, theirs["their_0.weight"])


def test_by_position_too_the_head_may_be_for_other_classes():
    theirs, state = by_position(network(classes=1000))
    into, whole = filled(state)
    assert not whole
    assert torch.equal(into[0].weight, theirs["their_0.weight"])


@pytest.mark.parametrize("other", [network(width=5), network()[:2]])
def test_nothing_is_renamed_when_one_shape_or_the_number_differs(other):
    theirs, state = by_position(other)
    assert state.keys() == theirs.keys()


def three_equal_layers():
    return nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))


def test_what_has_our_names_keeps_them_whatever_its_order():
    state = three_equal_layers().state_dict()
    turned = {name: state[name] for part in "210" for name in state if name.startswith(part)}
    found = rename_by_position(
        extract_state_dict(turned, "weights.pth"), three_equal_layers(), HEAD
    )
    assert all(torch.equal(found[name], state[name]) for name in state)
