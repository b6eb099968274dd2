"""Settings of Kedro: hooks and configuration loader."""

from kedro.config import OmegaConfigLoader

from skin_lesions.hooks import (
    CheckpointCleanup,
    DataRootLock,
    InputChecks,
    RunSummary,
    ThreadSettings,
)

HOOKS = (ThreadSettings(), InputChecks(), DataRootLock(), CheckpointCleanup(), RunSummary())
CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    # ``kedro run`` without options works on a new machine: synthetic images, no download.
    "default_run_env": "demo",
    # An environment lists only the values that it changes.
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
}
