import copy
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from skin_lesions.config.checks import check_parameters
from skin_lesions.config.source import Source
from skin_lesions.core.errors import InputError

FOLDER = Path(__file__).parents[2] / "conf" / "base" / "parameters"
BASE = OmegaConf.to_container(OmegaConf.merge(*map(OmegaConf.load, sorted(FOLDER.glob("*.yml")))))


def changed(**values):
    parameters = copy.deepcopy(BASE)
    for path, value in values.items():
        *groups, last = path.split("__")
        place = parameters
        for group in groups:
            place = place[group]
        place[last] = value
    return parameters


def told(**values):
    with pytest.raises(InputError) as refused:
        check_parameters(changed(**values))
    return str(refused.value).splitlines()[1:-1]


def test_the_parameters_that_ship_are_good():
    check_parameters(BASE)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("train__epochs", 0, "train.epochs: must be at least 1, got 0"),
        ("train__epochs", "many", "train.epochs: must be a whole number, got 'many'"),
        ("train__epochs", 2.5, "train.epochs: must be a whole number, got 2.5"),
        ("train__epochs", True, "train.epochs: can't be true or false, got True"),
        ("train__epochs", None, "train.epochs: must be a whole number, got None"),
        (
            "train__optimizer__learning_rate",
            0,
            "train.optimizer.learning_rate: must be more than 0.0, got 0",
        ),
        (
            "train__optimizer__learning_rate",
            "fast",
            "train.optimizer.learning_rate: must be a number, got 'fast'",
        ),
        (
            "train__optimizer__weight_decay",
            float("nan"),
            "train.optimizer.weight_decay: must be a finite number, got nan",
        ),
        (
            "train__schedule__warmup_fraction",
            1,
            "train.schedule.warmup_fraction: must be less than 1.0, got 1",
        ),
        ("train__compile", 7, "train.compile: must be true or false, got 7"),
        (
            "train__optimizer__name",
            "sgd",
            "train.optimizer.name: must be 'adamw' or 'adam', got 'sgd'",
        ),
        (
            "ingest__stored_image_size",
            4096,
            "ingest.stored_image_size: must be at most 1024, got 4096",
        ),
        (
            "train__weights_sha256",
            "f37072fd",
            "train.weights_sha256: must be 64 digits from 0-9 and a-f, got 'f37072fd'",
        ),
        ("train__weights", "", "train.weights: must be a text, got ''"),
        ("source__folder", ["a"], "source.folder: must be a text, got ['a']"),
        ("source__filename_pattern", "", "source.filename_pattern: must be a text, got ''"),
        (
            "source__filename_pattern",
            r"^(P\d+_",
            r"source.filename_pattern: ^(P\d+_ is no regular expression: missing ), unterminated "
            "subpattern at position 1",
        ),
        (
            "source__filename_pattern",
            "(mel|nv)_(P[0-9]+)",
            "source.filename_pattern: (mel|nv)_(P[0-9]+) captures 2 parts; name the one that is the key, as in "
            r"(?P<key>P\d+), or let the others capture nothing: (?:...)",
        ),
        ("train__epoch", 3, "train.epoch: no such parameter; did you mean epochs?"),
        (
            "source__kaggle__versoin",
            1,
            "source.kaggle.versoin: no such parameter; did you mean version?",
        ),
        (
            "audit__zzz",
            1,
            "audit.zzz: no such parameter; there are max_examples, example_pairs_per_type, max_probe_images, bootstrap_replicates, seed, "
            "max_interval_width, fail_on",
        ),
        ("trian", {"epochs": 1}, "trian: no such group; did you mean train?"),
        ("train", 5, "train: must be a group of parameters, got 5"),
        ("train", None, "train: must be a group of parameters, got None"),
        ("source__kaggle", None, "source.kaggle: must be a group of parameters, got None"),
        (
            "train__augmentation__max_crop_aspect_ratio",
            0.5,
            "train.augmentation.max_crop_aspect_ratio: must be at least 1.0, got 0.5",
        ),
        (
            "split__fractions__train",
            0.9,
            "split.fractions: train, val and test must sum to 1, they sum to 1.2",
        ),
    ],
)
def test_a_bad_value_is_told_with_its_name_what_is_right_and_what_came(path, value, words):
    assert told(**{path: value}) == [f"  {words}"]


def test_all_problems_are_told_at_once():
    problems = told(trian={}, train__epochs=0, ingest=5, split__seed=-1, report__colour="red")
    assert [line.split(":")[0].strip() for line in problems] == [
        "trian",
        "ingest",
        "split.seed",
        "train.epochs",
        "report.colour",
    ]


def test_a_missing_parameter_is_named():
    parameters = copy.deepcopy(BASE)
    del parameters["train"]["epochs"]
    with pytest.raises(InputError, match=r"train\.epochs: is missing"):
        check_parameters(parameters)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"train__image_size": 512}, "set ingest.stored_image_size to 608 or more"),
        (
            {"train__eval_size_ratio": 2},
            "320 pixels (for testing, see train.eval_size_ratio) can't be had",
        ),
        ({"train__gradient_accumulation_steps": 33}, "a batch of 32 can't be had in 33 parts"),
        ({"train__frozen_backbone_epochs": 16}, "set it to 15 or less"),
        ({"train__num_processes": 2}, "2 need train.launcher=local (or ray)"),
        ({"source__kind": "demo", "source__folder": "/x"}, "set source.kind=folder"),
        (
            {"source__kind": "demo", "source__filename_pattern": "^P"},
            "demo, which does not read it",
        ),
        ({"source__label_column": "dx"}, "source.metadata, which is not set"),
        ({"source__metadata_key": "id"}, "source.metadata, which is not set"),
        ({"train__weights": "none", "train__weights_sha256": "0" * 64}, "nothing is read"),
        ({"train__weights": "http://host/a.pth"}, "take https://, or set train.weights_sha256"),
    ],
)
def test_values_that_contradict_each_other_are_told(values, words):
    (problem,) = told(**values)
    assert words in problem


@pytest.mark.parametrize("pattern", ["^P", r"^(P\d+)_", r"(mel|nv)_(?P<key>P\d+)", "(?:a|b)(c)", 7])
def test_a_pattern_of_names_may_have_one_group_or_one_named_key(pattern):
    check_parameters(changed(source__filename_pattern=pattern))


def test_numbers_in_quotes_are_numbers():
    check_parameters(changed(train__image_size="96", ingest__stored_image_size="112"))
    assert "112 or more" in told(train__image_size="96", ingest__stored_image_size="96")[0]


def test_a_folder_named_by_a_number_is_text():
    check_parameters(changed(source__kind="folder", source__folder=2019))


@pytest.mark.parametrize(
    ("given", "paths"),
    [
        (None, ()),
        ("a.csv", ("a.csv",)),
        (["a.csv", "b.csv"], ("a.csv", "b.csv")),
        ({"2": "b.csv", "0": "a.csv", "10": "c.csv"}, ("a.csv", "b.csv", "c.csv")),
        (2019, ("2019",)),
    ],
)
def test_metadata_may_be_one_table_or_several(given, paths):
    assert Source.model_validate(changed(source__metadata=given)["source"]).metadata == paths


@pytest.mark.parametrize("given", [{"first": "a.csv"}, [["a.csv"]], [None]])
def test_metadata_that_are_no_paths_are_refused(given):
    (problem,) = told(source__metadata=given)
    assert problem.startswith("  source.metadata.0: must be a text, got ")
