"""Runs of the real project in a data root."""

from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework.session import KedroSession
from kedro.io import DataCatalog


class Study:
    """A data root, with runs of the real project in it."""

    def __init__(self, project: Path, data_root: Path, env: str = "demo", **params: Any):
        self.project, self.data_root, self.env, self.params = project, data_root, env, params

    def run(
        self,
        *pipelines: str,
        load_versions: dict[str, str] | None = None,
        from_nodes: list[str] | None = None,
        **params: Any,
    ) -> None:
        """Run pipelines (default: all six), with parameters such as ``train={"epochs": 1}``."""
        with self._session(params) as session:
            session.run(
                pipeline_names=list(pipelines), load_versions=load_versions, from_nodes=from_nodes
            )

    def load(self, name: str, version: str | None = None) -> Any:
        """Load the newest or the given version of a data set."""
        return self.catalog({name: version} if version else None).load(name)

    def table(self, name: str) -> pd.DataFrame:
        """Load the newest version of a table without its provenance."""
        return self.load(name).frame

    def catalog(self, load_versions: dict[str, str] | None = None) -> DataCatalog:
        with self._session({}) as session:
            context = session.load_context()
            return context._get_catalog(load_versions=load_versions)

    def versions(self, name: str) -> list[str]:
        """List the versions of a data set, oldest first."""
        return sorted(self.catalog()[name].list_versions(full_path=False))

    def _session(self, params: dict[str, Any]) -> KedroSession:
        merged = _merged({"data_root": str(self.data_root)}, self.params, params)
        return KedroSession.create(project_path=self.project, env=self.env, runtime_params=merged)


def _merged(*layers: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, dict) and isinstance(merged.get(key), dict)
            merged[key] = _merged(merged[key], value) if both else value
    return merged
