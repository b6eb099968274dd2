"""kill -9 at any moment: the next run works, and takes nothing half-made for whole."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BEFORE_TRAINING = "ingest,audit,preprocess"
AFTER_TRAINING = "evaluate,report"
SOAK_KILLS = int(os.environ.get("SOAK_KILLS", "0"))


def start(study, pipelines: str) -> subprocess.Popen:
    params = (
        f"data_root={study.data_root},ingest.pixel_size=64,train.image_size=32,"
        "evaluate.bootstrap_replicates=100"
    )
    return subprocess.Popen(
        [sys.executable, "-m", "kedro", "run", "--pipelines", pipelines, "--params", params],
        cwd=study.project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_when(process: subprocess.Popen, moment: Callable[[], bool]) -> bool:
    """Kill the process at the moment; False if it was done before."""
    while not moment():
        if process.poll() is not None:
            return False
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


def count(folder: Path, pattern: str) -> int:
    return sum(1 for _ in folder.rglob(pattern)) if folder.exists() else 0


def assert_like(study, reference) -> None:
    """The data of both studies are equal, and every stored byte is what its name says."""
    for name in ("image_table", "quarantine", "image_groups", "split_table"):
        pd.testing.assert_frame_equal(study.load(name), reference.load(name))
    for path in (study.data_root / "01_raw/objects").glob("??/*"):
        if not path.name.startswith("."):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    ids = reference.load("split_table")["image_id"]
    ours, theirs = (s.load("pixels").at(64) for s in (study, reference))
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
def test_a_killed_ingest_is_finished_by_the_next(study, demo_run, moment):
    ours = study(**demo_run.params)
    process = start(ours, BEFORE_TRAINING)
    kill_when(process, lambda: moment(ours.data_root))
    ours.run(*BEFORE_TRAINING.split(","))
    assert_like(ours, demo_run)


@pytest.mark.parametrize("folder", ["07_model_output", "08_reporting"])
def test_a_killed_evaluation_is_finished_by_the_next(demo_copy, folder):
    before = count(demo_copy.data_root / folder, "*")
    process = start(demo_copy, AFTER_TRAINING)
    assert kill_when(process, lambda: count(demo_copy.data_root / folder, "*") > before)
    demo_copy.run("evaluate", "report")
    versions = demo_copy.versions("metrics")
    assert len(versions) >= 2
    assert all(
        demo_copy.load("metrics", v)["test"] == demo_copy.load("metrics", versions[0])["test"]
        for v in versions
    )
    assert demo_copy.load("report").rstrip().endswith("</html>")


@pytest.mark.skipif(not SOAK_KILLS, reason="long: make soak sets SOAK_KILLS")
def test_many_kills_at_random_moments_do_no_harm(study, demo_run, demo_copy):
    ours, rng = study(**demo_run.params), random.Random(0)
    kills = 0
    while kills < SOAK_KILLS:
        process = start(ours, BEFORE_TRAINING)
        end = time.monotonic() + rng.uniform(3, 9)
        kills += kill_when(process, lambda end=end: time.monotonic() > end)
    ours.run(*BEFORE_TRAINING.split(","))
    assert_like(ours, demo_run)
    print(f"{kills} kills survived")


def test_a_full_disk_is_named_and_the_next_run_goes_on(study, demo_run, tmp_path):
    if os.geteuid() != 0 or subprocess.run(["mountpoint", "-q", "/"], check=False).returncode:
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "data"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk can't be mounted here")
    try:
        ours = study(**demo_run.params)
        with pytest.raises(Exception, match="No space left on device"):
            ours.run(*BEFORE_TRAINING.split(","))
        subprocess.run(["mount", "-o", "remount,size=200M", str(disk)], check=True)
        ours.run(*BEFORE_TRAINING.split(","))
        assert_like(ours, demo_run)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
