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
        target = parameters
        for group in groups:
            target = target[group]
        target[last] = value
    return parameters


def problems_of(**values):
    with pytest.raises(InputError) as error:
        check_parameters(changed(**values))
    return str(error.value).splitlines()[1:-1]


def test_default_parameters_are_valid():
    check_parameters(BASE)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("train__epochs", 0, "train.epochs: must be at least 1, got 0"),
        ("train__epochs", "many", "train.epochs: must be an integer, got 'many'"),
        ("train__epochs", 2.5, "train.epochs: must be an integer, got 2.5"),
        ("train__epochs", True, "train.epochs: must not be true or false, got True"),
        ("train__epochs", None, "train.epochs: must be an integer, got None"),
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
            "evaluate__max_threshold_probability",
            1,
            "evaluate.max_threshold_probability: must be at most 0.99, got 1",
        ),
        (
            "evaluate__slices__age_bands",
            [30, 30],
            "evaluate.slices: age_bands must increase, got [30.0, 30.0]",
        ),
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
            "train.weights_sha256: must be 64 hexadecimal digits (0-9, a-f), got 'f37072fd'",
        ),
        ("train__weights", "", "train.weights: must be a string, got ''"),
        ("source__folder", ["a"], "source.folder: must be a string, got ['a']"),
        ("source__filename_pattern", "", "source.filename_pattern: must be a string, got ''"),
        (
            "source__filename_pattern",
            r"^(P\d+_",
            r"source.filename_pattern: ^(P\d+_ is not a valid regular expression: missing ), "
            "unterminated subpattern at position 1",
        ),
        (
            "source__filename_pattern",
            "(mel|nv)_(P[0-9]+)",
            "source.filename_pattern: (mel|nv)_(P[0-9]+) captures 2 parts; name the key, as in "
            r"(?P<key>P\d+), or make the other groups non-capturing: (?:...)",
        ),
        ("train__epoch", 3, "train.epoch: unknown parameter; did you mean epochs?"),
        (
            "source__kaggle__versoin",
            1,
            "source.kaggle.versoin: unknown parameter; did you mean version?",
        ),
        (
            "audit__zzz",
            1,
            "audit.zzz: unknown parameter; expected one of max_examples, example_pairs_per_type, "
            "max_probe_images, bootstrap_replicates, seed, max_interval_width, fail_on",
        ),
        (
            "epochs",
            5,
            "epochs: unknown group; did you mean train.epochs or localize.decoder.epochs?",
        ),
        ("epoch", 5, "epoch: unknown group; did you mean train.epochs or localize.decoder.epochs?"),
        (
            "learning_rate",
            1,
            "learning_rate: unknown group; did you mean train.optimizer.learning_rate or "
            "localize.decoder.learning_rate?",
        ),
        (
            "seed",
            5,
            "seed: unknown group; did you mean source.demo.seed or audit.seed or split.seed or "
            "train.seed or evaluate.seed or external.demo.seed or "
            "localize.seed?",
        ),
        (
            "train__learning_rate",
            1,
            "train.learning_rate: unknown parameter; did you mean train.optimizer.learning_rate or "
            "localize.decoder.learning_rate?",
        ),
        (
            "train__stored_image_size",
            1,
            "train.stored_image_size: unknown parameter; did you mean ingest.stored_image_size?",
        ),
        (
            "zzz",
            5,
            "zzz: unknown group; expected one of source, ingest, audit, split, preprocess, "
            "metadata, train, evaluate, report, compare, predict, export, clean, external, "
            "localize",
        ),
        ("trian", {"epochs": 1}, "trian: unknown group; did you mean train?"),
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
            "split.fractions: train, val and test must sum to 1, got a sum of 1.2",
        ),
    ],
)
def test_invalid_value_is_reported_with_name_and_expected_value(path, value, message):
    assert problems_of(**{path: value}) == [f"  {message}"]


def test_all_problems_are_reported_together():
    problems = problems_of(trian={}, train__epochs=0, ingest=5, split__seed=-1, report__color="red")
    assert [line.split(":")[0].strip() for line in problems] == [
        "trian",
        "ingest",
        "split.seed",
        "train.epochs",
        "report.color",
    ]


def test_missing_parameter_is_reported():
    parameters = copy.deepcopy(BASE)
    del parameters["train"]["epochs"]
    with pytest.raises(InputError, match=r"train\.epochs: is missing"):
        check_parameters(parameters)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train__image_size": 512}, "set ingest.stored_image_size to 608 or more"),
        (
            {"train__eval_size_ratio": 2},
            "320 pixels (with train.eval_size_ratio) exceed the stored images",
        ),
        (
            {"train__gradient_accumulation_steps": 33},
            "a batch of 32 cannot be divided into 33 parts",
        ),
        ({"train__frozen_backbone_epochs": 16}, "set it to 15 or less"),
        ({"train__num_processes": 2}, "2 processes require train.launcher=local (or ray)"),
        ({"source__kind": "demo", "source__folder": "/x"}, "set source.kind=folder"),
        (
            {"source__kind": "demo", "source__filename_pattern": "^P"},
            "source.kind=demo does not use it",
        ),
        ({"source__label_column": "dx"}, "requires source.metadata, which is not set"),
        ({"source__metadata_key": "id"}, "requires source.metadata, which is not set"),
        ({"preprocess__annotations": "/x"}, "requires preprocess.localizer, which is not set"),
        ({"train__weights": "none", "train__weights_sha256": "0" * 64}, "does not read a file"),
        ({"train__weights": "http://host/a.pth"}, "use https://, or set train.weights_sha256"),
    ],
)
def test_conflicting_values_are_reported(values, message):
    (problem,) = problems_of(**values)
    assert message in problem


@pytest.mark.parametrize("pattern", ["^P", r"^(P\d+)_", r"(mel|nv)_(?P<key>P\d+)", "(?:a|b)(c)", 7])
def test_filename_pattern_with_one_group_or_a_named_key_is_valid(pattern):
    check_parameters(changed(source__filename_pattern=pattern))


def test_quoted_numbers_are_converted():
    check_parameters(changed(train__image_size="96", ingest__stored_image_size="112"))
    assert "112 or more" in problems_of(train__image_size="96", ingest__stored_image_size="96")[0]


def test_numeric_folder_name_is_converted_to_a_string():
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
def test_metadata_accepts_one_or_several_tables(given, paths):
    assert Source.model_validate(changed(source__metadata=given)["source"]).metadata == paths


@pytest.mark.parametrize("given", [{"first": "a.csv"}, [["a.csv"]], [None]])
def test_metadata_without_paths_are_rejected(given):
    (problem,) = problems_of(source__metadata=given)
    assert problem.startswith("  source.metadata.0: must be a string, got ")


def test_folder_of_images_to_localize_needs_annotations_and_has_no_split():
    problems = problems_of(localize__images="/images", localize__evaluation="split")
    assert "localize.images: requires localize.annotations" in problems[0]
    assert "localize.evaluation: is split, but the images" in problems[1]
