from skin_lesions.reporting.shortcut_table import shortcut_rows

PROBE = {
    "name": "sex",
    "columns": ["sex"],
    "kind": "column",
    "scope": "within a",
    "balanced_accuracy": {"value": 0.25, "low": 0.2, "high": 0.3, "n": 70},
    "chance": 0.125,
    "ceiling": 0.375,
    "classes": 8,
    "excluded_classes": ["df", "vasc"],
    "parts": {},
}


def test_row_has_interval_chance_and_ceiling():
    (row,) = shortcut_rows([PROBE])
    assert (row.probe_input, row.scope, row.classes) == ("column sex", "within a", 8)
    assert (row.accuracy.value, row.accuracy.interval) == ("0.250", "0.200 to 0.300")
    assert (row.chance, row.ceiling, row.excluded_classes) == ("0.125", "0.375", "df, vasc")


def test_row_without_a_result_has_a_reason():
    no_estimate = {
        "value": None,
        "low": None,
        "high": None,
        "n": 0,
        "reason": "the column is empty",
    }
    probe = PROBE | {
        "scope": "all",
        "balanced_accuracy": no_estimate,
        "chance": None,
        "ceiling": None,
    }
    (row,) = shortcut_rows([probe])
    assert (row.scope, row.accuracy.value, row.chance, row.ceiling) == ("all images", "–", "–", "–")
    assert row.accuracy.reason == "the column is empty"
