"""Images of a folder without labels."""

import numpy as np
import pytest
from PIL import Image

from skin_lesions.core.errors import InputError
from skin_lesions.data.unlabeled_folder import read_unlabeled_folder

OPTIONS = {"filename_pattern": None, "follow_symlinks": False, "option": "localize.follow_symlinks"}


def save(path, seed, size=(60, 40)):
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)


def read(folder, **changes):
    return read_unlabeled_folder(folder, 32, **OPTIONS | changes)


def test_images_are_read_with_their_size_and_equal_files_once(tmp_path, caplog):
    folder = tmp_path / "images"
    save(folder / "b.png", 1)
    save(folder / "more/a.png", 2, (30, 50))
    (folder / "copy of b.png").write_bytes((folder / "b.png").read_bytes())
    (folder / "broken.png").write_bytes(b"not an image")
    found = read(folder)
    assert found.table["file"].tolist() == ["b.png", "more/a.png"]
    assert found.table[["width", "height"]].to_numpy().tolist() == [[60, 40], [30, 50]]
    assert found.table["source"].tolist() == ["images", "more"]
    assert found.table["group_id"].nunique() == 2
    assert found.squares.shape == (2, 32, 32, 3)
    ids = found.table["image_id"].tolist()
    assert np.array_equal(found.read(ids[::-1]), found.squares[::-1])
    assert "1 file cannot be read, e.g. broken.png" in caplog.text


def test_images_of_a_patient_and_near_duplicates_are_one_group(tmp_path):
    for number, name in enumerate(["P1-a.png", "P1-b.png", "P2-a.png"]):
        save(tmp_path / name, number)
    Image.open(tmp_path / "P2-a.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
        tmp_path / "P3-a.png"
    )
    groups = read(tmp_path, filename_pattern=r"^(P\d+)-").table.set_index("file")["group_id"]
    assert groups["P1-a.png"] == groups["P1-b.png"]
    assert groups["P2-a.png"] == groups["P3-a.png"]
    assert groups.nunique() == 2


def test_folders_without_images_are_errors(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        read(tmp_path / "nowhere")
    (tmp_path / "broken.png").write_bytes(b"not an image")
    with pytest.raises(InputError, match="no readable image.*First file: broken.png"):
        read(tmp_path)
