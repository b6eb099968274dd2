import shutil
from pathlib import Path

import pytest
from PIL import Image

from skin_lesions.deployment.bundle_writer import write_bundle
from skin_lesions.models.bundle_files import NETWORK
from skin_lesions.models.localization.localizer_model import Localizer
from skin_lesions.models.trained_model import TrainedModel
from support.bundles import bundle_of, write_small_bundle
from support.factories import encoded
from support.localization import lesion_images, localizer_of


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
def lesion_files(tmp_path: Path) -> Path:
    """Write four PNG files with a lesion and a broken file; return their folder."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i, pixels in enumerate(lesion_images(4, seed=5)):
        (folder / f"{i}.png").write_bytes(encoded(Image.fromarray(pixels), "PNG"))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    return folder


@pytest.fixture
def bundle_copy(bundle_model: tuple[Path, TrainedModel], tmp_path: Path) -> Path:
    """Copy the bundle, to change its files."""
    return Path(shutil.copytree(bundle_model[0], tmp_path / "bundle"))
