"""Command-line options of the benchmarks that run the pipelines: images, network, parameters."""

import argparse
import re
from pathlib import Path


def add_study_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--folder``, ``--architecture``, ``--weights`` and ``--params``.

    Without these options, a benchmark uses the synthetic images of the demo.
    """
    parser.add_argument("--folder", type=Path, help="folder of images (source.folder)")
    parser.add_argument("--architecture", help="network (train.architecture)")
    parser.add_argument("--weights", help="initial weights (train.weights)")
    parser.add_argument("--params", default="", help="further parameters, as in kedro run --params")


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
    """Return the parameters for a record: the folder name replaces the path of the folder."""
    return re.sub(r"source\.folder=[^,]*/", "source.folder=", params)
