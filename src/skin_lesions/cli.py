"""``kedro run``, but what a user can mend is told in its own words, without a traceback."""

import copy
import errno
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
            told = _in_plain_words(error)
            if told is None:
                raise
            raise click.ClickException(told) from None

    return run


def _in_plain_words(error: BaseException | None) -> str | None:
    """Tell what the user can mend, which Kedro may have wrapped in errors of its own."""
    while error is not None:
        if isinstance(error, InputError):
            return str(error)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return (
                f"the disk is full ({error}). What is whole is kept: make room, or take another "
                "place with --params data_root=/path, and run the same command again"
            )
        error = error.__cause__
    return None


run = copy.copy(kedro_run)
run.callback = _told_plainly(kedro_run.callback)
cli.add_command(run)
