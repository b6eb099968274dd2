"""Nodes of the pipeline `compare`."""

from pathlib import Path

from skin_lesions.config.compare import Compare
from skin_lesions.core.errors import InputError
from skin_lesions.core.versions import StoredVersions, is_stored_path
from skin_lesions.data.tables import PredictionTable
from skin_lesions.evaluation.comparison import Comparison, compare_predictions


def compare(stored_predictions: StoredVersions[PredictionTable], compare: Compare) -> Comparison:
    """Select two sets of predictions, and compare their models on the test images.

    Raises:
        InputError: A selected version or file does not exist, both are the same, or they cannot be
            compared.
    """
    candidate = compare.candidate or _newest(stored_predictions)
    baseline = compare.baseline or _newest(stored_predictions, before=candidate)
    if baseline == candidate:
        raise InputError(
            f"compare.baseline and compare.candidate are the same ({baseline}). Expected two sets "
            "of predictions"
        )
    return compare_predictions(
        stored_predictions.select(baseline, "compare.baseline"),
        stored_predictions.select(candidate, "compare.candidate"),
        sources=(_source(baseline), _source(candidate)),
        is_paired=compare.paired,
        max_examples=compare.max_examples,
    )


def _newest(stored: StoredVersions[PredictionTable], before: str = "") -> str:
    """Return the newest version, or the newest before another version."""
    versions = stored.versions
    if before and not is_stored_path(before):
        versions = tuple(version for version in versions if version < before)
    if versions:
        return versions[0]
    missing = f"older than the candidate {before} " if before else ""
    raise InputError(
        f"There is no version of predictions {missing}in this data root. Expected two evaluations "
        "of test images. Fix: kedro run --pipelines evaluate; or set compare.baseline and "
        "compare.candidate to files of other data roots"
    )


def _source(reference: str) -> str:
    """Return the name of the data root or file of a reference, without its path."""
    if not is_stored_path(reference):
        return "this data root"
    path = Path(reference)
    # <data root>/07_model_output/predictions.parquet/<version>/predictions.parquet
    if path.is_file() and len(path.parents) > 3 and path.parents[1].name == path.name:
        return path.parents[3].name
    return path.name
