"""``kedro run``, but what a user can mend is told in its own words, without a traceback."""

import copy
import functools
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run

from skin_lesions.errors import InputError


@click.group(name="skin-lesions")
def cli() -> None:
    """Commands of this project."""


def _told_plainly(command: Any) -> Any:
    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except Exception as error:
            told = _input_error_behind(error)
            if told is None:
                raise
            raise click.ClickException(str(told)) from None

    return run


def _input_error_behind(error: BaseException | None) -> InputError | None:
    """Find the InputError that Kedro may have wrapped in errors of its own."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__
    return error


run = copy.copy(kedro_run)
run.callback = _told_plainly(kedro_run.callback)
cli.add_command(run)
