import errno

import click
import pytest
from kedro.io import DatasetError
from kedro.pipeline import Pipeline

from skin_lesions.cli import _UNKNOWN_NODES, _show_readable_errors, cli
from skin_lesions.core.errors import InputError


def failing(error, cause=None):
    def command():
        raise error from cause

    return _show_readable_errors(command)


def test_run_command_has_all_options_of_kedro():
    options = {option for parameter in cli.commands["run"].params for option in parameter.opts}
    assert {"--pipelines", "--pipeline", "--params", "--load-versions", "--from-nodes"} <= options


def test_input_error_wrapped_by_kedro_is_reported():
    with pytest.raises(click.ClickException, match="the folder is empty"):
        failing(DatasetError("Failed while saving"), InputError("the folder is empty"))()


def test_full_disk_is_reported_with_a_fix():
    full = OSError(errno.ENOSPC, "No space left on device", "/data/x")
    with pytest.raises(click.ClickException, match=r"Disk full.*'/data/x'.*data_root"):
        failing(DatasetError("Failed while saving"), full)()


def test_other_errors_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError("bug"))()


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("env", "foldr", "Unknown name for --env ('foldr'); did you mean folder?"),
        ("pipeline", "evaluat", "Unknown name for --pipelines ('evaluat'); did you mean evaluate?"),
        ("pipelines", ["train", "x"], "('x'); expected one of audit, evaluate, ingest, "),
    ],
)
def test_unknown_environments_and_pipelines_are_reported_without_traceback(option, name, message):
    """Kedro prints 46 lines of traceback for these."""
    with pytest.raises(click.ClickException) as error:
        _show_readable_errors(lambda **_: None)(**{option: name})
    assert message in error.value.message


def test_known_environments_and_pipelines_are_accepted():
    run = _show_readable_errors(lambda **_: "done")
    assert run(env="folder", pipeline="__default__", pipelines=["train", "report"]) == "done"
    assert run(env=None, pipeline=None, pipelines=None) == "done"


def test_unknown_nodes_are_reported_without_traceback():
    with pytest.raises(
        click.ClickException, match=r"\['train.fitt'\]\. To list all names: kedro registry"
    ):
        failing(ValueError("Pipeline does not contain nodes named ['train.fitt']."))()


def test_kedro_reports_unknown_nodes_with_the_recognized_message():
    """Kedro has no error class for this, so the command line recognizes the message."""
    for select in (Pipeline([]).only_nodes, Pipeline([]).from_nodes, Pipeline([]).to_nodes):
        with pytest.raises(ValueError, match=f"^{_UNKNOWN_NODES}"):
            select("train.fitt")
