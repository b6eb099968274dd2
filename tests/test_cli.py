import errno
import re
import shutil
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from kedro.io import DatasetError
from kedro.pipeline import Pipeline

from skin_lesions.cli import cli
from skin_lesions.commands.run import _UNKNOWN_NODES, _show_readable_errors, run
from skin_lesions.core.errors import InputError


def failing(error, cause=None):
    def command():
        raise error from cause

    return _show_readable_errors(command)


def test_run_command_has_all_options_of_kedro():
    options = {option for parameter in run.params for option in parameter.opts}
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
        (
            "pipelines",
            ["train", "x"],
            "('x'); expected one of audit, clean, compare, evaluate, export, external, ",
        ),
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--runner", "SequentalRunner"], "did you mean SequentialRunner?"),
        (["--tags", "x"], "Pipeline contains no nodes .* check the spelling of --tags"),
        (["--load-versions", "model2:1"], r"\[model2\] are not found.*conf/base/catalog\.yml"),
        (["--load-versions", "model:../x"], "Version string '../x' is not allowed"),
        (["--load-versions", "model"], "found model instead"),
        (["--pipeline", "train", "--pipelines", "report"], "cannot be used together"),
        (["--from-nodes", "x"], r"nodes named \['x'\]"),
        (["--to-outputs", "x"], r"datasets named \['x'\].*conf/base/catalog\.yml"),
        (["--params", "data_root=5"], r"data_root is not a path \(5\)"),
        (["--params", "data_root="], r"data_root is not a path .*data_root=/path"),
    ],
)
def test_unknown_names_and_invalid_options_are_reported_in_one_sentence(project, options, message):
    result = CliRunner().invoke(cli, ["run", *options])
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit), result.exception
    assert re.search(f"Error: .*{message}", result.output)


def skin_lesions(*arguments, folder):
    """Run ``python -m skin_lesions``; return the exit status and all output in one line."""
    done = subprocess.run(
        [sys.executable, "-m", "skin_lesions", *arguments],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_help_is_shown_in_any_folder(tmp_path):
    status, output = skin_lesions("--help", folder=tmp_path)
    assert status == 0
    assert "Usage: skin-lesions [OPTIONS] COMMAND" in output


def test_run_outside_the_project_is_reported_without_traceback(tmp_path):
    status, output = skin_lesions("run", folder=tmp_path)
    assert status == 1
    assert f"Error: There is no project in this folder ({tmp_path})" in output
    assert "set --conf-source" in output
    assert "Traceback" not in output


def test_run_in_another_project_of_kedro_is_reported_without_traceback(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.kedro]\npackage_name = "other"\nproject_name = "other"\n'
        'kedro_init_version = "1.7.0"\n'
    )
    status, output = skin_lesions("run", folder=tmp_path)
    assert status == 1
    assert f"Error: There is no project in this folder ({tmp_path})" in output
    assert "Traceback" not in output


def test_run_in_a_subfolder_of_the_project_knows_its_environments(project):
    status, output = skin_lesions("run", "--env", "foldr", folder=project / "docs")
    assert status == 1
    assert "did you mean folder?" in output


def test_run_in_a_subfolder_logs_like_a_run_in_the_project(project, tmp_path):
    """Kedro reads logging.yml only in the working directory, and would log every step."""
    options = ("--pipelines", "report", "--params", f"data_root={tmp_path / 'data'}")
    status, output = skin_lesions("run", *options, folder=project / "docs")
    assert status == 1
    assert "This run reads audit_findings, but" in output
    for noise in ("Loading data from", "Workflow tracking is disabled", "No nodes ran"):
        assert noise not in output


def test_run_outside_the_project_works_with_a_configuration(project, tmp_path):
    """The error shows that parameters and catalog were read and the stored inputs were checked."""
    shutil.copytree(project / "conf", tmp_path / "conf")
    options = ("--conf-source", str(tmp_path / "conf"), "--pipelines", "report")
    status, output = skin_lesions("run", *options, folder=tmp_path)
    assert status == 1
    assert "This run reads audit_findings, but" in output
    assert f"{tmp_path}/data/demo contains no version of it" in output
    assert "No Kedro project found" not in output  # a warning of Kedro-Viz
