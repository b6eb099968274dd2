import pandas as pd
import pytest

from skin_lesions.data.annotations.annotation_files import AnnotationError
from skin_lesions.data.annotations.image_names import ImageNames


def names(*files):
    return ImageNames(pd.DataFrame({"file": files, "width": 4, "height": 3}))


@pytest.mark.parametrize(
    ("name", "files", "found"),
    [
        ("a/1.jpg", ["b/1.jpg", "a/1.jpg"], "a/1.jpg"),
        ("a\\1.jpg", ["b/1.jpg", "a/1.jpg"], "a/1.jpg"),
        ("./a/1", ["b/1.jpg", "a/1.jpg"], "a/1.jpg"),
        ("A/1.PNG", ["b/1.jpg", "a/1.jpg"], "a/1.jpg"),
        ("1.JPG", ["1.jpg", "1.png"], "1.jpg"),
        ("n.JPG", ["n.jpg", "n.JPG"], "n.JPG"),
        ("old/place/a/1.jpg", ["b/1.jpg", "a/1.jpg", "1.jpg"], "a/1.jpg"),
        ("a/1", ["x/a/1.jpg", "x/b/1.jpg"], "x/a/1.jpg"),
        ("elsewhere/ISIC_7", ["train/mel/isic_7.jpg", "8.jpg"], "train/mel/isic_7.jpg"),
        ("1.2", ["1.2.jpg", "1.3.jpg"], "1.2.jpg"),
        (" e\u0301.jpg", ["\u00e9.jpg"], "\u00e9.jpg"),
    ],
)
def test_name_finds_the_image_with_the_most_similar_path(name, files, found):
    assert names(*files).find(name).file == found


@pytest.mark.parametrize("name", ["1", "1.gif", "c/1.jpg", "N.jpg"])
def test_ambiguous_name_is_reported_with_two_of_the_images(name):
    with pytest.raises(AnnotationError, match=r"2 images have this name \(.*, .*\); use the comp"):
        names("a/1.jpg", "b/1.png", "n.jpg", "n.JPG").find(name)


@pytest.mark.parametrize("name", ["2.jpg", "", "a", "a/"])
def test_unknown_name_is_reported(name):
    with pytest.raises(AnnotationError, match=r"no image has this name \(" + name):
        names("a/1.jpg").find(name)
