"""Paths in the parameters: one rule for all of them.

A relative path starts at the folder of the project, and ``~`` is the home folder.
"""

from collections.abc import Mapping
from pathlib import Path

from skin_lesions.core.errors import InputError
from skin_lesions.core.locations import redact, url_scheme
from skin_lesions.core.versions import is_stored_path

_NO_PATH = {"imagenet", "none"}  # other values of train.weights
# Parameters that are a path or null.
_PATHS = {
    "source": ("folder", "metadata"),
    "predict": ("input", "model", "metadata"),
    "clean": ("output",),
    "external": ("folder", "metadata", "label_map"),
    "localize": ("annotations", "images"),
}
# Parameters that are a version or a path.
_STORED_RESULTS = {"compare": ("baseline", "candidate"), "report": ("comparison",)}


def resolve_paths(parameters: Mapping[str, object], project: Path) -> dict[str, object]:
    """Return the parameters with absolute paths.

    Values of another type stay unchanged, because they are validated later.

    Args:
        parameters: All parameter groups, not validated yet.
        project: Absolute path of the folder of the project.

    Raises:
        InputError: A path is a URL, or begins with ``~`` and an unknown user.
    """
    resolved = dict(parameters)
    if "data_root" in resolved:
        resolved["data_root"] = _absolute(resolved["data_root"], "data_root", project)
    for group, names in _PATHS.items():
        values = resolved.get(group)
        if isinstance(values, Mapping):
            paths = {
                name: _absolute(values[name], f"{group}.{name}", project)
                for name in names
                if name in values
            }
            resolved[group] = {**values, **paths}
    train = resolved.get("train")
    if isinstance(train, Mapping) and _is_path(train.get("weights")):
        weights = _absolute(train["weights"], "train.weights", project)
        resolved["train"] = {**train, "weights": weights}
    for group, names in _STORED_RESULTS.items():
        values = resolved.get(group)
        if isinstance(values, Mapping):
            resolved[group] = {
                **values,
                **{
                    name: _absolute(values[name], f"{group}.{name}", project)
                    for name in names
                    if isinstance(values.get(name), str) and is_stored_path(str(values[name]))
                },
            }
    return resolved


def _is_path(weights: object) -> bool:
    return isinstance(weights, str) and weights not in _NO_PATH and not url_scheme(weights)


def _absolute(value: object, name: str, project: Path) -> object:
    """Resolve a path, or each path of a list or of a group with numbers as keys."""
    if isinstance(value, Mapping):
        return {key: _absolute(item, name, project) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_absolute(item, name, project) for item in value]
    if not isinstance(value, str) or not value:
        return value
    if url_scheme(value):
        raise InputError(
            f"{name} is a URL ({redact(value)}). Expected a local path. "
            f"Fix: copy or mount the files, then set --params {name}=/path"
        )
    try:
        return str(project / Path(value).expanduser())
    except RuntimeError:
        raise InputError(
            f"{name} ({value}) begins with ~ and an unknown user. Expected ~/folder, or ./~name "
            "for a folder whose name begins with ~"
        ) from None
