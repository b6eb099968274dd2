"""Runs killed with kill -9 at any moment.

The next run works, and does not read incomplete files.
"""

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from support.disks import small_disk
from support.study import Study

pytestmark = pytest.mark.slow

BEFORE_TRAINING = "ingest,audit,preprocess"
AFTER_TRAINING = "evaluate,report"
SOAK_KILLS = int(os.environ.get("SOAK_KILLS", "0"))


def start(
    study, pipelines: str, more: str = "", stdout: int = subprocess.DEVNULL
) -> subprocess.Popen:
    params = f"data_root={study.data_root},ingest.stored_image_size=64,train.image_size=32{more}"
    return subprocess.Popen(
        [sys.executable, "-m", "kedro", "run", "--pipelines", pipelines, "--params", params],
        cwd=study.project,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )


def kill_when(process: subprocess.Popen, moment: Callable[[], bool]) -> bool:
    """Kill the process at the moment; return False if it ended before."""
    while not moment():
        if process.poll() is not None:
            return False
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def count(folder: Path, pattern: str) -> int:
    return sum(1 for _ in folder.rglob(pattern)) if folder.exists() else 0


def assert_same_data(study, reference) -> None:
    """Assert that both studies have equal data, and that stored files match their sha256."""
    for name in ("image_table", "split_table"):
        pd.testing.assert_frame_equal(study.table(name), reference.table(name))
    for name in ("quarantine", "image_groups"):
        pd.testing.assert_frame_equal(study.load(name), reference.load(name))
    for path in (study.data_root / "01_raw/objects").glob("??/*"):
        if not path.name.startswith("."):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    ids = reference.table("split_table")["image_id"]
    ours, theirs = (s.load("pixel_store").at(64) for s in (study, reference))
    np.testing.assert_array_equal(ours.array[ours.rows(ids)], theirs.array[theirs.rows(ids)])


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(
            lambda root: count(root / "01_raw/objects", "*") > 300, id="copying and decoding"
        ),
        pytest.param(lambda root: count(root / "01_raw", "manifest.parquet") > 1, id="reading"),
        pytest.param(
            lambda root: count(root / "02_intermediate", "*.parquet*") > 0, id="describing"
        ),
    ],
)
def test_next_run_completes_a_killed_ingest(study, demo_run, moment):
    ours = study(**demo_run.params)
    process = start(ours, BEFORE_TRAINING)
    kill_when(process, lambda: moment(ours.data_root))
    ours.run(*BEFORE_TRAINING.split(","))
    assert_same_data(ours, demo_run)


@pytest.mark.parametrize("folder", ["07_model_output", "08_reporting"])
def test_next_run_completes_a_killed_evaluation(demo_copy, folder):
    before = count(demo_copy.data_root / folder, "*")
    process = start(demo_copy, AFTER_TRAINING)
    assert kill_when(process, lambda: count(demo_copy.data_root / folder, "*") > before)
    demo_copy.run("evaluate", "report")
    versions = demo_copy.versions("metrics")
    assert len(versions) >= 2
    assert all(
        demo_copy.load("metrics", v).test == demo_copy.load("metrics", versions[0]).test
        for v in versions
    )
    assert demo_copy.load("report").rstrip().endswith("</html>")


# Random augmentation and all kinds of state.
# With a checkpoint after each step, kills hit all moments.
TRAINING = (
    ",train.epochs=2,train.batch_size=96,train.device=cpu,train.ema_decay=0.9"
    ",train.augmentation.mixup_alpha=0.2,train.augmentation.rotation=any"
    ",train.checkpoint_interval_minutes="
)
EACH_STEP, EACH_EPOCH = TRAINING + "0.0001", TRAINING + "10"


def train_completely(study, more: str) -> str:
    """Run the pipeline `train`; return its output."""
    process = start(study, "train", more, subprocess.PIPE)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def untrained(demo_run, folder: Path) -> Study:
    """Copy the results of the demo without model, predictions and report."""
    shutil.copytree(
        demo_run.data_root, folder, ignore=shutil.ignore_patterns("06_models", "07*", "08*")
    )
    return Study(demo_run.project, folder, "demo")


def assert_same_weights(study, reference) -> None:
    ours, theirs = study.load("model"), reference.load("model")
    assert all(torch.equal(ours.state_dict[name], t) for name, t in theirs.state_dict.items())
    assert ours.postprocessing == theirs.postprocessing
    assert ours.selection == theirs.selection


def test_three_kills_of_a_training_do_not_change_its_weights(demo_run, tmp_path):
    reference, ours = (untrained(demo_run, tmp_path / name) for name in ("reference", "killed"))
    train_completely(reference, EACH_EPOCH)
    checkpoints = ours.data_root / "06_models/checkpoints"

    def checkpoint_counter() -> Callable[[], int]:
        seen: set[int] = set()

        def count_checkpoints() -> int:
            seen.update(path.stat().st_mtime_ns for path in checkpoints.glob("*/checkpoint.pt"))
            return len(seen)

        return count_checkpoints

    between_epochs = checkpoint_counter()
    assert kill_when(start(ours, "train", EACH_EPOCH), lambda: between_epochs() == 1)
    within_epoch = checkpoint_counter()
    assert kill_when(start(ours, "train", EACH_STEP), lambda: within_epoch() == 4)
    while_writing = checkpoint_counter()
    assert kill_when(
        start(ours, "train", EACH_STEP),
        lambda: while_writing() >= 3 and count(checkpoints, ".*.partial.pt") > 0,
    )
    output = train_completely(ours, EACH_EPOCH)
    epoch, step = map(
        int, re.search(r"Training resumed at epoch (\d+), step (\d+)", output).groups()
    )
    assert epoch == 2
    assert step >= 4
    assert_same_weights(ours, reference)
    assert list(checkpoints.iterdir()) == []


@pytest.mark.distributed
def test_run_in_two_processes_saves_one_model_for_the_next_stages(demo_run, tmp_path):
    ours = untrained(demo_run, tmp_path / "data")
    output = train_completely(ours, EACH_EPOCH + ",train.launcher=local,train.num_processes=2")
    assert "on 2 processes" in output
    assert len(re.findall(r"Epoch 1/2:", output)) == 1
    assert len(list((ours.data_root / "06_models/model.pth").glob("*/model.pth"))) == 1
    assert list((ours.data_root / "06_models/checkpoints").iterdir()) == []
    ours.run("evaluate")
    assert ours.load("metrics").test.n == demo_run.load("metrics").test.n


@pytest.mark.skipif(not SOAK_KILLS, reason="long: make soak sets SOAK_KILLS")
def test_many_kills_of_trainings_at_random_moments_do_not_change_the_weights(demo_run, tmp_path):
    reference, ours = (untrained(demo_run, tmp_path / name) for name in ("reference", "killed"))
    train_completely(reference, EACH_EPOCH)
    rng, kills = random.Random(0), 0
    while kills < SOAK_KILLS:
        process = start(ours, "train", rng.choice([EACH_STEP, EACH_EPOCH]))
        end = time.monotonic() + rng.uniform(3, 12)
        if kill_when(process, lambda end=end: time.monotonic() > end):
            kills += 1
        else:  # training ended first: the next one starts from scratch
            assert_same_weights(ours, reference)
    train_completely(ours, EACH_EPOCH)
    assert_same_weights(ours, reference)
    print(f"{kills} kills of trainings survived")


@pytest.mark.skipif(not SOAK_KILLS, reason="long: make soak sets SOAK_KILLS")
def test_many_kills_at_random_moments_do_not_change_the_data(study, demo_run, demo_copy):
    ours, rng = study(**demo_run.params), random.Random(0)
    kills = 0
    while kills < SOAK_KILLS:
        process = start(ours, BEFORE_TRAINING)
        end = time.monotonic() + rng.uniform(3, 9)
        kills += kill_when(process, lambda end=end: time.monotonic() > end)
    ours.run(*BEFORE_TRAINING.split(","))
    assert_same_data(ours, demo_run)
    print(f"{kills} kills survived")


@pytest.mark.parametrize(
    "more",
    [EACH_STEP, EACH_STEP + ",train.launcher=local,train.num_processes=2"],
    ids=["single", "local"],
)
def test_ctrl_c_saves_a_complete_checkpoint_and_reports_how_to_resume(demo_run, tmp_path, more):
    ours = untrained(demo_run, tmp_path / "data")
    process = start(ours, "train", more, subprocess.PIPE)
    while not count(ours.data_root / "06_models/checkpoints", "checkpoint.pt"):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    (step,) = re.findall(r"Training stopped in epoch 1 after step (\d+) of \d+", output)
    process = start(ours, "train", more, subprocess.PIPE)
    expected = f"Training resumed at epoch 1, step {step}"
    assert any(expected in line for line in process.stdout), "training resumed at another step"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_full_disk_is_reported_and_the_next_run_continues(study, demo_run, tmp_path):
    with small_disk(tmp_path / "data", "4M") as disk:
        ours = study(**demo_run.params)
        with pytest.raises(Exception, match="No space left on device"):
            ours.run(*BEFORE_TRAINING.split(","))
        subprocess.run(["mount", "-o", "remount,size=200M", str(disk)], check=True)
        ours.run(*BEFORE_TRAINING.split(","))
        assert_same_data(ours, demo_run)
