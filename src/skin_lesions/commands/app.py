"""Command ``skin-lesions app``: a web page that shows predictions, on this computer only."""

import time
from pathlib import Path

import click

from skin_lesions.commands.streams import use_utf_8
from skin_lesions.core.errors import InputError
from skin_lesions.core.signals import deferred_interrupt
from skin_lesions.deployment.app.analysis import Analyzer
from skin_lesions.deployment.app.server import require_gradio, running_page
from skin_lesions.deployment.bundle import read_bundle

_POLL_SECONDS = 0.2


@click.command()
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of a model bundle: the result of kedro run --pipelines export, or a copy of it.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port of the page. Default: the first free port from 7860.",
)
def app(bundle: Path, port: int | None) -> None:
    """Show the predictions of a model bundle in a web page.

    Only this computer can open the page. Images are not saved.

    This is research software, not a medical device.
    """
    use_utf_8()
    try:
        require_gradio()
        analyzer = Analyzer(read_bundle(bundle))
        with deferred_interrupt() as stop_requested, running_page(analyzer, port) as url:
            click.echo(f"The page is available at {url} (press Ctrl-C to stop)")
            while not stop_requested():
                time.sleep(_POLL_SECONDS)
    except InputError as error:
        raise click.ClickException(str(error)) from None
    click.echo("The page has stopped, and its temporary files were deleted")
