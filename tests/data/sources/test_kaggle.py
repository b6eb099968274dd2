"""Data sets from Kaggle, asked of a server on this machine that answers as Kaggle does."""

import gzip
import io
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from hashlib import sha256
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
import torchvision
from filelock import FileLock
from kagglesdk import kaggle_env

from skin_lesions.core.errors import InputError
from skin_lesions.data.sources import kaggle
from skin_lesions.data.sources.kaggle import download_dataset, license_notes
from skin_lesions.data.sources.synthetic import render_file, synthetic_table
from support.kaggle_server import KaggleServer, noise, serving, zip_of
from support.study import Study

DATASET = "ahmedxc4/skin-ds"
MEBIBYTE = 1 << 20  # kagglehub writes in pieces of this size
SMALL = {"train/Melanoma/ISIC_0024468.jpg": b"one", "test/Cowpox/CWP_01_01_1.jpg": b"two"}
LARGE = {"train/Melanoma/ISIC_0024468.jpg": noise(4 * MEBIBYTE)}


def isolate(monkeypatch, folder):
    """Keep credentials, cache, proxy and notebook service of the machine away from the test."""
    for name in os.environ:
        if name.startswith("KAGGLE"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("TBE_RUNTIME_ADDR", raising=False)
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(folder / "home"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(folder / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(kaggle, "_RETRY_PAUSE", 0)


def take_for_kaggle(monkeypatch, url):
    endpoints = kaggle_env._env_to_endpoint  # private: there is no setting for it any more
    monkeypatch.setitem(endpoints, kaggle_env.KaggleEnv.PROD, url)


@pytest.fixture
def alone(monkeypatch, tmp_path):
    isolate(monkeypatch, tmp_path)


@pytest.fixture
def server(alone, monkeypatch):
    with serving(KaggleServer(DATASET, {1: zip_of({"a.jpg": b"old"}), 3: zip_of(SMALL)})) as server:
        take_for_kaggle(monkeypatch, server.url)
        yield server


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def tar_of(member, data=b""):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def archives(tmp_path):
    return list((tmp_path / "cache").rglob("*.archive"))


def refusal(dataset=DATASET, version=None):
    with pytest.raises(InputError) as error:
        download_dataset(dataset, version)
    assert " at 0x" not in str(error.value)  # no Python object is shown
    return str(error.value)


def test_the_newest_version_is_asked_for_once_and_told(server, tmp_path):
    found = download_dataset(DATASET, None)
    assert (found.dataset, found.version, found.license) == (DATASET, 3, "CC0: Public Domain")
    assert files(found.folder) == SMALL
    assert found.folder.is_relative_to(tmp_path / "cache")
    assert [line.split()[0] for line in server.asked] == ["GetDataset", "DownloadDataset", "store"]
    assert not archives(tmp_path)


def test_no_credentials_are_needed_or_sent(server):
    download_dataset(DATASET, None)
    assert server.authorizations == {None}


def test_credentials_come_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")
    download_dataset(DATASET, None)
    assert server.authorizations == {"Bearer secret"}


def test_a_broken_file_of_credentials_is_named(server, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "kaggle.json").write_text("{")
    assert str(tmp_path / "home" / "kaggle.json") in refusal()


def test_a_pinned_version_is_downloaded_and_then_served_without_a_request(server):
    assert files(download_dataset(DATASET, 1).folder) == {"a.jpg": b"old"}
    server.asked.clear()
    again = download_dataset(DATASET, 1)
    assert server.asked == []
    assert (again.version, again.license) == (1, "CC0: Public Domain")


def test_a_new_version_is_found_and_an_old_one_not_downloaded_again(server):
    download_dataset(DATASET, None)
    download_dataset(DATASET, None)
    assert server.count("store") == 1
    server.versions[4] = zip_of({"new.jpg": b"new"})
    newest = download_dataset(DATASET, None)
    assert (newest.version, files(newest.folder)) == (4, {"new.jpg": b"new"})


def test_what_kagglehub_itself_downloaded_is_found(server):
    import kagglehub  # noqa: PLC0415

    folder = kagglehub.dataset_download(f"{DATASET}/versions/3")
    server.asked.clear()
    found = download_dataset(DATASET, 3)
    assert (str(found.folder), found.license, server.asked) == (folder, None, [])


def test_a_broken_download_goes_on_where_it_stopped(server, caplog):
    server.versions[3] = zip_of(LARGE)
    server.cut_after = [2 * MEBIBYTE + 10, MEBIBYTE + 10]
    caplog.set_level(logging.INFO)
    assert files(download_dataset(DATASET, None).folder) == LARGE
    ranges = [line.split()[2] for line in server.asked if line.startswith("store")]
    first, second = (int(r[6:-1]) for r in ranges if r != "all")
    assert MEBIBYTE < first <= 2 * MEBIBYTE + 10
    assert first + MEBIBYTE <= second < len(server.versions[3])
    assert caplog.text.count("broke off") == 2


def test_the_next_run_goes_on_with_a_download_that_could_not_be_finished(server):
    server.versions[3] = zip_of(LARGE)
    server.cut_after = [2 * MEBIBYTE + 10, 0]
    assert "2.1 MB of it are kept" in refusal()
    server.asked.clear()
    assert files(download_dataset(DATASET, None).folder) == LARGE
    assert server.asked[-1].endswith(f"bytes={2 * MEBIBYTE}-")


@pytest.mark.parametrize("with_checksum", [True, False])
def test_a_damaged_archive_is_refused_and_the_next_try_works(server, tmp_path, with_checksum):
    server.damaged, server.with_checksum = True, with_checksum
    server.versions[3] = zip_of(LARGE)
    told = refusal()
    assert "damaged" in told
    assert "source.kind=folder" in told
    assert not archives(tmp_path)
    server.damaged = False
    assert files(download_dataset(DATASET, None).folder) == LARGE


def test_what_is_no_archive_is_refused(server, tmp_path):
    server.versions[3] = b"<html>maintenance</html>"
    assert "neither a ZIP nor a TAR archive" in refusal()
    assert not archives(tmp_path)


TAR = tar_of(tarfile.TarInfo("a.jpg"), b"one")
BROKEN = {
    "name": zip_of({"ä.jpg": b"one"}).replace("ä".encode(), b"\xff\xff"),
    "offset": zip_of(SMALL)[:-6] + bytes([255, 255, 0, 0, 0, 0]),  # of the table of contents
    "gzip": gzip.compress(gzip.decompress(TAR)[:600])[:-8] + bytes(8),  # cut, wrong checksum
}


@pytest.mark.parametrize("kind", BROKEN)
def test_an_archive_that_was_broken_when_it_was_stored_is_not_kept(server, tmp_path, kind):
    server.versions[3] = BROKEN[kind]
    assert "damaged" in refusal()
    assert not archives(tmp_path)


@pytest.mark.parametrize("name", ["../out.jpg", "a/../../out.jpg", "/tmp/out.jpg", "C:\\out.jpg"])
def test_an_archive_that_would_leave_its_folder_is_refused_whole(server, tmp_path, name):
    server.versions[3] = zip_of({**SMALL, name: b"out"})
    assert "lies outside its folder" in refusal()
    assert not list(tmp_path.rglob("*.jpg"))
    assert not archives(tmp_path)


def test_a_tar_archive_is_unpacked_but_not_a_link_that_leads_outside(server, tmp_path):
    server.versions[3] = tar_of(tarfile.TarInfo("train/Cowpox/a.jpg"), b"one")
    assert files(download_dataset(DATASET, None).folder) == {"train/Cowpox/a.jpg": b"one"}
    link = tarfile.TarInfo("train/link")
    link.type, link.linkname = tarfile.SYMTYPE, "../../../.."
    server.versions[4] = tar_of(link)
    assert "train/link" in refusal()
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]


def test_an_archive_too_large_for_the_disk_is_kept_but_not_unpacked(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5))
    assert "6 bytes to unpack, 5 bytes free" in refusal()
    assert len(archives(tmp_path)) == 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert files(download_dataset(DATASET, None).folder) == SMALL


def test_what_a_killed_run_left_half_unpacked_is_not_taken_for_images(server, tmp_path):
    versions = tmp_path / "cache/datasets" / DATASET / "versions"
    for name in ("3", ".3.partial"):
        (versions / name).mkdir(parents=True)
        (versions / name / "half.jpg").write_bytes(b"ha")
    assert files(download_dataset(DATASET, 3).folder) == SMALL
    assert [path.name for path in versions.iterdir()] == ["3"]


def test_two_runs_at_once_download_once(server, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    lock = tmp_path / "cache/datasets" / DATASET / "3.lock"
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


def test_without_a_network_the_error_names_what_was_tried_and_the_way_round(alone, monkeypatch):
    take_for_kaggle(monkeypatch, "http://127.0.0.1:9")
    told = refusal()
    assert f"can't be reached for the newest version of {DATASET}: " in told
    assert "Connection refused" in told
    assert "--params source.kind=folder,source.folder=" in told
    assert "in the cache" not in told


def test_without_a_network_the_versions_in_the_cache_are_named_and_none_is_taken(
    server, monkeypatch
):
    download_dataset(DATASET, 1)
    download_dataset(DATASET, 3)
    take_for_kaggle(monkeypatch, "http://127.0.0.1:9")
    told = refusal()
    assert "in the cache (1, 3) with --params source.kaggle.version=3" in told
    assert files(download_dataset(DATASET, 3).folder) == SMALL
    assert "for version 2 of" in refusal(version=2)


def test_a_silent_server_is_given_up(server, monkeypatch):
    monkeypatch.setattr(kaggle, "_TIMEOUT", 0.2)
    server.silent = True
    assert "Read timed out" in refusal()


@pytest.mark.parametrize(
    ("failing", "status", "expected"),
    [
        ("GetDataset", 401, "refuses your credentials"),
        ("GetDataset", 403, "there is none, or you may not see it"),
        ("GetDataset", 404, "there is none, or you may not see it"),
        ("GetDataset", 429, "Wait 30 seconds"),
        ("GetDataset", 503, "Run the same command again"),
        ("DownloadDataset", 403, "version 3 of ahmedxc4/skin-ds: there is none, or you may not"),
        ("DownloadDataset", 500, "Run the same command again"),
        ("store", 403, "to the download of version 3"),
        ("store", 503, "to the download of version 3"),
    ],
)
def test_a_refusal_is_told_with_its_number_and_a_remedy(server, failing, status, expected):
    server.status, server.headers = {failing: status}, {"Retry-After": "30"}
    told = refusal()
    assert f"Kaggle answered {status}" in told
    assert expected in told
    assert "Signature" not in told
    server.status = {}
    assert files(download_dataset(DATASET, None).folder) == SMALL


def test_an_unknown_data_set_is_told_with_what_the_server_said(server):
    told = refusal("nobody/nothing")
    assert "403 (Permission 'datasets.get' was denied)" in told
    assert "the newest version of nobody/nothing" in told


def test_a_version_that_does_not_exist_yet_is_told_with_the_newest(server):
    assert "no version 9: the newest is 3" in refusal(version=9)
    assert server.count("DownloadDataset") == 0


def test_a_data_set_without_a_version_is_told(server):
    server.versions = {}
    assert f"names no version of {DATASET}" in refusal()


def test_the_log_in_page_of_a_network_is_not_taken_for_an_answer(server):
    server.log_in_page = True
    assert "is not from Kaggle" in refusal()


@pytest.mark.parametrize(
    "dataset", ["skin-ds", "../..", "a/..", "a/b/versions/3", "https://a/b", "a/b\n", "", "ä/b"]
)
def test_a_name_that_is_no_data_set_is_refused_before_any_request(server, dataset):
    assert "must be owner/name" in refusal(dataset)
    assert server.asked == []


def test_a_cache_that_cannot_be_written_is_named(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "file"))
    told = refusal()
    assert str(tmp_path / "file") in told
    assert "KAGGLEHUB_CACHE" in told


def test_nothing_but_log_lines_is_written_without_a_terminal(server, monkeypatch, capfd, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")  # without, kagglehub does not look
    server.headers = {"X-Kaggle-HubVersion": "99.0"}
    download_dataset(DATASET, None)
    written = capfd.readouterr()
    assert "%|" not in written.err  # no bar
    assert "outdated" not in written.out
    assert all(record.name == "skin_lesions.data.sources.kaggle" for record in caplog.records)
    assert f"downloading version 3 of {DATASET} (" in caplog.text


def test_a_terminal_shows_a_bar(server, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    download_dataset(DATASET, None)
    assert "100%|" in terminal.getvalue()


def test_a_notebook_service_mounts_the_data_set(server, monkeypatch, tmp_path):
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
    found = download_dataset(DATASET, None)
    assert (found.folder, found.version) == (tmp_path / "skin-ds", 3)
    assert server.count("DownloadDataset") == 0


def test_licence_notes_say_what_the_page_states_and_no_more():
    assert license_notes("a/b", "MIT") == ["The Kaggle page of a/b states this licence: MIT."]
    assert license_notes("a/b", "") == ["The Kaggle page of a/b states no licence."]
    assert "was not looked up" in license_notes("a/b", None)[0]


def test_licence_notes_of_skin_ds_contradict_its_page():
    stated, isic, msld = license_notes("AhmedXC4/Skin-DS", "CC0: Public Domain")
    assert "CC0" in stated
    assert "ISIC 2019" in isic
    assert "CC BY-NC 4.0" in isic
    assert "MSLD v2.0 are not known" in msld


def test_origin_carries_all_of_it(server):
    origin = download_dataset(DATASET, None).origin
    assert origin == {
        "kind": "kaggle",
        "dataset": DATASET,
        "version": 3,
        "licence": "CC0: Public Domain",
        "license_notes": license_notes(DATASET, "CC0: Public Domain"),
    }


# The whole command, with its requests going to this machine.
KEDRO = """
import sys
from kagglesdk import kaggle_env
kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.PROD] = sys.argv.pop(1)
sys.argv[0] = "kedro"
from kedro.framework.cli import main
main()
"""


def kedro_run(project, server, data_root, **params):
    quick = {
        **{
            "data_root": data_root,
            "ingest.stored_image_size": 64,
            "evaluate.bootstrap_replicates": 100,
        },
        **{"train.epochs": 1, "train.image_size": 32},
        **{"train.device": "cpu", "evaluate.device": "cpu"},
    }
    given = ",".join(f"{name}={value}" for name, value in {**quick, **params}.items())
    command = ["run", "--env", "skin_ds", "--params", given]
    return subprocess.run(
        [sys.executable, "-c", KEDRO, server.url, *command],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )


# By their names alone these are copies, other images of one patient, and one image under one name:
# the pictures themselves show different lesions.
SAME_PATIENT = [
    "Split_smol/test/Monkeypox/MKP_77_01_2.jpg",
    "Split_smol/train/Monkeypox/MKP_77_01_1.jpg",
    "Split_smol/val/Monkeypox/MKP_77_02_1.jpg",
]
SAME_IMAGE = [
    "Split_smol/test/Melanoma/ISIC_0099999.jpg",
    "Split_smol/train/Melanoma/ISIC_0099999.jpg",
]


def skin_ds_in_small():
    """Name and nest drawings as the real files are: 14 classes, five lesions of each, two leaks."""
    table = synthetic_table(seed=1)
    table = table[table["planted"].isna()].drop_duplicates("lesion")
    planted = {"Monkeypox": SAME_PATIENT, "Melanoma": SAME_IMAGE}
    members = {}
    for label, rows in table.groupby("label"):
        leaks = planted.get(label, [])
        for number, row in enumerate(rows.head(5 + len(leaks)).itertuples()):
            split = ("train", "train", "train", "test", "val")[number % 5]
            code, digits = row.lesion.partition("_")[0], f"{len(members):05d}"
            is_photograph = row.site is None
            name = f"{code}_{number + 1:02d}_01_1" if is_photograph else f"ISIC_00{digits}"
            file = f"Split_smol/{split}/{label}/{name}.jpg" if number < 5 else leaks[number - 5]
            members[file] = render_file(row.file, seed=1)
    return members


def imagenet_weights(folder):
    """Make weights of the shape of ImageNet's: (URL, sha256)."""
    torch.manual_seed(0)
    path = folder / "resnet18.pth"
    torch.save(torchvision.models.resnet18(num_classes=1000).state_dict(), path)
    return path.as_uri(), sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def skin_ds(project, tmp_path_factory):
    """``kedro run --env skin_ds``, then ingest with the version pinned, then as it stands in conf.

    ``asked``: what each of the three runs asked of Kaggle.
    """
    folder = tmp_path_factory.mktemp("skin_ds")
    weights, digits = imagenet_weights(folder)
    small = {"ingest": {"stored_image_size": 64}, "train": {"image_size": 32}}
    left = Study(project, folder / "data", "skin_ds", **small)
    versions = {4: zip_of({"old.jpg": b"old"}), 5: zip_of(skin_ds_in_small())}
    with pytest.MonkeyPatch.context() as patch, serving(KaggleServer(DATASET, versions)) as server:
        isolate(patch, folder)
        take_for_kaggle(patch, server.url)
        asked = []

        def asked_by(run):
            server.asked.clear()
            result = run()
            asked.append([line.split()[0] for line in server.asked])
            return result

        params = {"train.weights": weights}
        done = asked_by(lambda: kedro_run(project, server, left.data_root, **params))
        assert done.returncode == 0, done.stdout + done.stderr
        asked_by(lambda: left.run("ingest", source={"kaggle": {"version": 5}}))
        asked_by(lambda: left.run("ingest"))
    return SimpleNamespace(left=left, said=done, asked=asked, server=server, weights_sha256=digits)


def test_kedro_run_of_skin_ds_downloads_the_newest_version_and_tells(skin_ds):
    assert skin_ds.asked[0] == ["GetDataset", "DownloadDataset", "store"]
    assert skin_ds.server.authorizations == {None}
    assert f"downloading version 5 of {DATASET} (" in skin_ds.said.stdout
    assert "%|" not in skin_ds.said.stderr  # no bar where there is no terminal


def test_the_next_run_of_skin_ds_asks_for_nothing_or_at_most_for_the_newest_version(skin_ds):
    assert skin_ds.asked[1:] == [[], ["GetDataset"]]
    versions = skin_ds.left.versions("raw_images")
    first, pinned, newest = (skin_ds.left.load("raw_images", v).table for v in versions)
    for again in (pinned, newest):
        pd.testing.assert_frame_equal(again, first)
        assert again.attrs["origin"] == first.attrs["origin"]


def test_skin_ds_is_read_with_its_splits_classes_names_and_version(skin_ds):
    image_table = skin_ds.left.load("image_table")
    members = skin_ds_in_small()
    assert image_table["file"].tolist() == sorted(members)
    assert set(image_table["source"]) == {DATASET}
    assert image_table["label"].nunique() == 14
    shipped = [file.split("/")[1] for file in sorted(members)]
    assert image_table["original_split"].tolist() == shipped
    assert image_table["filename_key"].notna().all()
    stated = skin_ds.server.license
    assert skin_ds.left.load("raw_images").table.attrs["origin"] == {
        **{"kind": "kaggle", "dataset": DATASET, "version": 5, "licence": stated},
        **{
            "license_notes": license_notes(DATASET, stated),
            "metadata": [],
            "filename_pattern": None,
        },
    }


def test_skin_ds_starts_from_the_weights_of_imagenets_classes(skin_ds):
    model = skin_ds.left.load("model")
    assert (model["architecture"], len(model["classes"])) == ("resnet18", 14)
    assert model["initial_weights"]["sha256"] == skin_ds.weights_sha256
    assert model["initial_weights"]["head"] == "new"
    assert model["provenance"]["origin"]["version"] == 5
    assert not model["synthetic_images"]


def test_leaks_of_skin_ds_are_found_by_the_names_of_its_files(skin_ds):
    groups = skin_ds.left.load("image_groups").set_index("file")
    by_name = groups[groups["link_types"] == "filename_key"]
    assert sorted(by_name.index) == sorted(SAME_PATIENT + SAME_IMAGE)
    assert [by_name.loc[x, "group_id"].nunique() for x in (SAME_PATIENT, SAME_IMAGE)] == [1, 1]
    assert by_name["group_id"].nunique() == 2
    found = {f["id"]: f for f in skin_ds.left.load("audit_findings")["findings"]}
    across = found["groups_across_splits"]
    assert sorted(across["examples"]) == sorted([SAME_PATIENT, SAME_IMAGE])
    assert across["details"]["leaked_test_files"] == 2
    assert found["leakage_by_link_type"]["details"] == {"filename_key": 3}


def test_the_test_split_of_skin_ds_stays_and_what_leaks_into_it_goes(skin_ds):
    groups, table = skin_ds.left.load("image_groups"), skin_ds.left.load("split_table")
    assert table.attrs["split_policy"] == "cleaned"
    shipped = [file for file in groups["file"] if "/test/" in file]
    assert table.loc[table["split"] == "test", "file"].tolist() == shipped
    assert table.loc[table["is_leaked"], "file"].tolist() == [SAME_IMAGE[0], SAME_PATIENT[0]]
    assert set(groups["file"]) - set(table["file"]) == {*SAME_IMAGE[1:], *SAME_PATIENT[1:]}


@pytest.mark.parametrize("name", ["report", "model_card"])
def test_report_and_card_of_skin_ds_tell_its_version_and_the_conflict_of_licences(skin_ds, name):
    page = skin_ds.left.load(name)
    assert f"{DATASET} on Kaggle, version 5" in page
    notes = license_notes(DATASET, "CC0: Public Domain")
    assert skin_ds.left.load("model")["license_notes"] == notes
    assert [note for note in notes if note not in page] == []


def test_a_refusal_stops_the_run_with_its_remedy(study, server):
    server.status = {"GetDataset": 503}
    with pytest.raises(InputError, match=r"Kaggle answered 503 .* source\.kind=folder"):
        study("skin_ds").run("ingest")
