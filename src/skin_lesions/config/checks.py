"""Validation of all parameter groups, with the rules that span several groups."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from pydantic import (
    ValidationError,
)

from skin_lesions.config.audit import Audit
from skin_lesions.config.base import ParameterGroup
from skin_lesions.config.evaluate import Evaluate
from skin_lesions.config.ingest import Ingest
from skin_lesions.config.preprocess import Preprocess
from skin_lesions.config.report import Report
from skin_lesions.config.source import Source
from skin_lesions.config.split import Split
from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import suggest

GROUPS: dict[str, type[ParameterGroup]] = {
    "source": Source,
    "ingest": Ingest,
    "audit": Audit,
    "split": Split,
    "preprocess": Preprocess,
    "train": TrainRecipe,
    "evaluate": Evaluate,
    "report": Report,
}
UNVALIDATED = {"data_root"}  # read by the catalog, not by a node


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Check every group, whichever pipeline runs.

    Raises:
        InputError: Lists all that is unknown, missing, of the wrong type or out of range.
    """
    unknown = sorted({str(name) for name in parameters} - set(GROUPS) - UNVALIDATED)
    problems = [f"{name}: no such group; {suggest(name, GROUPS)}" for name in unknown]
    groups: dict[str, Any] = {}
    for name, model in GROUPS.items():
        try:
            groups[name] = model.model_validate(parameters.get(name, {}))
        except ValidationError as error:
            problems += [_describe_error(name, model, e) for e in error.errors()]
    if not problems:
        problems = _conflicts(groups["source"], groups["ingest"], groups["train"])
    if problems:
        raise InputError(
            "These parameters can't be used:\n"
            + "\n".join(f"  {problem}" for problem in problems)
            + "\nconf/base/parameters shows each one with its default."
        )


def _conflicts(source: Source, ingest: Ingest, train: TrainRecipe) -> list[str]:
    problems = []
    if source.filename_pattern is not None and source.kind == "demo":
        problems.append(
            "source.filename_pattern: is given, but source.kind is demo, which does not read it"
        )
    if source.folder is not None and source.kind != "folder":
        problems.append(
            f"source.folder: is given, but source.kind is {source.kind}, which does not read it; "
            "set source.kind=folder (or take --env folder)"
        )
    if not source.metadata:
        for name in ("metadata_key", "label_column"):
            if getattr(source, name) is not None:
                problems.append(f"source.{name}: is a column of source.metadata, which is not set")
    if train.eval_image_size > ingest.stored_image_size:
        scaled = " (for testing, see train.eval_size_ratio)" if train.eval_size_ratio > 1 else ""
        problems.append(
            f"train.image_size: {train.eval_image_size} pixels{scaled} can't be had from images stored at "
            f"{ingest.stored_image_size}; set ingest.stored_image_size to {train.eval_image_size} or more"
        )
    return problems + _training_conflicts(train)


def _training_conflicts(train: TrainRecipe) -> list[str]:
    problems = []
    if train.gradient_accumulation_steps > train.batch_size:
        problems.append(
            f"train.gradient_accumulation_steps: a batch of {train.batch_size} can't be had in "
            f"{train.gradient_accumulation_steps} parts"
        )
    if train.pretrained and train.frozen_backbone_epochs >= train.epochs:
        problems.append(
            f"train.frozen_backbone_epochs: of {train.epochs} epochs, {train.frozen_backbone_epochs} for the head alone "
            "leave none for the other layers; set it to "
            f"{train.epochs - 1} or less"
        )
    if train.launcher == "single" and (train.num_processes or 1) > 1:
        problems.append(
            f"train.num_processes: {train.num_processes} need train.launcher=local (or ray); single is one"
        )
    if train.weights == "none" and train.weights_sha256 is not None:
        problems.append(
            "train.weights_sha256: is given, but train.weights is none: nothing is read"
        )
    if train.weights.lower().startswith("http://") and train.weights_sha256 is None:
        problems.append(
            "train.weights: what comes by http:// can be changed on its way; take https://, or set "
            "train.weights_sha256"
        )
    return problems


def _describe_error(group: str, model: type[ParameterGroup], error: Any) -> str:
    path, field = ".".join([group, *map(str, error["loc"])]), [group, *error["loc"]][-1]
    if error["type"] == "extra_forbidden":
        fields = _nested_group(model, error["loc"][:-1]).model_fields
        return f"{path}: no such parameter; {suggest(str(field), fields)}"
    if error["type"] == "missing":
        return f"{path}: is missing"
    if error["type"] == "value_error":
        return f"{path}: {error['ctx']['error']}"
    expected = _EXPECTED.get(error["type"], error["msg"]).format(**error.get("ctx", {}))
    return f"{path}: must be {expected}, got {error['input']!r}"


_EXPECTED = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "literal_error": "{expected}",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "string_too_short": "a text",
    "string_pattern_mismatch": "64 digits from 0-9 and a-f",
    "model_type": "a group of parameters",
}


def _nested_group(model: type[ParameterGroup], path: Iterable[Any]) -> type[ParameterGroup]:
    for name in path:
        model = cast("type[ParameterGroup]", model.model_fields[name].annotation)
    return model
