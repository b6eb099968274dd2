"""What every benchmark that runs the pipelines can be given: other images, another network."""

import argparse
import re
from pathlib import Path


def add_study_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--folder --architecture --weights --params``; without any, it is the demo."""
    parser.add_argument("--folder", type=Path, help="a folder of images, as source.folder")
    parser.add_argument("--architecture", help="as train.architecture")
    parser.add_argument("--weights", help="as train.weights")
    parser.add_argument("--params", default="", help="more, as for kedro run --params")


def study_params(given: argparse.Namespace) -> str:
    """Return them in the form of ``--params``, each with a comma in front."""
    params = []
    if given.folder:
        params += ["source.kind=folder", f"source.folder={given.folder.resolve()}"]
    if given.architecture:
        params.append(f"train.architecture={given.architecture}")
    if given.weights:
        params.append(f"train.weights={given.weights}")
    if given.params:
        params.append(given.params)
    return "".join(f",{param}" for param in params)


def without_folders(params: str) -> str:
    """Return parameters as results tell them: of the folder, its name alone."""
    return re.sub(r"source\.folder=[^,]*/", "source.folder=", params)
