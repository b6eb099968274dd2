"""Kedro's settings."""

from kedro.config import OmegaConfigLoader

from skin_lesions.hooks import ProjectHooks

HOOKS = (ProjectHooks(),)
CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    # A plain ``kedro run`` works on a fresh machine: generated images, no download.
    "default_run_env": "demo",
    # An environment states only what it changes.
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
}
