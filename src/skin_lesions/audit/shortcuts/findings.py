"""Findings of the shortcut probes: which inputs predict the class better than chance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from skin_lesions.audit.finding import SEVERITIES, Finding, Severity
from skin_lesions.audit.shortcuts.inputs import BORDER, THUMBNAIL, Kind
from skin_lesions.audit.shortcuts.probes import ALL, Probe
from skin_lesions.core.text import printable

# An audit runs dozens of probes, and one result in forty is outside one side of its 95 % interval.
# The interval must therefore exclude chance even if it is 1.5 times as long (about 1 of 600).
_INTERVAL_FACTOR = 1.5
# A smaller fraction of the range from chance to the ceiling is not reported.
_MIN_FRACTION = 0.03


@dataclass(frozen=True)
class _ProbeText:
    """The text of a finding.

    ``thresholds``: the explained fractions from which the severity is high, and medium.
    """

    probe_input: str
    why: str
    recommendation: str
    thresholds: tuple[float, float]


_TEXTS: dict[Kind, _ProbeText] = {
    "files": _ProbeText(
        "file properties (size, aspect, bytes, format, compression)",
        "files of different classes were made in different ways",
        "Find out how each class was collected, make all files uniform, and report scores within "
        "each source.",
        (0.2, 0.1),
    ),
    "thumbnail": _ProbeText(
        f"a thumbnail of {THUMBNAIL}x{THUMBNAIL} pixels",
        "color and layout differ by class, partly because of the lesions and partly because of "
        "how the images were taken",
        "A model that uses the lesions must clearly exceed this score.",
        (2.0, 2.0),  # never more than low
    ),
    "border": _ProbeText(
        f"the outermost {100 * BORDER:g} % of each edge",
        "frames, rulers, skin or background differ by class, or lesions reach the edge",
        "Mask the border and evaluate the model again. The score that it loses came from the "
        "border.",
        (0.2, 0.1),
    ),
    "column": _ProbeText(
        "the metadata column {name}",
        "its values are not evenly distributed over the classes",
        "Do not use this column as model input, unless it is known before the diagnosis. Check "
        "whether its values represent collection sites or methods.",
        (0.5, 0.2),
    ),
    "missingness": _ProbeText(
        "whether {name} is known",
        "it was recorded more often for some classes than for others",
        "Do not give a model information on which metadata are missing. Report scores of each "
        "source separately.",
        (0.5, 0.2),
    ),
}


def shortcut_findings(probes: Sequence[Probe]) -> list[Finding]:
    """List the inputs that predict the class better than chance.

    The measure is the position of the lower bound of the balanced accuracy between chance (0) and
    the ceiling, the most that so few different values can reach (1). Each input is reported for
    the scope with the largest measure. A column must explain more than its missingness, which is
    a finding of its own.

    Args:
        probes: As returned by ``probe_shortcuts``.

    Returns:
        One finding per input that predicts the class, the most severe first. All missing values
        are one finding, since columns are often missing together. ``count`` is the number of
        probes that predict the class.
    """
    by_input: dict[tuple[str, ...], list[Probe]] = {}
    for probe in probes:
        if _explained_fraction(probe, probes) >= _MIN_FRACTION:
            columns = probe.columns if probe.kind == "column" else ()
            by_input.setdefault((probe.kind, *columns), []).append(probe)
    findings = [_finding(key, predictive, probes) for key, predictive in by_input.items()]
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def _explained_fraction(probe: Probe, probes: Sequence[Probe]) -> float:
    """Return where the lower bound is between chance (0) and the ceiling (1).

    It is 0 if the interval does not clearly exclude chance.
    """
    value, low = probe.accuracy.value, probe.accuracy.low
    if value is None or low is None or probe.chance is None or probe.ceiling is None:
        return 0.0
    floor = max([probe.chance, *_missingness_scores(probe, probes)])
    if probe.ceiling <= floor or value - _INTERVAL_FACTOR * (value - low) <= floor:
        return 0.0
    return (low - floor) / (probe.ceiling - floor)


def _missingness_scores(probe: Probe, probes: Sequence[Probe]) -> Iterator[float]:
    for other in probes:
        same = other.kind == "missingness" and other.scope == probe.scope
        if same and probe.kind == "column" and probe.name in other.columns:
            yield other.accuracy.value or 0.0


def _finding(key: tuple[str, ...], predictive: Sequence[Probe], probes: Sequence[Probe]) -> Finding:
    worst = max(predictive, key=lambda probe: _explained_fraction(probe, probes))
    text, explained = _TEXTS[worst.kind], _explained_fraction(worst, probes)
    high, medium = text.thresholds
    severity: Severity = "high" if explained >= high else "medium" if explained >= medium else "low"
    where = "From" if worst.scope == ALL else f"{worst.scope[0].upper()}{worst.scope[1:]}, from"
    probe_input = text.probe_input.format(
        name=" or ".join(f"'{printable(name)}'" for name in worst.columns)
    )
    return Finding(
        "_".join(("shortcut", *key)),
        severity,
        f"{where} {probe_input} alone, a simple classifier reaches a balanced accuracy of "
        f"{_score(worst)}: {text.why}.",
        len(predictive),
        _details(worst, predictive),
        _examples(worst),
        text.recommendation,
    )


def _score(probe: Probe) -> str:
    estimate, notes = probe.accuracy, [f"chance {probe.chance:.3f}"]
    if probe.ceiling is not None and probe.ceiling < 1:
        notes.append(f"at most {probe.ceiling:.3f}, because there are few values")
    if probe.parts:
        part = max(probe.parts, key=lambda name: probe.parts[name])
        notes.append(f"with {part} alone {probe.parts[part]:.3f}")
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f}; {', '.join(notes)})"


def _details(worst: Probe, predictive: Sequence[Probe]) -> dict[str, int | float]:
    numbers = {
        "balanced_accuracy": worst.accuracy.value,
        "low": worst.accuracy.low,
        "high": worst.accuracy.high,
        "chance": worst.chance,
        "ceiling": worst.ceiling,
        "images": worst.accuracy.n,
        "classes": len(worst.classes),
        **{f"by {part} alone": value for part, value in worst.parts.items()},
        **{
            f"{probe.name}, {probe.scope}": probe.accuracy.value
            for probe in predictive
            if probe is not worst
        },
    }
    return {name: number for name, number in numbers.items() if number is not None}


def _examples(probe: Probe) -> list[list[str]]:
    """List the classes with a recall above chance, the highest first."""
    recalls = sorted(probe.recalls.items(), key=lambda item: (-item[1], item[0]))
    chance = probe.chance or 0.0
    return [[label, f"recall {100 * recall:.0f} %"] for label, recall in recalls if recall > chance]
