import shutil
from pathlib import Path

import pytest

from skin_lesions.models.trained_model import TrainedModel
from support.bundles import write_small_bundle


@pytest.fixture(scope="session")
def bundle_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainedModel]:
    """Write the bundle of a small model once; return folder and model. Read-only."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    return folder, write_small_bundle(folder)


@pytest.fixture
def bundle_copy(bundle_model: tuple[Path, TrainedModel], tmp_path: Path) -> Path:
    """Copy the bundle, to change its files."""
    return Path(shutil.copytree(bundle_model[0], tmp_path / "bundle"))
