"""Command-line options of the benchmarks that run the pipelines: images, network, parameters."""

import argparse
import re
from pathlib import Path

from record import ROOT

PACKAGED = "packaged"
_CONVERTED = ROOT / "data" / "benchmarks" / "weights" / "tf_efficientnet_lite0.pth"


def add_study_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--folder``, ``--architecture``, ``--weights`` and ``--params``.

    Without these options, a benchmark uses the synthetic images of the demo.
    """
    parser.add_argument("--folder", type=Path, help="folder of images (source.folder)")
    parser.add_argument("--architecture", help="network (train.architecture)")
    add_weights_option(parser)
    parser.add_argument("--params", default="", help="further parameters, as in kedro run --params")


def add_weights_option(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add ``--weights``, the initial weights."""
    parser.add_argument(
        "--weights",
        type=_initial_weights,
        default=default,
        help="initial weights (train.weights), or packaged: EfficientNet-Lite0 without a download",
    )


def _initial_weights(value: str) -> str:
    """Return the value of ``train.weights``; convert the packaged weights on first use."""
    if value != PACKAGED:
        return value
    if not _CONVERTED.exists():
        # Imported here: timm is not installed without the extra dev.
        from convert_packaged_weights import convert_packaged_weights  # noqa: PLC0415

        convert_packaged_weights(_CONVERTED)
    return str(_CONVERTED)


def reported_weights(weights: str) -> str:
    """Return the initial weights for a record: the name of a file, without its folder."""
    return weights.rpartition("/")[2]


def study_params(args: argparse.Namespace) -> str:
    """Return the options in the format of ``--params``, each parameter after a comma."""
    params = []
    if args.folder:
        params += ["source.kind=folder", f"source.folder={args.folder.resolve()}"]
    if args.architecture:
        params.append(f"train.architecture={args.architecture}")
    if args.weights:
        params.append(f"train.weights={args.weights}")
    if args.params:
        params.append(args.params)
    return "".join(f",{param}" for param in params)


def without_folders(params: str) -> str:
    """Return the parameters for a record: the name replaces the path of a folder or file."""
    paths = r"(source\.folder|source\.metadata|train\.weights)=(?!\w+://)[^,]*/"
    return re.sub(paths, r"\1=", params)
