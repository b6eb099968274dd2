"""Registry of the pipelines for ``kedro run --pipelines``."""

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

DEFAULT = ("ingest", "audit", "preprocess", "train", "evaluate", "report")


def register_pipelines() -> dict[str, Pipeline]:
    """Find all pipelines; the default pipeline is the six stages, and never any other pipeline."""
    pipelines = find_pipelines(raise_errors=True)
    # With ``kedro run --pipelines NAME``, only NAME is found.
    stages = (pipelines[name] for name in DEFAULT if name in pipelines)
    return pipelines | {"__default__": sum(stages, Pipeline([]))}
