import base64
import csv
import io

from skin_lesions.deployment.app.analysis import Analyzer
from skin_lesions.deployment.app.results_table import csv_text, csv_url
from skin_lesions.deployment.app.uploads import Upload
from support.color_predictor import CERTAIN, UNKNOWN, ColorPredictor, image_file

PREDICTOR = ColorPredictor()


def results(**files):
    analyzer = Analyzer(PREDICTOR)
    return [
        analyzer.analyze(Upload(file=file, size=len(data), data=data))
        for file, data in files.items()
    ]


def rows(found):
    return list(csv.DictReader(io.StringIO(csv_text(found, PREDICTOR.description))))


def test_table_has_a_row_for_each_file_with_and_without_results():
    found = results(good=image_file(CERTAIN), unknown=image_file(UNKNOWN), broken=b"x")
    good, unknown, broken = rows(found)
    assert good["predicted"] == "Melanoma"
    assert float(good["p_Melanoma"]) == round(found[0].confidence, 8)
    assert (good["refer"], good["refer_reason"]) == ("False", "")
    assert "unknown" in unknown["refer_reason"]
    assert (broken["predicted"], broken["refer_reason"]) == ("", "unreadable")
    assert "not an image in a known format" in broken["error"]
    assert {row["model_version"] for row in (good, unknown, broken)} == {
        PREDICTOR.description.version
    }


def test_file_names_are_no_formulas():
    [row] = rows(results(**{"=cmd|' /C calc'!A0": image_file()}))
    assert row["file"].startswith("'=cmd")


def test_download_is_utf_8_with_a_byte_order_mark():
    url = csv_url(results(naïve=image_file()), PREDICTOR.description)
    content = base64.b64decode(url.partition("base64,")[2])
    assert content.startswith(b"\xef\xbb\xbf")
    assert "naïve" in content.decode("utf-8-sig")
