"""Settings of Kedro: hooks and configuration loader."""

from pathlib import Path
from typing import Any, cast

from kedro.config import MissingConfigException, OmegaConfigLoader
from kedro.framework.context import KedroContext
from omegaconf import OmegaConf

from skin_lesions.config.external import external_name
from skin_lesions.config.paths import resolve_paths
from skin_lesions.hooks import (
    CheckpointCleanup,
    DataRootLock,
    InputChecks,
    RunnerCheck,
    RunSummary,
)


class ProjectConfigLoader(OmegaConfigLoader):
    """Configuration loader with local configuration and one rule for all paths.

    ``conf/local`` overrides the environment, and ``--params`` overrides ``conf/local``. A relative
    path starts at the folder of the project. This is not done by a hook, because Kedro-Viz runs
    without hooks.

    Attributes:
        project: Absolute path of the project; None for the folder that contains ``conf``.
    """

    project: Path | None = None

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return a configuration, such as ``parameters``.

        Raises:
            MissingConfigException: There is no such configuration.
            InputError: A path in the parameters cannot be used.
        """
        if key == "catalog":
            # The catalog builds all its paths from these values.
            parameters = self["parameters"]
            external = self.runtime_params.get("external")
            name = external_name(parameters.get("external"))
            self.runtime_params = {
                **self.runtime_params,
                "data_root": parameters["data_root"],
                "external": {**(external if isinstance(external, dict) else {}), "name": name},
            }
            self._runtime_params_oc = None  # the cached runtime parameters
        config = self._with_local(key)
        if key == "parameters":
            default = {"data_root": self["globals"]["data_root"]}
            project = self.project or Path(self.conf_source).resolve().parent
            return resolve_paths({**default, **config}, project)
        return config

    def _with_local(self, key: str) -> dict[str, Any]:
        folder = Path(self.conf_source, "local")
        if not folder.is_dir():
            return super().__getitem__(key)
        try:
            shared = super().__getitem__(key)
        except MissingConfigException:
            shared = {}
        local: dict[str, Any] = self.load_and_merge_dir_config(
            str(folder), self.config_patterns[key], key, set(), key == "credentials"
        )
        if not shared and not local:
            raise MissingConfigException(f"There is no file for {key} in {self.conf_source}")
        if self.merge_strategy.get(key) != "soft":
            return {**shared, **local}
        merged = OmegaConf.to_container(OmegaConf.merge(shared, local))
        return cast("dict[str, Any]", merged)


class ProjectContext(KedroContext):
    """Context that passes the folder of the project to the configuration loader."""

    def __init__(self, **arguments: Any):
        super().__init__(**arguments)
        if isinstance(self.config_loader, ProjectConfigLoader):
            self.config_loader.project = self.project_path


HOOKS = (
    RunnerCheck(),
    InputChecks(),
    DataRootLock(),
    CheckpointCleanup(),
    RunSummary(),
)
CONTEXT_CLASS = ProjectContext
CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    # ``kedro run`` without options works on a new machine: synthetic images, no download.
    "default_run_env": "demo",
    # An environment lists only the values that it changes.
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
}
