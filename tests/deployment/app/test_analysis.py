import base64
import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from skin_lesions.deployment.app import analysis
from skin_lesions.deployment.app.analysis import Analysis, Analyzer, Rejection
from skin_lesions.deployment.app.uploads import Upload
from skin_lesions.models.postprocessing.referral import ReferralThreshold
from support.clinical import fusion
from support.color_predictor import (
    CERTAIN,
    FEATURES,
    UNCERTAIN,
    UNKNOWN,
    ColorPredictor,
    image_file,
)
from support.postprocessing import postprocessing, unknown_score


def upload(data, file="a.png"):
    return Upload(file=file, size=len(data), data=data)


def analyze(data, **options):
    return Analyzer(ColorPredictor(**options)).analyze(upload(data))


def image_of(url):
    kind, _, content = url.partition(";base64,")
    assert kind.startswith("data:image/")
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_certain_image_has_a_prediction_and_is_not_referred():
    data = image_file(CERTAIN)
    result = analyze(data)
    assert isinstance(result, Analysis)
    assert result.image_id == hashlib.sha256(data).hexdigest()
    assert result.prediction.predicted == "Melanoma"
    assert result.confidence > 0.9
    assert result.uncertain_reason is None
    assert result.unknown_reason is None


def test_probabilities_are_in_decreasing_order_and_sum_to_one():
    result = analyze(image_file(UNCERTAIN, size=(5, 5)), classes=("a", "b", "c"))
    names, values = zip(*result.probabilities, strict=True)
    assert names == ("a", "b", "c")
    assert list(values) == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(1)


def test_uncertain_image_is_referred_with_threshold_and_accuracy():
    result = analyze(image_file(UNCERTAIN))
    assert result.confidence < 0.6
    assert result.unknown_reason is None
    reason = result.uncertain_reason.replace("\u00a0", " ")
    assert "below 60 %" in reason
    assert "90 % of the validation images" in reason


def test_model_without_a_referral_threshold_refers_each_image_with_the_reason():
    threshold = ReferralThreshold(
        target_accuracy=0.9,
        min_confidence=None,
        reason="there are only 5 validation images",
        n=5,
        answered=0,
        accuracy=None,
    )
    fitted = postprocessing((9, 9, 9), referral=threshold, unknown_score=unknown_score(FEATURES))
    result = analyze(image_file(CERTAIN), postprocessing=fitted)
    assert "there are only 5 validation images" in result.uncertain_reason


def test_image_unlike_the_training_images_is_not_a_known_class():
    result = analyze(image_file(UNKNOWN))
    assert result.prediction.is_unknown
    assert f"score is {result.prediction.unknown_score:.3g}" in result.unknown_reason
    assert "threshold is" in result.unknown_reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"Some notes about a lesion", "not an image in a known format"),
        (image_file(file_format="JPEG")[:300], "damaged or truncated"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(50), "HEIC"),
        (image_file(size=(20_000, 6_000)), "20000 x 6000 pixels exceed the limit"),
    ],
    ids=["empty", "text", "truncated", "heic", "pixels"],
)
def test_unreadable_files_are_rejected_with_the_reason(data, reason):
    result = analyze(data)
    assert isinstance(result, Rejection)
    assert reason in result.reason
    assert result.image_id == hashlib.sha256(data).hexdigest()


def test_large_file_is_rejected_with_size_and_limit():
    large = Upload(file="a.tif", size=45_600_000, data=b"")
    result = Analyzer(ColorPredictor()).analyze(large)
    assert "The file has 45.6 MB, and the limit is 30 MB" in result.reason
    assert result.image_id is None


def test_missing_upload_is_rejected():
    result = Analyzer(ColorPredictor()).analyze(Upload(file="a.png", size=0, data=None))
    assert "Upload the file again" in result.reason


def test_shown_image_has_the_pixels_but_no_metadata_of_the_upload():
    exif = Image.Exif()
    exif[0x010E] = "patient 4711"  # ImageDescription
    data = image_file((200, 30, 30), file_format="JPEG", exif=exif, comment=b"patient 4711")
    assert b"4711" in data
    result = analyze(data)
    shown = image_of(result.image_url)
    assert not shown.getexif()
    assert b"4711" not in base64.b64decode(result.image_url.partition("base64,")[2])
    assert shown.size == (60, 40)
    np.testing.assert_allclose(np.asarray(shown).mean(axis=(0, 1)), (200, 30, 30), atol=3)


def test_map_is_that_of_the_predicted_class():
    class Recorder(ColorPredictor):
        def heat_maps(self, images, classes):
            self.requested = classes.tolist()
            return super().heat_maps(images, classes)

    predictor = Recorder()
    Analyzer(predictor).analyze(upload(image_file(CERTAIN)))
    assert predictor.requested == [0]


def test_architecture_without_maps_has_none():
    result = analyze(image_file(), has_heat_maps=False)
    assert result.map_url is None


def test_new_results_come_before_earlier_ones(monkeypatch):
    analyzer = Analyzer(ColorPredictor())
    first = analyzer.add([upload(image_file(), "1.png")], [])
    both = analyzer.add([upload(image_file(), "2.png"), upload(b"x", "3.png")], first)
    assert [result.file for result in both] == ["2.png", "3.png", "1.png"]


def test_images_above_the_limit_of_the_page_are_rejected_by_name(monkeypatch):
    monkeypatch.setattr(analysis, "MAX_IMAGES", 2)
    analyzer = Analyzer(ColorPredictor())
    files = [upload(image_file(), f"{i}.png") for i in range(3)]
    results = analyzer.add(files, [])
    assert [isinstance(result, Rejection) for result in results] == [False, False, True]
    assert "at most 2 images" in results[2].reason
    assert isinstance(analyzer.add(files[:1], results[:2])[0], Rejection)


def test_metadata_change_the_probabilities_and_are_named_in_the_result():
    classes = ("Melanoma", "Nevus", "Vascular lesions")
    fitted = postprocessing(
        (10,) * 3, unknown_score=unknown_score(FEATURES), metadata_fusion=fusion(classes)
    )
    analyzer = Analyzer(ColorPredictor(postprocessing=fitted))
    image = upload(image_file(UNCERTAIN))
    alone = analyzer.analyze(image)
    row = {"age": 85, "site": "the moon"}
    both = analyzer.add([image], [], row)[0]
    assert alone.metadata == ()
    assert both.metadata == (("age", "85"),)
    first = dict(both.probabilities)["Melanoma"], dict(alone.probabilities)["Melanoma"]
    assert first[0] > first[1] + 0.01
    assert analyze(image_file()).metadata is None
