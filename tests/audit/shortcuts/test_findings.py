import pytest

from skin_lesions.audit.shortcuts.findings import shortcut_findings
from skin_lesions.audit.shortcuts.probes import Probe
from skin_lesions.metrics.intervals import Estimate


def probe(kind, low, *, value=None, name="x", scope="all", ceiling=0.75):
    """Make a probe of four classes; by default the interval is narrow."""
    value = low + 0.01 if value is None else value
    return Probe(
        name=name,
        columns=(name,) if kind in ("column", "text", "missingness") else (),
        kind=kind,
        scope=scope,
        accuracy=Estimate(value=value, low=low, high=0.9, n=100),
        chance=0.25,
        ceiling=ceiling,
        classes=("a", "b", "c", "d"),
        excluded_classes=(),
        recalls={"a": 0.9, "b": 0.1},
        parts={},
    )


# Fraction of the range from chance (0.25) to the ceiling (0.75): 0.02, 0.06, 0.14, 0.3, 0.6, 0.9.
LOWS = (0.26, 0.28, 0.32, 0.4, 0.55, 0.7)


@pytest.mark.parametrize(
    ("kind", "severities"),
    [
        ("files", [None, "low", "medium", "high", "high", "high"]),
        ("border", [None, "low", "medium", "high", "high", "high"]),
        ("thumbnail", [None, "low", "low", "low", "low", "low"]),  # it contains the lesion
        ("column", [None, "low", "low", "low", "medium", "medium"]),  # the network sees no columns
        ("text", [None, "low", "low", "low", "medium", "medium"]),
        ("missingness", [None, "low", "low", "low", "medium", "medium"]),
    ],
)
def test_severity_depends_on_the_input_and_on_the_fraction_of_the_possible_score(kind, severities):
    for low, severity in zip(LOWS, severities, strict=True):
        found = [finding.severity for finding in shortcut_findings([probe(kind, low)])]
        assert found == ([] if severity is None else [severity]), low


def test_interval_must_clearly_exclude_chance():
    assert shortcut_findings([probe("border", 0.3, value=0.5)]) == []
    assert len(shortcut_findings([probe("border", 0.3, value=0.39)])) == 1


def test_finding_describes_the_scope_with_the_largest_fraction_and_counts_all():
    probes = [probe("border", 0.4), probe("border", 0.6, scope="within a")]
    (finding,) = shortcut_findings(probes)
    assert finding.count == 2
    assert finding.message.startswith("Within a, from the outermost")
    assert finding.examples == [["a", "recall 90 %"]]  # only recalls above chance


def test_column_must_predict_more_than_its_missingness():
    missing = probe("missingness", 0.5, value=0.5)
    assert [f.id for f in shortcut_findings([missing, probe("column", 0.49)])] == [
        "shortcut_missingness"
    ]
    found = {f.id for f in shortcut_findings([missing, probe("column", 0.6)])}
    assert found == {"shortcut_missingness", "shortcut_column_x"}
