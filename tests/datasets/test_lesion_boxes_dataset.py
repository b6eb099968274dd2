"""Boxes of lesions in three formats."""

import pandas as pd

from skin_lesions.datasets import LesionBoxesDataset


def boxes(*files):
    return pd.DataFrame(
        {
            "file": files,
            "width": 100,
            "height": 50,
            **{"x0": 0.1, "y0": 0.2, "x1": 0.5, "y1": 0.6},
            "score": 0.9,
        }
    )


def save(folder, *files):
    dataset = LesionBoxesDataset(filepath=str(folder))
    dataset.save(boxes(*files))
    return dataset.load(), sorted(path.name for path in folder.iterdir())


def test_boxes_are_saved_as_coco_csv_and_yolo(tmp_path):
    loaded, names = save(tmp_path / "boxes", "a.jpg", "more/b.jpg")
    assert names == ["boxes.csv", "boxes.json", "yolo"]
    assert loaded["file"].tolist() == ["a.jpg", "more/b.jpg"]
    assert loaded[["x0", "y0", "x1", "y1"]].iloc[0].tolist() == [10, 10, 50, 30]
    assert (tmp_path / "boxes/yolo/more/b.txt").read_text().startswith("0 0.3")


def test_images_that_would_share_a_yolo_file_lose_only_the_yolo_files(tmp_path, caplog):
    loaded, names = save(tmp_path / "boxes", "a.jpg", "a.png")
    assert names == ["boxes.csv", "boxes.json"]
    assert len(loaded) == 2
    assert "No YOLO files were written" in caplog.text
    assert "Two images would share a text file (a.jpg, a.png)" in caplog.text
