"""Command ``skin-lesions predict``: predictions for image files, without a Kedro project."""

import sys
from pathlib import Path
from typing import TextIO

import click

from skin_lesions.commands.prediction_output import OutputFormat, row_writer
from skin_lesions.commands.streams import use_utf_8
from skin_lesions.core.atomic_files import atomic_write
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import pluralize, printable
from skin_lesions.deployment.clinical_metadata import metadata_note, read_clinical_metadata
from skin_lesions.deployment.images import find_images
from skin_lesions.deployment.load import load_predictor
from skin_lesions.deployment.prediction_run import PredictionRun


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "--model",
    required=True,
    type=click.Path(path_type=Path),
    help="Model file (model.pth), or folder of a model bundle. A bundle does not need torch.",
)
@click.option(
    "--localizer",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Localizer file (localizer.pth) of a model file: adds boxes of the lesions. A bundle has "
    "its own.",
)
@click.option(
    "--metadata",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CSV file with clinical metadata, one row for each image, for a model that uses them.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "csv", "json"]),
    help="Format of the output. Default: table in a terminal; json for --output FILE.json; "
    "otherwise csv.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write instead of the standard output. An existing file is replaced.",
)
@click.option(
    "--batch-size", type=click.IntRange(1, 4096), default=32, show_default=True, metavar="N"
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Device of a model file. A bundle uses the CPU.",
)
@click.option(
    "--follow-symlinks", is_flag=True, help="Follow links that lead out of a searched folder."
)
def predict(
    images: tuple[str, ...],
    model: Path,
    localizer: Path | None,
    metadata: Path | None,
    output_format: OutputFormat | None,
    output: Path | None,
    batch_size: int,
    device: str,
    *,
    follow_symlinks: bool,
) -> None:
    """Predict the class of skin images.

    IMAGE is an image file, a folder that is searched recursively, or a quoted pattern such as
    'images/**/*.jpg'. Unreadable files are listed with the reason.

    This is research software, not a medical device.
    """
    use_utf_8()
    try:
        files = find_images(images, follow_symlinks=follow_symlinks, option="--follow-symlinks")
        predictor = load_predictor(model, device, localizer)
        table = read_clinical_metadata(metadata, files.names, predictor.description, "--metadata")
        run = PredictionRun(predictor, files, batch_size, table)
        chosen = output_format or _default_format(output)
        if output is None:
            unreadable = _write(run, chosen, sys.stdout)
        else:
            # Excel recognizes UTF-8 only by the byte order mark at the start of the file.
            encoding = "utf-8-sig" if chosen == "csv" else "utf-8"
            with (
                atomic_write(output.absolute()) as partial,
                partial.open("w", encoding=encoding, newline="") as file,
            ):
                unreadable = _write(run, chosen, file)
    except InputError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        if output is None:
            raise  # click handles a closed pipe
        message = f"{output} cannot be written: {error.strerror or error}"
        raise click.ClickException(printable(message)) from None
    _report(run, unreadable)


def _default_format(output: Path | None) -> OutputFormat:
    if output is not None:
        return "json" if output.suffix.casefold() == ".json" else "csv"
    return "table" if sys.stdout.isatty() else "csv"


def _write(run: PredictionRun, output_format: OutputFormat, file: TextIO) -> int:
    """Write all rows as they are computed; return the number of unreadable files."""
    writer = row_writer(output_format, file, run.predictor.description)
    unreadable = 0
    writer.begin()
    for batch in run.batches():
        for row in batch:
            writer.write(row)
            unreadable += row.prediction is None
        file.flush()
    writer.end()
    file.flush()
    return unreadable


def _report(run: PredictionRun, unreadable: int) -> None:
    """Write warnings to the standard error, and exit with status 1 if no image was readable."""
    for warning in run.predictor.description.warnings():
        click.echo(f"Warning: {warning}", err=True)
    if note := metadata_note(run.predictor.description, run.metadata):
        click.echo(note, err=True)
    if run.files.skipped:
        click.echo(f"Skipped {pluralize(run.files.skipped, 'file')} without image data", err=True)
    total = len(run.files.names)
    if unreadable:
        click.echo(f"{unreadable:,} of {pluralize(total, 'file')} unreadable", err=True)
    if unreadable == total:
        raise click.ClickException(
            "No image could be predicted. The reason for each file is in the output"
        )
