from skin_lesions.metrics.intervals import Estimate, unavailable
from skin_lesions.reporting.shortcut_table import shortcut_rows
from support.report_inputs import probe

RESULT = probe(
    name="sex",
    kind="column",
    scope="within a",
    classes=8,
    accuracy=Estimate(value=0.25, low=0.2, high=0.3, n=70),
    ceiling=0.375,
)


def test_row_has_interval_chance_and_ceiling():
    (row,) = shortcut_rows([RESULT.model_copy(update={"excluded_classes": ["df", "vasc"]})])
    assert (row.probe_input, row.scope, row.classes) == ("column sex", "within a", 8)
    assert (row.accuracy.value, row.accuracy.interval) == ("0.250", "0.200 to 0.300")
    assert (row.chance, row.ceiling, row.excluded_classes) == ("0.125", "0.375", "df, vasc")


def test_row_without_a_result_has_a_reason():
    without_result = {
        "scope": "all",
        "balanced_accuracy": unavailable("the column is empty"),
        "chance": None,
        "ceiling": None,
    }
    (row,) = shortcut_rows([RESULT.model_copy(update=without_result)])
    assert (row.scope, row.accuracy.value, row.chance, row.ceiling) == ("all images", "–", "–", "–")
    assert row.accuracy.reason == "the column is empty"
