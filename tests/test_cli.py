import errno

import click
import pytest
from kedro.io import DatasetError

from skin_lesions.cli import _show_readable_errors, cli
from skin_lesions.core.errors import InputError


def failing(error, cause=None):
    def command():
        raise error from cause

    return _show_readable_errors(command)


def test_kedro_finds_our_run_command_with_all_its_options():
    options = {option for parameter in cli.commands["run"].params for option in parameter.opts}
    assert {"--pipelines", "--pipeline", "--params", "--load-versions", "--from-nodes"} <= options


def test_an_input_error_is_told_even_where_kedro_wrapped_it():
    with pytest.raises(click.ClickException, match="the folder is empty"):
        failing(DatasetError("Failed while saving"), InputError("the folder is empty"))()


def test_a_full_disk_is_told_with_the_remedy():
    full = OSError(errno.ENOSPC, "No space left on device", "/data/x")
    with pytest.raises(click.ClickException, match=r"disk is full.*'/data/x'.*data_root"):
        failing(DatasetError("Failed while saving"), full)()


def test_any_other_error_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError("ours"))()


@pytest.mark.parametrize(
    ("option", "name", "words"),
    [
        ("env", "foldr", "--env: no 'foldr' here; did you mean folder?"),
        ("pipeline", "evaluat", "--pipelines: no 'evaluat' here; did you mean evaluate?"),
        ("pipelines", ["train", "x"], "no 'x' here; there are audit, evaluate, ingest, "),
    ],
)
def test_unknown_environments_and_pipelines_are_told_in_a_sentence(option, name, words):
    """Kedro ends in 46 lines of traceback for these."""
    with pytest.raises(click.ClickException) as told:
        _show_readable_errors(lambda **_: None)(**{option: name})
    assert words in told.value.message


def test_known_environments_and_pipelines_pass():
    run = _show_readable_errors(lambda **_: "done")
    assert run(env="folder", pipeline="__default__", pipelines=["train", "report"]) == "done"
    assert run(env=None, pipeline=None, pipelines=None) == "done"


def test_unknown_nodes_are_told_in_a_sentence():
    with pytest.raises(
        click.ClickException, match=r"\['train.fitt'\]; their names: kedro registry"
    ):
        failing(ValueError("Pipeline does not contain nodes named ['train.fitt']."))()
