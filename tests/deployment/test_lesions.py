"""Boxes of lesions: model file, bundle and script of the bundle find the same ones."""

import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from skin_lesions.commands.prediction_output import row_writer
from skin_lesions.config.export import Export
from skin_lesions.core.errors import InputError
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.deployment.app.analysis import Analyzer
from skin_lesions.deployment.app.results_table import csv_text
from skin_lesions.deployment.app.shown_images import shown_boxes
from skin_lesions.deployment.app.uploads import Upload
from skin_lesions.deployment.bundle import read_bundle
from skin_lesions.deployment.bundle_writer import write_bundle
from skin_lesions.deployment.decisions import Postprocessor
from skin_lesions.deployment.lesion_export import check_localizer, export_localizer
from skin_lesions.deployment.lesions import FoundLesions
from skin_lesions.deployment.load import load_predictor
from skin_lesions.deployment.rows import PredictionRow, column_names, row_cells, row_json
from skin_lesions.deployment.torch_predictor import TorchPredictor
from skin_lesions.models.bundle_files import CHECKSUMS, write_checksums
from skin_lesions.models.inference import load_network
from skin_lesions.models.localization.boxes import Localization
from skin_lesions.models.localization.localizer_file import write_localizer
from skin_lesions.models.model_file import write_model
from support.bundles import bundle_of, exportable_model, random_images
from support.factories import encoded
from support.localization import LOCALIZER_VERSION, lesion_images, localizer_of
from support.predictors import predicted_rows
from support.scripts import import_script, lesion_corners, rows_of, run_script

LIMITS = Export(
    compared_images=8,
    max_probability_difference=1e-4,
    max_unknown_score_difference=1e-3,
    localizer=None,
)


def test_bundle_and_model_file_find_the_same_lesions(lesion_bundle, lesion_files):
    folder, model, localizer = lesion_bundle
    original = TorchPredictor(model, "cpu", localizer)
    exported = read_bundle(folder)
    assert exported.description == original.description
    assert exported.description.localizer_version == LOCALIZER_VERSION
    rows = predicted_rows(original, lesion_files), predicted_rows(exported, lesion_files)
    for expected, found in zip(*rows, strict=True):
        if expected.prediction is None:
            assert expected.lesions is found.lesions is None
            continue
        assert (found.lesions.width, found.lesions.height) == (96, 64)
        # The images are resized by torch and by Pillow, which round differently.
        np.testing.assert_allclose(found.lesions.boxes[0], expected.lesions.boxes[0], atol=2)
        np.testing.assert_allclose(
            found.lesions.localization.probabilities,
            expected.lesions.localization.probabilities,
            atol=0.05,
        )


def test_exported_network_has_the_soft_masks_of_the_localizer(lesion_bundle):
    _, model, localizer = lesion_bundle
    network = load_network(model)
    content = export_localizer(localizer, network)
    check_localizer(content, localizer, network, random_images(4, 64), LIMITS)
    other = localizer_of(model, seed=1)
    with pytest.raises(InputError, match="exported localizer differs .* export.localizer=null"):
        check_localizer(content, other, network, random_images(4, 64), LIMITS)


def test_rows_have_the_main_box_in_pixels_and_all_lesions(lesion_bundle):
    _, model, localizer = lesion_bundle
    predictor = TorchPredictor(model, "cpu", localizer)
    found = Localization(
        boxes=np.array([[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.1, 0.1]]),
        scores=np.array([0.9, 0.2]),
        probabilities=np.zeros((8, 8), np.float32),
    )
    row = replace(
        predicted_row(predictor),
        lesions=FoundLesions(localization=found, width=600, height=451),
    )
    cells = dict(
        zip(column_names(predictor.description), row_cells(row, predictor.description), strict=True)
    )
    corners = [cells[f"lesion_{name}"] for name in ("x0", "y0", "x1", "y1")]
    assert corners == ["150", "225.5", "450", "451"]
    assert (cells["lesion_score"], cells["lesion_count"]) == ("0.9", "2")
    assert cells["localizer_version"] == LOCALIZER_VERSION
    content = row_json(row, predictor.description)
    assert content["lesions"][1] == {
        "box": {"x0": 0.0, "y0": 0.0, "x1": 60.0, "y1": 45.1},
        "score": 0.2,
    }


def predicted_row(predictor):
    data = encoded(Image.fromarray(lesion_images(1)[0]), "PNG")
    outputs = predictor.outputs(predictor.read(data)[None])
    [prediction] = Postprocessor(predictor.description).predictions(outputs)
    return PredictionRow(
        file="a.png", image_id="0", prediction=prediction, error=None, model_version="V1"
    )


def test_table_in_a_terminal_has_the_main_box(lesion_bundle, lesion_files):
    predictor = read_bundle(lesion_bundle[0])
    text = io.StringIO()
    writer = row_writer("table", text, predictor.description)
    writer.begin()
    rows = predicted_rows(predictor, lesion_files)
    for row in rows:
        writer.write(row)
    writer.end()
    x0, y0, *_ = rows[0].lesions.boxes[0]
    assert "Lesion" in text.getvalue()
    assert f"{x0:.0f} {y0:.0f} " in text.getvalue()


@pytest.mark.parametrize("method", ["dense", "mean_box"])
def test_script_has_the_columns_and_boxes_of_the_package(
    method, lesion_bundle, bundle_model, lesion_files, tmp_path
):
    folder, model, localizer = lesion_bundle
    if method == "mean_box":
        folder = tmp_path / "bundle"
        localizer = localizer_of(model, method)
        network = (bundle_model[0] / "model.onnx").read_bytes()
        write_bundle(bundle_of(model, network, localizer), folder)
        assert not (folder / "localizer.onnx").exists()
    predictor = read_bundle(folder)
    expected = predicted_rows(predictor, lesion_files)
    found = rows_of(
        run_script(folder, lesion_files, *sorted(path.name for path in lesion_files.iterdir()))
    )
    assert list(found[0]) == column_names(predictor.description)
    for row, cells in zip(expected, found, strict=True):
        if row.lesions is None:
            assert cells["lesion_x0"] == ""
            continue
        assert lesion_corners(cells) == row.lesions.boxes[0].tolist()
        score = row.lesions.localization.scores[0]
        assert float(cells["lesion_score"]) == pytest.approx(score, abs=1e-5)
        assert int(cells["lesion_count"]) == len(row.lesions.boxes)


def test_script_divides_a_mask_into_regions_like_scipy(lesion_bundle):

    script = import_script(lesion_bundle[0], "lesions.py")
    mask = np.random.default_rng(0).random((40, 40)) < 0.55
    found = script.label_regions(mask)
    expected, count = ndimage.label(mask)
    assert len(np.unique(found)) == count + 1
    assert (
        len(set(zip(found.ravel().tolist(), expected.ravel().tolist(), strict=True))) == count + 1
    )


def test_page_shows_the_box_and_the_table_has_it(lesion_bundle):
    analyzer = Analyzer(read_bundle(lesion_bundle[0]))
    data = encoded(Image.fromarray(lesion_images(1, seed=3)[0]), "PNG")
    result = analyzer.analyze(Upload(file="a.png", size=len(data), data=data))
    assert result.mask_url.startswith("data:image/png;base64,")
    left, top, width, height = result.shown_boxes[0]
    x0, y0, x1, y1 = result.lesions.boxes[0]
    assert (left, top) == pytest.approx((100 * x0 / 96, 100 * y0 / 64), abs=0.1)
    assert (width, height) == pytest.approx((100 * (x1 - x0) / 96, 100 * (y1 - y0) / 64), abs=0.2)
    header, line = csv_text([result], analyzer.description).splitlines()
    cells = dict(zip(header.split(","), line.split(","), strict=False))
    assert cells['"lesion_x0"'].strip('"') == f"{x0:g}"


def test_box_is_relative_to_the_shown_center_crop():
    found = Localization(
        boxes=np.array([[0.25, 0.0, 0.5, 0.5], [0.0, 0.0, 0.2, 1.0]]),
        scores=np.array([0.9, 0.5]),
        probabilities=np.zeros((8, 8), np.float32),
    )
    lesions = FoundLesions(localization=found, width=200, height=100)
    # Of an image of 2:1, the middle half is shown, from 0.25 to 0.75. The second box is outside.
    [box] = shown_boxes(lesions, Preprocessing("center_crop", 100, 64))
    assert box == pytest.approx((0, 0, 50, 50))
    assert len(shown_boxes(lesions, Preprocessing("stretch", 100, 64))) == 2


def test_changed_or_missing_localizer_is_named(lesion_bundle, tmp_path):

    for name in ("localizer.json", "localizer.onnx", "lesions.py"):
        folder = shutil.copytree(lesion_bundle[0], tmp_path / name)
        (folder / name).unlink()
        with pytest.raises(InputError, match=name):
            read_bundle(folder)
        (folder / name).write_bytes(b"{}")
        with pytest.raises(InputError, match=f"{name} has changed"):
            read_bundle(folder)
    path = folder / "localizer.json"
    content = json.loads(path.read_text())
    for changed, message in (({"format": 0}, "format 2"), ({"threshold": 2}, "threshold: ")):
        path.write_text(json.dumps(content | changed))
        write_checksums(folder)
        with pytest.raises(InputError, match=f"localizer.json .*{message}"):
            read_bundle(folder)


def test_bundle_without_a_localizer_has_no_columns_of_lesions(bundle_model):
    predictor = read_bundle(bundle_model[0])
    assert predictor.lesion_finder is None
    assert "localizer" not in (bundle_model[0] / CHECKSUMS).read_text()
    assert not [name for name in column_names(predictor.description) if "lesion" in name]


def test_localizer_is_given_with_a_model_file_only(lesion_bundle, tmp_path):
    folder, model, localizer = lesion_bundle
    write_model(model, tmp_path / "model.pth")
    write_localizer(localizer, tmp_path / "localizer.pth")
    predictor = load_predictor(tmp_path / "model.pth", "cpu", tmp_path / "localizer.pth")
    assert predictor.description.localizer_version.startswith("sha256:")
    with pytest.raises(InputError, match="localizer does not exist .*missing.pth"):
        load_predictor(tmp_path / "model.pth", "cpu", tmp_path / "missing.pth")
    with pytest.raises(InputError, match="bundle has its own localizer"):
        load_predictor(folder, "cpu", tmp_path / "localizer.pth")
    write_localizer(localizer_of(exportable_model("mobilenet_v3_small")), tmp_path / "other.pth")
    with pytest.raises(InputError, match="localizer belongs to another classifier"):
        load_predictor(tmp_path / "model.pth", "cpu", tmp_path / "other.pth")


def test_cam_cannot_be_exported(lesion_bundle):
    model = lesion_bundle[1]
    with pytest.raises(InputError, match="method cam cannot be exported.*localize.method=dense"):
        export_localizer(localizer_of(model, "cam"), load_network(model))


def test_lesions_of_a_bundle_are_found_without_torch(lesion_bundle):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from skin_lesions.deployment.bundle import read_bundle\n"
        "finder = read_bundle(Path(sys.argv[1])).lesion_finder\n"
        "image = finder.read(sys.stdin.buffer.read())\n"
        "assert len(finder.find([image])) == 1\n"
        "loaded = {'torch', 'torchvision', 'kedro'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    data = encoded(Image.fromarray(lesion_images(1)[0]), "PNG")
    subprocess.run([sys.executable, "-c", code, lesion_bundle[0]], check=True, input=data)


def test_files_that_the_checksums_do_not_list_are_not_used(lesion_bundle, bundle_copy, tmp_path):
    (bundle_copy / "lesions.py").write_text("raise SystemExit('unlisted code was run')")
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(lesion_images(1)[0]), "PNG"))
    [row] = rows_of(run_script(bundle_copy, tmp_path, "a.png"))
    assert "lesion_x0" not in row
    folder = shutil.copytree(lesion_bundle[0], tmp_path / "without_network")
    sums = folder / CHECKSUMS
    lines = sums.read_text().splitlines(keepends=True)
    sums.write_text("".join(line for line in lines if "localizer.onnx" not in line))
    with pytest.raises(InputError, match="does not list localizer.onnx"):
        read_bundle(folder)
