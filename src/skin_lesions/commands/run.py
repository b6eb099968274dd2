"""Commands ``kedro run`` and ``skin-lesions run``, with readable messages.

Errors that the user can fix are reported without a traceback.
"""

import errno
import functools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import yaml
from kedro.framework import project as kedro_project
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import KedroCliError
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetNotFoundError
from kedro.utils import find_kedro_project, load_obj

from skin_lesions import pipelines
from skin_lesions.commands.streams import use_utf_8
from skin_lesions.core.errors import InputError, disk_full_message
from skin_lesions.core.text import printable, suggest

_PACKAGE = "skin_lesions"
_UNKNOWN_NODES = "Pipeline does not contain"  # nodes, data sets and namespaces
_CATALOG = "All data sets: conf/base/catalog.yml"
# Kedro has no error classes for these, so they are recognized by the start of their messages.
_HINTS = {
    _UNKNOWN_NODES: f"To list all names: kedro registry describe. {_CATALOG}",
    "Pipeline contains no nodes": "Fix: check the spelling of --tags, or leave out some options",
    "'load_versions' keys": _CATALOG,
}
_RUNNERS = ("SequentialRunner", "ThreadRunner")


def _configure_kedro() -> None:
    """Do what the command ``kedro`` does before ``run``.

    Outside of a folder of the project only the installed package is known, so that ``run`` requires
    ``--conf-source``.
    """
    if kedro_project.PACKAGE_NAME is not None:
        return
    project = _find_project()
    if project is None:
        kedro_project.configure_project(_PACKAGE)
    else:
        bootstrap_project(project)


def _find_project() -> Path | None:
    """Return the folder of this project that contains the working directory, or None."""
    folder = find_kedro_project(Path.cwd())
    # Any other Kedro project is not this one.
    if folder is None or not (folder / "src" / _PACKAGE).is_dir():
        return None
    return Path(folder)


def _show_readable_errors(command: Any) -> Any:
    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            _check_names(kwargs)
            return command(*args, **kwargs)
        except Exception as error:
            message = _user_message(error)
            if message is None:
                raise
            raise click.ClickException(message) from None

    return run


def _prepare_output(command: Any) -> Any:
    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        use_utf_8()
        _configure_kedro()
        _configure_logging(kwargs.get("conf_source"))
        return command(*args, **kwargs)

    return run


def _configure_logging(conf_source: str | None) -> None:
    """Read the file logging.yml of the project: Kedro searches for it in the working directory."""
    project = _find_project()
    file = Path(conf_source or (project or Path()) / "conf", "logging.yml")
    if "KEDRO_LOGGING_CONFIG" not in os.environ and file.is_file():
        kedro_project.configure_logging(yaml.safe_load(file.read_text(encoding="utf-8")))


def _check_names(options: Mapping[str, Any]) -> None:
    """Check that environments, pipelines and runners exist.

    Kedro would report them with a traceback.
    """
    _check_runner(options.get("runner"))
    if not options.get("conf_source"):
        project = _find_project()
        if project is None:
            raise InputError(
                f"There is no project in this folder ({printable(Path.cwd())}). Expected "
                "pyproject.toml and conf/. Fix: change to the folder of the project, or set "
                "--conf-source to a folder like conf/"
            )
        _check_name(options.get("env"), "--env", project / "conf")
    requested: Iterable[str | None] = [options.get("pipeline"), *(options.get("pipelines") or [])]
    for name in requested:
        if name != "__default__":
            _check_name(name, "--pipelines", Path(pipelines.__path__[0]))


def _check_runner(name: str | None) -> None:
    try:
        load_obj(name or _RUNNERS[0], "kedro.runner")
    except (AttributeError, ImportError, ValueError):
        unknown = f"Unknown name for --runner ({printable(name)!r})"
        raise InputError(f"{unknown}; {suggest(str(name), _RUNNERS)}") from None


def _check_name(name: str | None, option: str, folder: Path) -> None:
    folders = (path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._")
    known = sorted(path.name for path in folders)
    if name and name not in known:
        raise InputError(f"Unknown name for {option} ({printable(name)!r}); {suggest(name, known)}")


def _user_message(error: BaseException | None) -> str | None:
    """Return the message of an error that the user can fix, or None.

    Kedro may have wrapped the error in its own errors.
    """
    while error is not None:
        if isinstance(error, InputError):
            return str(error)
        text = printable(str(error).rstrip("."))
        if isinstance(error, ValueError | DatasetNotFoundError) and text.startswith(tuple(_HINTS)):
            hint = next(hint for start, hint in _HINTS.items() if text.startswith(start))
            return f"{text}. {hint}"
        if isinstance(error, KedroCliError):
            return printable(error.message)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return disk_full_message(error)
        error = error.__cause__
    return None


class _RunCommand(click.Command):
    """Reports invalid options: Kedro's own errors show no message here."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the options."""
        try:
            return super().make_context(*args, **kwargs)
        except KedroCliError as error:
            raise click.ClickException(printable(error.message)) from None


run = _RunCommand(
    "run",
    params=kedro_run.params,
    help=kedro_run.help,
    callback=_prepare_output(_show_readable_errors(kedro_run.callback)),
)
