"""End-to-end runs of `clean` on a folder with planted faults, and a second audit of its copy."""

import hashlib
import io
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from skin_lesions.core.errors import InputError
from skin_lesions.data.sources.synthetic import render_file, synthetic_table
from support.factories import corners, encoded, write_files
from support.study import Study

pytestmark = pytest.mark.slow
SEED = 20240501
# They have exact duplicates; some of Monkeypox and Chickenpox have conflicting labels.
CLASSES = ("Monkeypox", "Chickenpox", "Vascular lesions")
LOSSLESS = "val/Vascular lesions/lossless.png"


def snapshot(folder):
    """Return bytes and modification time of every file, and the time of every folder."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in [folder, *folder.rglob("*")]
    }


def hashes(folder):
    """Return the sha256 of every image of a cleaned copy."""
    images = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".csv"]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in images
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Write a part of the demo as a folder, with further faults and a metadata table."""
    table = synthetic_table(SEED)
    table = table[table["label"].isin(CLASSES)]
    planted = {file: render_file(file, seed=SEED) for file in table["file"]}
    name = next(file for file in planted if file.startswith("train/Vascular lesions"))
    image = Image.open(io.BytesIO(planted[name]))
    planted[LOSSLESS] = encoded(image, "PNG")
    planted["test/Vascular lesions/=rotated.jpg"] = encoded(image.rotate(180), "JPEG", quality=90)
    planted["train/Monkeypox/blank.png"] = encoded(Image.new("RGB", (96, 96)), "PNG")
    planted["train/Monkeypox/1.jpg"] = encoded(corners(96, 96), "JPEG")
    planted["test/Monkeypox/1.jpg"] = encoded(corners(128, 96).rotate(90), "JPEG")
    planted["val/Monkeypox/broken.jpg"] = planted[name][:200]
    folder = write_files(tmp_path_factory.mktemp("source") / "images", planted)
    table[["file", "lesion_id", "patient_id", "age"]].to_csv(folder / "metadata.csv", index=False)
    return folder


def params(folder):
    return {"source": {"folder": str(folder), "metadata": str(folder / "metadata.csv")}}


class Cleaned:
    """A source folder, its snapshot before the run, the study and the cleaned copy."""

    def __init__(self, project: Path, source: Path, place: Path):
        self.source, self.before = source, snapshot(source)
        self.folder = place / "new" / "cleaned"
        self.study = Study(project, place / "data", "folder", **params(source))
        self.study.run(
            *("ingest", "audit", "preprocess", "clean"), clean={"output": str(self.folder)}
        )
        self.metadata = pd.read_csv(self.folder / "metadata.csv", encoding="utf-8-sig")
        self.listed = self.study.load("cleaning_list").set_index("file")


@pytest.fixture(scope="module")
def cleaned(project, source, tmp_path_factory):
    return Cleaned(project, source, tmp_path_factory.mktemp("cleaned"))


def test_source_does_not_change(cleaned):
    assert snapshot(cleaned.source) == cleaned.before


def test_each_retained_image_is_copied_once_with_its_bytes(cleaned):
    found = hashes(cleaned.folder)
    assert found == dict(zip(cleaned.metadata["file"], cleaned.metadata["image_id"], strict=True))
    assert cleaned.metadata["image_id"].is_unique
    split = cleaned.study.table("split_table").set_index("image_id")
    assert set(cleaned.metadata["image_id"]) <= set(split.index)
    rows = cleaned.metadata.set_index("image_id")
    assert rows["split"].to_dict() == split.loc[rows.index, "split"].to_dict()
    folders = rows["file"].str.split("/", expand=True)
    assert (folders[0] == rows["split"]).all()
    assert (folders[1] == rows["label"]).all()


def test_every_file_of_the_source_is_copied_or_listed_with_a_reason(cleaned):
    files = {path.relative_to(cleaned.source).as_posix() for path in cleaned.source.rglob("*.*")}
    left_out = set(cleaned.listed.index[cleaned.listed["split"] == ""])
    assert left_out.isdisjoint(cleaned.metadata["original_file"])
    assert left_out | set(cleaned.metadata["original_file"]) == files - {"metadata.csv"}
    assert cleaned.listed["reason"].str.len().gt(0).all()


def test_planted_faults_are_listed(cleaned):
    listed, planted = cleaned.listed, synthetic_table(SEED).set_index("file")
    table = cleaned.study.table("image_table").set_index("file")
    copies = table.index[planted["planted"].reindex(table.index).eq("copy")]
    assert len(copies) > 2
    for image_id in table.loc[copies, "image_id"]:
        duplicates = table.index[table["image_id"] == image_id]
        exact = listed.reindex(duplicates)["reason"].str.startswith("exact duplicate of")
        assert exact.sum() == len(duplicates) - 1
    conflicting = listed[listed["reason"].str.startswith("conflicting labels")]
    assert len(conflicting) >= 2
    assert listed.loc["val/Monkeypox/broken.jpg", "reason"].startswith("unreadable: ")
    assert "a single color" in listed.loc["train/Monkeypox/blank.png", "reason"]
    rotated = listed[listed["related_file"] == "test/Vascular lesions/=rotated.jpg"]
    assert set(rotated["action"]) == {"merge"}
    identical = listed[listed["reason"].str.startswith("identical pixels, but other bytes than")]
    assert identical["action"].tolist() == ["drop"]
    assert LOSSLESS in {*identical.index, *identical["related_file"]}


def test_second_audit_of_the_copy_has_no_severe_finding(cleaned, project, tmp_path):
    again = Study(
        project, tmp_path / "data", "folder", **params(cleaned.folder), split={"policy": "original"}
    )
    again.run("ingest", "audit", "preprocess")
    findings = {finding.id: finding.severity for finding in again.load("audit_findings").findings}
    # As in the source, the file properties of the classes differ, which is no leakage.
    severe = {name for name in findings if findings[name] == "high"}
    assert severe <= {"shortcut_files"}
    source = cleaned.study.load("audit_findings").findings
    assert severe <= {finding.id for finding in source if finding.severity == "high"}
    assert not {"groups_across_splits", "exact_duplicates"} & set(findings)
    split = again.table("split_table").set_index("image_id")["split"]
    assert split.to_dict() == cleaned.metadata.set_index("image_id")["split"].to_dict()
    groups = again.load("image_groups").set_index("image_id")
    lesions = again.table("image_table").set_index("image_id")["lesion_id"]
    assert lesions.notna().any()
    assert groups["group_id"].nunique() > 3


def test_list_alone_needs_no_source_and_writes_no_folder(cleaned, project, tmp_path):
    later = Study(project, cleaned.study.data_root, "folder")
    later.run("clean")
    assert len(later.versions("cleaning_list")) == 2
    pd.testing.assert_frame_equal(
        later.load("cleaning_list"), later.load("cleaning_list", later.versions("cleaning_list")[0])
    )
    with pytest.raises(InputError, match="is inside the source folder"):
        later.run("clean", clean={"output": str(cleaned.source / "cleaned")})
    with pytest.raises(InputError, match="is not empty"):
        later.run("clean", clean={"output": str(cleaned.folder)})
    assert len(later.versions("cleaning_list")) == 2
