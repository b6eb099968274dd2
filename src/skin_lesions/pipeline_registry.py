"""The pipelines that ``kedro run --pipelines`` knows."""

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

DEFAULT = ("ingest", "audit", "preprocess", "train", "evaluate", "report")


def register_pipelines() -> dict[str, Pipeline]:
    """Find the pipelines; ``kedro run`` takes the whole way, never just all there are."""
    pipelines = find_pipelines(raise_errors=True)
    # ``kedro run --pipelines NAME`` finds NAME alone.
    stages = (pipelines[name] for name in DEFAULT if name in pipelines)
    return pipelines | {"__default__": sum(stages, Pipeline([]))}
