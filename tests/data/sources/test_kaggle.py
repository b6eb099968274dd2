"""Kaggle data sets, downloaded from a local server with the API of Kaggle."""

import errno
import gzip
import io
import logging
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from hashlib import sha256
from types import SimpleNamespace
from unittest.mock import Mock

import pandas as pd
import pytest
import torch
import torchvision
from filelock import FileLock

from skin_lesions.core.errors import InputError
from skin_lesions.data.provenance import Origin
from skin_lesions.data.sources import kaggle
from skin_lesions.data.sources.kaggle import download_dataset, license_notes
from skin_lesions.data.sources.synthetic import render_file, synthetic_table
from support.kaggle_server import (
    REDIRECTED_KEDRO,
    KaggleServer,
    make_zip,
    random_bytes,
    redirect_kaggle,
    serving,
)
from support.study import Study

DATASET = "ahmedxc4/skin-ds"
MEBIBYTE = 1 << 20  # kagglehub writes in chunks of this size
SMALL = {"train/Melanoma/ISIC_0024468.jpg": b"one", "test/Cowpox/CWP_01_01_1.jpg": b"two"}
LARGE = {"train/Melanoma/ISIC_0024468.jpg": random_bytes(4 * MEBIBYTE)}


def isolate(monkeypatch, folder):
    """Hide credentials, cache, proxy and notebook service of the machine from the test."""
    for name in os.environ:
        if name.startswith("KAGGLE"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("TBE_RUNTIME_ADDR", raising=False)
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(folder / "home"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(folder / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(kaggle, "_RETRY_PAUSE", 0)


@pytest.fixture
def isolated(monkeypatch, tmp_path):
    isolate(monkeypatch, tmp_path)


@pytest.fixture
def server(isolated, monkeypatch):
    with serving(
        KaggleServer(DATASET, {1: make_zip({"a.jpg": b"old"}), 3: make_zip(SMALL)})
    ) as server:
        redirect_kaggle(monkeypatch, server.url)
        yield server


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def make_tar(member, data=b""):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def archives(tmp_path):
    return list((tmp_path / "cache").rglob("*.archive"))


def download_error(dataset=DATASET, version=None):
    with pytest.raises(InputError) as error:
        download_dataset(dataset, version)
    assert " at 0x" not in str(error.value)  # no repr of a Python object
    return str(error.value)


def test_newest_version_is_requested_once_and_recorded(server, tmp_path):
    found = download_dataset(DATASET, None)
    assert (found.dataset, found.version) == (DATASET, 3)
    assert files(found.folder) == SMALL
    assert found.folder.is_relative_to(tmp_path / "cache")
    assert [line.split()[0] for line in server.requests] == [
        "GetDataset",
        "DownloadDataset",
        "store",
    ]
    assert not archives(tmp_path)


def test_public_data_set_needs_no_credentials(server):
    download_dataset(DATASET, None)
    assert server.authorizations == {None}


def test_credentials_come_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")
    download_dataset(DATASET, None)
    assert server.authorizations == {"Bearer secret"}


def test_error_names_an_invalid_credentials_file(server, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "kaggle.json").write_text("{")
    assert str(tmp_path / "home" / "kaggle.json") in download_error()


def test_pinned_version_in_the_cache_needs_no_request(server):
    assert files(download_dataset(DATASET, 1).folder) == {"a.jpg": b"old"}
    server.requests.clear()
    again = download_dataset(DATASET, 1)
    assert server.requests == []
    assert (again.version, files(again.folder)) == (1, {"a.jpg": b"old"})


def test_pinned_version_in_a_read_only_cache_is_used(server, monkeypatch):
    download_dataset(DATASET, 1)
    monkeypatch.setattr(kaggle.os, "access", lambda path, mode: False)
    monkeypatch.setattr(kaggle, "FileLock", None)
    assert download_dataset(DATASET, 1).version == 1


def test_new_version_is_found_and_known_version_is_not_downloaded_again(server):
    download_dataset(DATASET, None)
    download_dataset(DATASET, None)
    assert server.count("store") == 1
    server.versions[4] = make_zip({"new.jpg": b"new"})
    newest = download_dataset(DATASET, None)
    assert (newest.version, files(newest.folder)) == (4, {"new.jpg": b"new"})


def test_version_downloaded_by_kagglehub_is_found(server):
    import kagglehub  # noqa: PLC0415

    folder = kagglehub.dataset_download(f"{DATASET}/versions/3")
    server.requests.clear()
    found = download_dataset(DATASET, 3)
    assert (str(found.folder), server.requests) == (folder, [])


def test_interrupted_download_resumes_where_it_stopped(server, caplog):
    server.versions[3] = make_zip(LARGE)
    server.cut_after = [2 * MEBIBYTE + 10, MEBIBYTE + 10]
    caplog.set_level(logging.INFO)
    assert files(download_dataset(DATASET, None).folder) == LARGE
    ranges = [line.split()[2] for line in server.requests if line.startswith("store")]
    first, second = (int(r[6:-1]) for r in ranges if r != "all")
    assert MEBIBYTE < first <= 2 * MEBIBYTE + 10
    assert first + MEBIBYTE <= second < len(server.versions[3])
    assert caplog.text.count("Download interrupted") == 2


def test_next_run_resumes_an_unfinished_download(server):
    server.versions[3] = make_zip(LARGE)
    server.cut_after = [2 * MEBIBYTE + 10, 0]
    assert "2.1 MB are saved" in download_error()
    server.requests.clear()
    assert files(download_dataset(DATASET, None).folder) == LARGE
    assert server.requests[-1].endswith(f"bytes={2 * MEBIBYTE}-")


def test_damaged_download_is_deleted_and_the_next_download_works(server, tmp_path):
    server.damaged = True
    server.versions[3] = make_zip(LARGE)
    message = download_error()
    assert "was damaged (checksum mismatch). It was deleted" in message
    assert "source.kind=folder" in message
    assert not archives(tmp_path)
    server.damaged = False
    assert files(download_dataset(DATASET, None).folder) == LARGE


TAR = make_tar(tarfile.TarInfo("a.jpg"), b"one")
BROKEN = {
    "name": make_zip({"ä.jpg": b"one"}).replace("ä".encode(), b"\xff\xff"),
    "offset": make_zip(SMALL)[:-6] + bytes([255, 255, 0, 0, 0, 0]),  # of the central directory
    "gzip": gzip.compress(gzip.decompress(TAR)[:600])[:-8] + bytes(8),  # truncated, wrong checksum
    "content": make_zip(SMALL).replace(b"one", b"eno"),
    "page": b"<html>maintenance</html>",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_archive_that_cannot_be_unpacked_is_named_and_can_be_deleted(server, tmp_path, kind):
    server.versions[3] = BROKEN[kind]
    message = download_error()
    folder = tmp_path / "cache/datasets" / DATASET
    assert message.startswith(f"kagglehub cannot load the newest version of {DATASET}: ")
    assert f"Fix: delete {folder}/*.archive if the download is damaged" in message
    assert "source.kind=folder" in message
    server.versions[3] = make_zip(SMALL)
    for archive in folder.glob("*.archive"):
        archive.unlink()
    assert files(download_dataset(DATASET, None).folder).items() >= SMALL.items()


@pytest.mark.parametrize("name", ["../out.jpg", "a/../../out.jpg", "/tmp/out.jpg"])
def test_file_outside_the_folder_of_a_zip_archive_is_unpacked_inside(server, tmp_path, name):
    server.versions[3] = make_zip({**SMALL, name: b"out"})
    folder = download_dataset(DATASET, None).folder
    assert b"out" in files(folder).values()
    assert all(path.is_relative_to(folder) for path in tmp_path.rglob("*.jpg"))


def test_tar_archive_is_unpacked_unless_a_link_leads_outside(server, tmp_path):
    server.versions[3] = make_tar(tarfile.TarInfo("train/Cowpox/a.jpg"), b"one")
    assert files(download_dataset(DATASET, None).folder) == {"train/Cowpox/a.jpg": b"one"}
    link = tarfile.TarInfo("train/link")
    link.type, link.linkname = tarfile.SYMTYPE, "../../../.."
    server.versions[4] = make_tar(link)
    assert "train/link" in download_error()
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]


def test_full_disk_while_unpacking_does_not_lose_the_download(server, monkeypatch):
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, "No space left on device")
        patch.setattr(zipfile.ZipFile, "extractall", Mock(side_effect=full))
        message = download_error()
    assert "No space left on device" in message
    assert "KAGGLEHUB_CACHE" in message
    server.damaged = True  # a second download would fail
    assert files(download_dataset(DATASET, None).folder) == SMALL


def test_partially_unpacked_files_of_a_killed_run_are_replaced(server, tmp_path):
    half = tmp_path / "cache/datasets" / DATASET / "versions/3" / next(iter(SMALL))
    half.parent.mkdir(parents=True)
    half.write_bytes(b"o")
    assert files(download_dataset(DATASET, 3).folder) == SMALL


def test_concurrent_runs_download_once(server, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    lock = tmp_path / "cache/datasets" / DATASET / "download.lock"
    lock.parent.mkdir(parents=True)
    found = []
    with FileLock(lock):
        runs = [
            threading.Thread(target=lambda: found.append(download_dataset(DATASET, None)))
            for _ in range(2)
        ]
        for run in runs:
            run.start()
        while caplog.text.count("waiting for it") < 2:
            assert all(run.is_alive() for run in runs)
    for run in runs:
        run.join()
    assert [files(one.folder) for one in found] == [SMALL, SMALL]
    assert server.count("store") == 1


def test_error_without_a_network_describes_the_manual_download(isolated, monkeypatch):
    redirect_kaggle(monkeypatch, "http://127.0.0.1:9")
    message = download_error()
    assert f"cannot be reached (request for the newest version of {DATASET}): " in message
    assert "Connection refused" in message
    assert "--params source.kind=folder,source.folder=" in message
    assert "from the cache" not in message


def test_error_without_a_network_lists_the_cached_versions(server, monkeypatch):
    download_dataset(DATASET, 1)
    download_dataset(DATASET, 3)
    redirect_kaggle(monkeypatch, "http://127.0.0.1:9")
    message = download_error()
    assert "from the cache (1, 3) with --params source.kaggle.version=3" in message
    assert files(download_dataset(DATASET, 3).folder) == SMALL
    assert "request for version 2 of" in download_error(version=2)


@pytest.mark.parametrize(
    ("endpoint", "status", "expected"),
    [
        ("GetDataset", 401, "rejects your credentials"),
        ("GetDataset", 403, "It does not exist, or you do not have access"),
        ("GetDataset", 404, "It does not exist, or you do not have access"),
        ("GetDataset", 429, "run the same command again later"),
        ("GetDataset", 503, "run the same command again"),
        ("DownloadDataset", 403, "ahmedxc4/skin-ds. It does not exist, or you do not have access"),
        ("DownloadDataset", 500, "run the same command again"),
        ("store", 403, "ahmedxc4/skin-ds. Fix: run the same command again"),
        ("store", 503, "run the same command again"),
    ],
)
def test_http_error_is_reported_with_its_status_and_a_fix(server, endpoint, status, expected):
    server.status = {endpoint: status}
    message = download_error()
    assert f"Kaggle returned status {status}" in message
    assert expected in message
    assert "Signature" not in message
    server.status = {}
    assert files(download_dataset(DATASET, None).folder) == SMALL


def test_unknown_data_set_is_reported_with_the_server_message(server):
    message = download_error("nobody/nothing")
    assert "403 (Permission 'datasets.get' was denied)" in message
    assert "the newest version of nobody/nothing" in message


def test_nonexistent_version_is_reported_with_the_parameter(server):
    message = download_error(version=9)
    assert f"404 (status 404) for version 9 of {DATASET}" in message
    assert "source.kaggle.version" in message


def test_version_that_does_not_exist_yet_is_an_error_until_it_is_published(server):
    """No other version replaces it, and the error is not remembered."""
    newest = download_dataset(DATASET, None)
    message = download_error(version=newest.version + 1)
    assert f"version 4 of {DATASET}" in message
    server.versions[4] = make_zip({"new.jpg": b"new"})
    published = download_dataset(DATASET, 4)
    assert (published.version, files(published.folder)) == (4, {"new.jpg": b"new"})


def test_data_set_without_a_version_is_reported(server):
    server.versions = {}
    assert f"cannot load the newest version of {DATASET}: No version" in download_error()


def test_login_page_of_a_network_is_rejected(server):
    server.login_page = True
    assert "is not from Kaggle" in download_error()


@pytest.mark.parametrize(
    "dataset", ["skin-ds", "../..", "a/..", "a/b/versions/3", "https://a/b", "a/b\n", "", "ä/b"]
)
def test_invalid_data_set_name_is_rejected_before_any_request(server, dataset):
    assert "Expected owner/name" in download_error(dataset)
    assert server.requests == []


def test_error_names_a_cache_that_is_not_writable(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "file"))
    message = download_error()
    assert str(tmp_path / "file") in message
    assert "KAGGLEHUB_CACHE" in message


def test_only_log_lines_are_written_without_a_terminal(server, monkeypatch, capfd, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")  # required for the version check
    server.headers = {"X-Kaggle-HubVersion": "99.0"}
    download_dataset(DATASET, None)
    output = capfd.readouterr()
    assert "%|" not in output.err  # no progress bar
    assert "outdated" not in output.out
    assert all(record.name == "skin_lesions.data.sources.kaggle" for record in caplog.records)
    assert f"Downloading the newest version of {DATASET}" in caplog.text
    assert f"Version 3 of {DATASET} is in " in caplog.text


def test_terminal_shows_a_progress_bar(server, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    download_dataset(DATASET, None)
    assert "100%|" in terminal.getvalue()


def test_notebook_service_mounts_a_pinned_version(server, monkeypatch, tmp_path):
    for name, value in {
        "KAGGLE_KERNEL_RUN_TYPE": "Interactive",
        "KAGGLE_DATA_PROXY_URL": server.url,
        "KAGGLE_USER_SECRETS_TOKEN": "secret",
        "KAGGLE_DATA_PROXY_TOKEN": "secret",
        "KAGGLE_CACHE_MOUNT_FOLDER": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    server.mount = "skin-ds"
    (tmp_path / "skin-ds").mkdir()
    found = download_dataset(DATASET, 3)
    assert (found.folder, found.version) == (tmp_path / "skin-ds", 3)
    assert "does not report the mounted version" in download_error()
    assert server.count("DownloadDataset") == 0


def test_license_notes_refer_to_the_page():
    assert license_notes("a/b") == ["The license on the Kaggle page of a/b was not looked up."]


def test_license_notes_of_skin_ds_name_the_sources_of_its_images():
    _, isic, msld = license_notes("AhmedXC4/Skin-DS")
    assert "ISIC 2019" in isic
    assert "CC BY-NC 4.0" in isic
    assert "MSLD v2.0 are not known" in msld


def test_origin_contains_version_and_license_notes(server):
    origin = download_dataset(DATASET, None).origin
    notes = tuple(license_notes(DATASET))
    assert origin == Origin(kind="kaggle", dataset=DATASET, version=3, license_notes=notes)


def kedro_run(project, server, data_root, **params):
    fast = {
        **{
            "data_root": data_root,
            "ingest.stored_image_size": 64,
        },
        **{"train.epochs": 1, "train.image_size": 32},
        **{"train.device": "cpu", "evaluate.device": "cpu"},
    }
    overrides = ",".join(f"{name}={value}" for name, value in {**fast, **params}.items())
    command = ["run", "--env", "skin_ds", "--params", overrides]
    return subprocess.run(
        [sys.executable, "-c", REDIRECTED_KEDRO, server.url, *command],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )


# According to the file names, these are duplicates and images of the same patient. The synthetic
# images themselves are of different lesions.
SAME_PATIENT = [
    "Split_smol/test/Monkeypox/MKP_77_01_2.jpg",
    "Split_smol/train/Monkeypox/MKP_77_01_1.jpg",
    "Split_smol/val/Monkeypox/MKP_77_02_1.jpg",
]
SAME_IMAGE = [
    "Split_smol/test/Melanoma/ISIC_0099999.jpg",
    "Split_smol/train/Melanoma/ISIC_0099999.jpg",
]


def small_skin_ds():
    """Create synthetic images with names as in skin-ds: 14 classes, 5 lesions each, 2 leaks."""
    table = synthetic_table(seed=1)
    table = table[table["planted"].isna()].drop_duplicates("lesion")
    planted = {"Monkeypox": SAME_PATIENT, "Melanoma": SAME_IMAGE}
    members = {}
    for label, rows in table.groupby("label"):
        leaks = planted.get(label, [])
        for number, row in enumerate(rows.head(5 + len(leaks)).itertuples()):
            split = ("train", "train", "train", "test", "val")[number % 5]
            code, digits = row.lesion.partition("_")[0], f"{len(members):05d}"
            is_clinical = row.site is None
            name = f"{code}_{number + 1:02d}_01_1" if is_clinical else f"ISIC_00{digits}"
            file = f"Split_smol/{split}/{label}/{name}.jpg" if number < 5 else leaks[number - 5]
            members[file] = render_file(row.file, seed=1)
    return members


def imagenet_weights(folder):
    """Create random weights with the shapes of the ImageNet weights: (URL, sha256)."""
    torch.manual_seed(0)
    path = folder / "resnet18.pth"
    torch.save(torchvision.models.resnet18(num_classes=1000).state_dict(), path)
    return path.as_uri(), sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def skin_ds(project, tmp_path_factory):
    """Run ``kedro run --env skin_ds``, ingest with a pinned version, and ingest as configured.

    ``requests`` lists the requests of each of the three runs.
    """
    folder = tmp_path_factory.mktemp("skin_ds")
    weights, digits = imagenet_weights(folder)
    small = {"ingest": {"stored_image_size": 64}, "train": {"image_size": 32}}
    study = Study(project, folder / "data", "skin_ds", **small)
    versions = {4: make_zip({"old.jpg": b"old"}), 5: make_zip(small_skin_ds())}
    with pytest.MonkeyPatch.context() as patch, serving(KaggleServer(DATASET, versions)) as server:
        isolate(patch, folder)
        redirect_kaggle(patch, server.url)
        requests = []

        def record_requests(run):
            server.requests.clear()
            result = run()
            requests.append([line.split()[0] for line in server.requests])
            return result

        params = {"train.weights": weights}
        process = record_requests(lambda: kedro_run(project, server, study.data_root, **params))
        assert process.returncode == 0, process.stdout + process.stderr
        record_requests(lambda: study.run("ingest", source={"kaggle": {"version": 5}}))
        record_requests(lambda: study.run("ingest"))
    return SimpleNamespace(
        study=study, process=process, requests=requests, server=server, weights_sha256=digits
    )


def test_kedro_run_of_skin_ds_downloads_and_logs_the_newest_version(skin_ds):
    assert skin_ds.requests[0] == ["GetDataset", "DownloadDataset", "store"]
    assert skin_ds.server.authorizations == {None}
    assert f"Version 5 of {DATASET} is in " in skin_ds.process.stdout
    assert "Extracting files" not in skin_ds.process.stdout  # a message of kagglehub
    assert "%|" not in skin_ds.process.stderr  # no progress bar without a terminal


def test_next_runs_of_skin_ds_request_at_most_the_newest_version(skin_ds):
    assert skin_ds.requests[1:] == [[], ["GetDataset"]]
    versions = skin_ds.study.versions("raw_images")
    first, pinned, newest = (skin_ds.study.load("raw_images", v) for v in versions)
    for again in (pinned, newest):
        pd.testing.assert_frame_equal(again.table, first.table)
        assert again.origin == first.origin


def test_skin_ds_has_its_original_splits_classes_names_and_version(skin_ds):
    image_table = skin_ds.study.load("image_table").frame
    members = small_skin_ds()
    assert image_table["file"].tolist() == sorted(members)
    assert set(image_table["source"]) == {DATASET}
    assert image_table["label"].nunique() == 14
    original = [file.split("/")[1] for file in sorted(members)]
    assert image_table["original_split"].tolist() == original
    assert image_table["filename_key"].notna().all()
    notes = tuple(license_notes(DATASET))
    expected = Origin(kind="kaggle", dataset=DATASET, version=5, license_notes=notes)
    assert skin_ds.study.load("raw_images").origin == expected


def test_skin_ds_training_starts_from_imagenet_weights(skin_ds):
    model = skin_ds.study.load("model")
    assert (model.architecture, len(model.classes)) == ("resnet18", 14)
    assert model.initial_weights.sha256 == skin_ds.weights_sha256
    assert model.initial_weights.head == "new"
    assert model.provenance.origin.version == 5
    assert not model.provenance.origin.is_synthetic


def test_leakage_of_skin_ds_is_found_by_its_file_names(skin_ds):
    groups = skin_ds.study.load("image_groups").set_index("file")
    by_name = groups[groups["link_types"] == "filename_key"]
    assert sorted(by_name.index) == sorted(SAME_PATIENT + SAME_IMAGE)
    assert [by_name.loc[x, "group_id"].nunique() for x in (SAME_PATIENT, SAME_IMAGE)] == [1, 1]
    assert by_name["group_id"].nunique() == 2
    found = {finding.id: finding for finding in skin_ds.study.load("audit_findings").findings}
    across = found["groups_across_splits"]
    assert sorted(across.examples) == sorted([SAME_PATIENT, SAME_IMAGE])
    assert across.details["leaked_test_files"] == 2
    assert found["leakage_by_link_type"].details == {"filename_key": 3}


def test_skin_ds_keeps_its_test_split_and_drops_leaked_training_images(skin_ds):
    groups, split_table = skin_ds.study.load("image_groups"), skin_ds.study.load("split_table")
    assert split_table.provenance.split_policy == "cleaned"
    table = split_table.frame
    test_files = [file for file in groups["file"] if "/test/" in file]
    assert table.loc[table["split"] == "test", "file"].tolist() == test_files
    assert table.loc[table["is_leaked"], "file"].tolist() == [SAME_IMAGE[0], SAME_PATIENT[0]]
    assert set(groups["file"]) - set(table["file"]) == {*SAME_IMAGE[1:], *SAME_PATIENT[1:]}


@pytest.mark.parametrize("name", ["report", "model_card"])
def test_report_and_card_of_skin_ds_list_its_version_and_license_notes(skin_ds, name):
    page = skin_ds.study.load(name)
    assert f"{DATASET} on Kaggle, version 5" in page
    notes = license_notes(DATASET)
    assert skin_ds.study.load("model").provenance.origin.license_notes == tuple(notes)
    assert [note for note in notes if note not in page] == []


def test_http_error_stops_the_run_with_a_fix(study, server):
    server.status = {"GetDataset": 503}
    with pytest.raises(InputError, match=r"Kaggle returned status 503 .* source\.kind=folder"):
        study("skin_ds").run("ingest")
