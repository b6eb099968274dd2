"""Validation of all parameter groups, including the rules between groups."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from skin_lesions.config.audit import Audit
from skin_lesions.config.clean import Clean
from skin_lesions.config.compare import Compare
from skin_lesions.config.evaluate import Evaluate
from skin_lesions.config.export import Export
from skin_lesions.config.external import External, external_name
from skin_lesions.config.ingest import Ingest
from skin_lesions.config.localize import Localize
from skin_lesions.config.metadata import MetadataInputs
from skin_lesions.config.predict import Predict
from skin_lesions.config.preprocess import Preprocess
from skin_lesions.config.report import Report
from skin_lesions.config.source import FolderSource, Source
from skin_lesions.config.split import Split
from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.errors import InputError
from skin_lesions.core.locations import url_scheme
from skin_lesions.core.text import similar_names, suggest

UNVALIDATED = {"data_root"}  # used by the catalog, not by a node


class Parameters(BaseModel, frozen=True):
    """All parameter groups."""

    source: Source
    ingest: Ingest
    audit: Audit
    split: Split
    preprocess: Preprocess
    metadata: MetadataInputs
    train: TrainRecipe
    evaluate: Evaluate
    report: Report
    compare: Compare
    predict: Predict
    export: Export
    clean: Clean
    external: External
    localize: Localize


def check_parameters(parameters: Mapping[str, object]) -> None:
    """Check all parameter groups, for every pipeline.

    Raises:
        InputError: Some parameters are unknown, missing, of the wrong type, out of range or in
            conflict. The message lists all problems.
    """
    groups = Parameters.model_fields
    unknown = sorted({str(name) for name in parameters} - set(groups) - UNVALIDATED)
    problems = [f"{name}: unknown group; {_suggest(name, groups)}" for name in unknown]
    try:
        valid = Parameters.model_validate({name: parameters.get(name, {}) for name in groups})
    except ValidationError as error:
        problems += [_describe_error(details) for details in error.errors()]
    else:
        problems = problems or [
            *_conflicts(valid.source, valid.ingest, valid.train),
            *_crop_conflicts(valid.preprocess),
            *_external_conflicts(valid.external),
            *_localize_conflicts(valid.localize),
        ]
    if problems:
        raise InputError(
            "Invalid parameters:\n"
            + "\n".join(f"  {problem}" for problem in problems)
            + "\nSee conf/base/parameters for all parameters and their defaults."
        )


def check_data_root(value: object) -> str:
    """Check that the parameter ``data_root`` is a path, and return it.

    Raises:
        InputError: It is empty or not text. An empty path would be the root of the file system.
    """
    if not isinstance(value, str) or not value.strip():
        raise InputError(
            f"data_root is not a path ({value!r}). Expected the path of a folder. "
            "Fix: --params data_root=/path"
        )
    return value


def _conflicts(source: Source, ingest: Ingest, train: TrainRecipe) -> list[str]:
    problems = []
    if source.filename_pattern is not None and source.kind == "demo":
        problems.append("source.filename_pattern: is set, but source.kind=demo does not use it")
    if source.folder is not None and source.kind != "folder":
        problems.append(
            f"source.folder: is set, but source.kind={source.kind} does not use it; "
            "set source.kind=folder (or use --env folder)"
        )
    problems += _metadata_conflicts(source, "source")
    if train.eval_image_size > ingest.stored_image_size:
        scaled = " (with train.eval_size_ratio)" if train.eval_size_ratio > 1 else ""
        problems.append(
            f"train.image_size: {train.eval_image_size} pixels{scaled} exceed the stored images "
            f"({ingest.stored_image_size} pixels); "
            f"set ingest.stored_image_size to {train.eval_image_size} or more"
        )
    return problems + _training_conflicts(train)


def _metadata_conflicts(folder: FolderSource, group: str) -> list[str]:
    if folder.metadata:
        return []
    return [
        f"{group}.{name}: requires {group}.metadata, which is not set"
        for name in ("metadata_key", "label_column")
        if getattr(folder, name) is not None
    ]


def _crop_conflicts(preprocess: Preprocess) -> list[str]:
    if preprocess.annotations is None or preprocess.localizer is not None:
        return []
    return [
        "preprocess.annotations: requires preprocess.localizer, which is not set; new images have "
        "no annotations, so their crops need a localizer"
    ]


def _localize_conflicts(localize: Localize) -> list[str]:
    if localize.images is None:
        return []
    problems = []
    if localize.annotations is None:
        problems.append("localize.images: requires localize.annotations, which is not set")
    if localize.evaluation == "split":
        problems.append(
            "localize.evaluation: is split, but the images of localize.images have no split; "
            "expected folds or auto"
        )
    return problems


def _external_conflicts(external: External) -> list[str]:
    problems = _metadata_conflicts(external, "external")
    if external.folder is not None and external.kind == "demo":
        problems.append("external.folder: is set, but external.kind=demo does not use it")
    try:
        external_name(external.model_dump())
    except InputError as error:
        problems.append(str(error))
    return problems


def _training_conflicts(train: TrainRecipe) -> list[str]:
    problems = []
    if train.gradient_accumulation_steps > train.batch_size:
        problems.append(
            f"train.gradient_accumulation_steps: a batch of {train.batch_size} cannot be divided "
            f"into {train.gradient_accumulation_steps} parts"
        )
    if train.pretrained and train.frozen_backbone_epochs >= train.epochs:
        problems.append(
            f"train.frozen_backbone_epochs: {train.frozen_backbone_epochs} of {train.epochs} "
            "epochs train only the head and leave no epoch for the other layers; "
            f"set it to {train.epochs - 1} or less"
        )
    if train.launcher == "single" and (train.num_processes or 1) > 1:
        problems.append(
            f"train.num_processes: {train.num_processes} processes require train.launcher=local "
            "(or ray); single uses one process"
        )
    if train.weights == "none" and train.weights_sha256 is not None:
        problems.append("train.weights_sha256: is set, but train.weights=none does not read a file")
    if url_scheme(train.weights) in {"http", "https"} and "@" in train.weights.split("/")[2]:
        problems.append(
            "train.weights: a user or password in a URL is not supported; download the file and "
            "set train.weights to its path"
        )
    if train.weights.lower().startswith("http://") and train.weights_sha256 is None:
        problems.append(
            "train.weights: a download over http:// can be modified in transit; use https://, or "
            "set train.weights_sha256"
        )
    return problems


def _describe_error(error: ErrorDetails) -> str:
    names = [str(name) for name in error["loc"]]
    path = ".".join(names)
    if error["type"] == "extra_forbidden":
        fields = _nested_group(names[:-1]).model_fields
        return f"{path}: unknown parameter; {_suggest(names[-1], fields)}"
    if error["type"] == "missing":
        return f"{path}: is missing"
    if error["type"] == "value_error":
        return f"{path}: {error['ctx']['error']}"
    expected = _EXPECTED.get(error["type"], error["msg"]).format(**error.get("ctx", {}))
    return f"{path}: must be {expected}, got {error['input']!r}"


def _suggest(name: str, known: Collection[str]) -> str:
    """Suggest parameters with this name in any group, a similar known name, or similar parameters.

    An unknown group can be a parameter without its group, as in ``epochs=5``.
    """
    paths = list(_parameter_paths(Parameters))
    keys = {path.rpartition(".")[2] for path in paths}
    if name not in keys and similar_names(name, known):
        return suggest(name, known)
    similar = similar_names(name, keys)  # the name itself, if it is one of them
    found = [path for path in paths if path.rpartition(".")[2] in similar]
    return f"did you mean {' or '.join(found)}?" if found else suggest(name, known)


def _parameter_paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the names of all parameters, as in ``train.optimizer.name``."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _parameter_paths(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


_EXPECTED = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "literal_error": "{expected}",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a string",
    "string_too_short": "a string",
    "string_pattern_mismatch": "64 hexadecimal digits (0-9, a-f)",
    "model_type": "a group of parameters",
}


def _nested_group(path: Iterable[str]) -> type[BaseModel]:
    model: type[BaseModel] = Parameters
    for name in path:
        model = cast("type[BaseModel]", model.model_fields[name].annotation)
    return model
