"""The identity of a training depends on the code that shapes weights, and on no other code."""

import re
import shutil

import pytest

from skin_lesions.training.identity import _OTHER_SOURCES, PACKAGE, code_hash


@pytest.fixture
def package(tmp_path):
    """Return a copy of the source code."""
    shutil.copytree(PACKAGE, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy"


def hash_after_edit(package, file):
    path = package / file
    before = path.read_text()
    path.write_text(before + "# edited\n")
    changed = code_hash(package)
    path.write_text(before)
    return changed


def test_location_of_the_package_does_not_change_the_hash(package):
    assert code_hash(package) == code_hash()


@pytest.mark.parametrize(
    "file",
    [
        "reporting/templates/report.html.jinja",
        "reporting/html_report.py",
        "audit/leakage.py",
        "evaluation/scorecard/compute.py",
        "config/report.py",
        "data/near_duplicates/search.py",
        "models/downloads.py",
        "models/localization/localizer.py",
        "models/map_layers.py",
        "models/model_file.py",
        "models/postprocessing/temperature.py",
        "models/weights.py",
        "training/preflight.py",
        "training/weights_leakage.py",
        "hooks.py",
        "__init__.py",
    ],
)
def test_code_that_does_not_shape_weights_does_not_change_the_hash(package, file):
    assert hash_after_edit(package, file) == code_hash()


@pytest.mark.parametrize(
    "file",
    [
        "config/train.py",
        "data/decoding.py",
        "data/image_files.py",
        "data/loader.py",
        "data/pixel_store.py",
        "data/preprocessing.py",
        "models/inference.py",
        "models/networks.py",
        "pipelines/train/nodes.py",
        "training/launchers/local.py",
        "training/step.py",
    ],
)
def test_code_that_shapes_weights_changes_the_hash(package, file):
    assert hash_after_edit(package, file) != code_hash()


def test_new_module_of_training_changes_the_hash_until_it_is_excluded(package):
    (package / "training" / "regularization.py").write_text("")
    assert code_hash(package) != code_hash()


def test_data_modules_that_training_and_models_import_are_in_the_hash(package):
    """A function that moves to another module of ``data`` needs that module in the hash."""
    files = [
        file
        for file in (*PACKAGE.glob("training/**/*.py"), *PACKAGE.glob("models/**/*.py"))
        if not any(file.relative_to(PACKAGE).match(pattern) for pattern in _OTHER_SOURCES)
    ]
    imported = {
        name
        for file in files
        for name in re.findall(r"from skin_lesions\.data\.(\w+)", file.read_text())
    }
    imported -= {"fingerprints", "provenance"}  # values in the identity; description of the result
    assert imported >= {"loader", "preprocessing"}
    for name in imported:
        assert hash_after_edit(package, f"data/{name}.py") != code_hash()
