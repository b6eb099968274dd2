"""Command line ``skin-lesions``. The module of a command is imported when it is needed.

So ``predict`` with a model bundle imports neither torch nor Kedro. Inside the project, ``kedro``
has the same commands.
"""

import importlib

import click

# Each module defines a command with the name of the command.
_COMMANDS = ("app", "predict", "run")


class _Commands(click.Group):
    """A group whose commands are in ``skin_lesions.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command; None if it does not exist."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"skin_lesions.commands.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.command(cls=_Commands, name="skin-lesions")
def cli() -> None:
    """Train, evaluate and use skin image classifiers."""


def main() -> None:
    """Run a command of this project, as ``skin-lesions`` and ``python -m skin_lesions``."""
    cli.main(prog_name="skin-lesions")
