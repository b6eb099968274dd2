import errno

import click
import pytest
from kedro.io import DatasetError

from skin_lesions.cli import _told_plainly, cli
from skin_lesions.errors import InputError


def failing(error, cause=None):
    def command():
        raise error from cause

    return _told_plainly(command)


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
