import shutil
from pathlib import Path

import pytest

from skin_lesions.deployment.bundle_writer import write_bundle
from skin_lesions.models.bundle_files import NETWORK
from skin_lesions.models.localization.localizer_model import Localizer
from skin_lesions.models.trained_model import TrainedModel
from support.bundles import bundle_of, write_small_bundle
from support.localization import localizer_of


@pytest.fixture(scope="session")
def bundle_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainedModel]:
    """Write the bundle of a small model once; return folder and model. Read-only."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    return folder, write_small_bundle(folder)


@pytest.fixture(scope="session")
def lesion_bundle(
    bundle_model: tuple[Path, TrainedModel], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainedModel, Localizer]:
    """Write the bundle of the same model with a localizer once. Read-only."""
    original, model = bundle_model
    localizer = localizer_of(model)
    folder = tmp_path_factory.mktemp("lesion_bundle") / "bundle"
    write_bundle(bundle_of(model, (original / NETWORK).read_bytes(), localizer), folder)
    return folder, model, localizer


@pytest.fixture
def bundle_copy(bundle_model: tuple[Path, TrainedModel], tmp_path: Path) -> Path:
    """Copy the bundle, to change its files."""
    return Path(shutil.copytree(bundle_model[0], tmp_path / "bundle"))
