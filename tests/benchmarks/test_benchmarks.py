"""Each benchmark runs on tiny input and records its results."""

import logging
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from skin_lesions.models import devices
from support.benchmarks import BENCHMARKS, import_benchmark, run_benchmark

SMALL = ("--architecture", "shufflenet_v2_x0_5", "--image-size", 32, "--rounds", 1)
linux = pytest.mark.skipif(sys.platform != "linux", reason="measures memory on Linux")


@pytest.fixture
def run(tmp_path, monkeypatch) -> Callable[..., dict[str, Any]]:
    """Run a benchmark without lasting changes of this process; return its results."""
    monkeypatch.setattr(devices, "keep_freed_memory", lambda: None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more threads would only wait for each other
    results = tmp_path / "results"

    def run_script(script, *args):
        return run_benchmark(script, *args, results=results, monkeypatch=monkeypatch)

    yield run_script
    logging.disable(logging.NOTSET)
    torch.set_num_threads(threads)


@pytest.fixture
def photographs(tmp_path) -> Path:
    """Create a folder with six images."""
    folder = tmp_path / "photographs"
    import_benchmark("images").make_photographs(folder, 6, 128, 96)
    return folder


@pytest.mark.parametrize("script", sorted(path.stem for path in BENCHMARKS.glob("*.py")))
def test_every_benchmark_can_be_imported(script):
    import_benchmark(script)


def test_ingest_compares_both_ingests_with_bare_decoding(run):
    results = run("ingest", "--images", 8, "--rounds", 1, "--width", 64, "--height", 48)
    assert results["images"] == 8
    assert results["ingest_images_per_second"] > 0


@linux
def test_loading_reads_every_image_of_the_epoch(run, monkeypatch):
    def without_workers(*args, num_workers, **kwargs):  # forked processes fail under coverage
        return DataLoader(*args, **kwargs)

    monkeypatch.setattr("torch.utils.data.DataLoader", without_workers)
    results = run("loading", "--images", 34, "--rounds", 1, "--epoch-images", 40)
    assert results["epoch_images"] == 40
    assert results["finished_default_times_the_notebook"] > 0


@linux
def test_predict_measures_speed_and_memory(run):
    small = ("--architecture", "shufflenet_v2_x0_5", "--images", 4, "--rounds", 1)
    results = run("predict", *small, "--counts", 3, 6)
    assert results["predict_times_the_plain_loop"] > 0
    assert set(results["peak_memory_mb"]) == {"3", "6"}
    assert results["peak_memory_rise_mb"] < 100


def test_step_compares_the_speed_of_three_variants(run):
    results = run("step", *SMALL, "--batch-size", 2, "--matrix-size", 64)
    assert results["ratio_channels_last"] > 0
    assert results["default_recipe_images_per_second"] > 0


def test_step_accepts_a_folder_of_images(run, photographs):
    sizes = ("--batch-size", 6, "--matrix-size", 64)
    assert run("step", "--folder", photographs, *SMALL, *sizes)["rounds"] == 1


def test_epoch_compares_epochs_with_their_steps(run):
    results = run("epoch", *SMALL, "--images", 64, "--epochs", 1)
    assert results["trained_images_per_second"] > 0


def test_near_duplicates_finds_transformed_images(run, photographs):
    results = run("near_duplicates", "--folder", photographs, "--images", 1)
    assert results["changed_copies"] == len(results["recall_by_change"]) == 17
    assert results["if_none_were"]["recall_simple"] == 0


def test_near_duplicates_finds_crops(run, photographs):
    assert run("near_duplicates", "--folder", photographs, "--crops", 2)["photographs"] == 6


@pytest.fixture
def lesion_folders(tmp_path, photographs) -> Path:
    """Create folders in the structure of isic8_grouped, isic2017 and localisation."""
    data = tmp_path / "data"
    for name, prefix in {
        "localisation/images": "PAT_1_",
        "isic8_grouped": "A",
        "isic2017": "B",
    }.items():
        (data / name).mkdir(parents=True)
        for number, path in enumerate(sorted(photographs.rglob("*.jpg"))[:3]):
            name_of_image = f"{prefix}{number}" + ("_1" if prefix == "PAT_1_" else "")
            shutil.copy(path, data / name / f"{name_of_image}.jpg")
    (data / "isic8_grouped" / "metadata.csv").write_text(
        "file,image_id,group_id,label\n" + "".join(f"A{i}.jpg,A{i},g{i},mel\n" for i in range(3)),
        encoding="utf-8",
    )
    (data / "isic2017" / "metadata.csv").write_text(
        "file,image_id,in_main_split\n" + "".join(f"isic2017/B{i}.jpg,B{i},\n" for i in range(3)),
        encoding="utf-8",
    )
    return data


def test_near_duplicates_parts_scores_each_kind_of_pair_and_of_negatives(
    run, lesion_folders, monkeypatch
):
    parts = import_benchmark("near_duplicates_parts")
    monkeypatch.setattr(
        parts.ph, "CELLS", {"overlap 0.3 to 0.6": parts.ph.CELLS["overlap 0.6 to 0.95"]}
    )
    monkeypatch.setattr(parts.ph, "packaged_photographs", list)
    scores = run("near_duplicates_parts", "--data", lesion_folders, "--pairs", 2)["search"]
    cells = [cell for part in scores["pairs"]["recall"].values() for cell in part]
    assert set(cells) <= {"overlap 0.3 to 0.6", parts.COLLAGE, parts.SMOOTH}
    assert scores["pairs"]["images"] == 12
    assert len(scores["negatives"]) == 8


def test_photographs_of_packages_are_decoded_and_limited_in_size():
    photographs = import_benchmark("photographs").packaged_photographs()
    assert len({photograph.name for photograph in photographs}) == 17
    assert max(max(photograph.image.shape) for photograph in photographs) == 512


def test_near_duplicates_constants_are_varied(run, photographs):
    names = ("max_keypoints", "min_votes", "min_inliers")
    results = run("near_duplicates_constants", "--folder", photographs, "--constants", *names)
    assert len(results["variants"]) == 1 + 2 * len(names)


@linux
def test_near_duplicates_scale_measures_the_search_in_a_new_process(run, photographs):
    results = run("near_duplicates_scale", "--folder", photographs, "--search", 40)
    assert results["40"]["seconds"] > 0


@linux
def test_near_duplicates_scale_measures_the_search_from_files_to_groups(run, photographs):
    n = len(list(photographs.rglob("*.jpg")))
    results = run("near_duplicates_scale", "--folder", photographs, "--files", 2 * n)
    assert results["images"] == 2 * n
    assert results["groups"] <= n + 1
    assert results["seconds_of_each"].keys() == {"describing", "searching", "confirming"}


def test_simulations_show_that_widened_intervals_contain_the_value_more_often(run):
    results = run("simulations", "--runs", 3)
    coverage = results["coverage_of_balanced_accuracy_by_recall"]["0.9"]
    assert coverage["plain"] <= coverage["widened"]
    assert results["largest_group_by_false_matches"]["300"]["rules"] == 50


def test_metrics_measures_the_seconds_of_each_evaluator(run):
    results = run("metrics", "--images", 200, "--rounds", 1)
    assert results["seconds_of_each"].keys() == {"score", "malignancy", "slices"}
    assert results["seconds"] == pytest.approx(sum(results["seconds_of_each"].values()))


def test_paired_coverage_counts_the_intervals_that_contain_the_true_difference(monkeypatch):
    module = import_benchmark("paired_coverage")
    monkeypatch.setattr(module, "LARGE_SPLIT", 3000)
    settings = import_benchmark("interval_coverage").SETTINGS
    setting = replace(settings["300 images, 8 classes"], images=60)
    results = module.measure(setting, replications=5)
    assert results.keys() == set(module.METRICS)
    for row in results.values():
        assert row["coverage"] + row["below"] + row["above"] == pytest.approx(1)
        assert row["width"] > 0
