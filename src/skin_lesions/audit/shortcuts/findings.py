"""Probes -> findings: which of them tell the class better than chance can, and how grave that is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from skin_lesions.audit.finding import SEVERITIES, Finding, Severity
from skin_lesions.audit.shortcuts.inputs import BORDER, THUMBNAIL, Kind
from skin_lesions.audit.shortcuts.probes import ALL, Probe
from skin_lesions.core.text import printable

# An audit asks dozens of such questions, and of each forty answers one lies outside a side of its
# 95 % interval. So the interval must clear chance when half as long again (about 1 of 600).
_HIGHER_SEVERITY = 1.5
# Less than this share of the way from chance to the best possible isn't worth a finding.
_MIN_GAIN = 0.03


@dataclass(frozen=True)
class _Wording:
    """``grave``: from which share of what could be told the finding is high, and medium."""

    what: str
    why: str
    remedy: str
    grave: tuple[float, float]


_WORDINGS: dict[Kind, _Wording] = {
    "files": _Wording(
        "file properties (size, aspect, bytes, format, compression)",
        "files of different classes were made differently",
        "Find out how each class was collected, make all files alike, and report scores within each "
        "source.",
        (0.2, 0.1),
    ),
    "thumbnail": _Wording(
        f"a thumbnail of {THUMBNAIL}x{THUMBNAIL} pixels",
        "colour and layout tell classes apart; part of that is real, part is how pictures were taken",
        "A model that reads lesions must clearly beat this number.",
        (2.0, 2.0),  # never more than low
    ),
    "border": _Wording(
        f"the outermost {100 * BORDER:g} % of each edge",
        "frames, rulers, skin or background differ by class, or lesions reach the edge",
        "Cover the border and judge the model again: what it then loses, it had read there.",
        (0.2, 0.1),
    ),
    "column": _Wording(
        "the metadata column {name}",
        "its values are not spread evenly over the classes",
        "Don't let a model see this column, unless it is known before the diagnosis; look whether its "
        "values stand for places or ways of collecting.",
        (0.5, 0.2),
    ),
    "missingness": _Wording(
        "whether {name} is known",
        "it was noted for some classes more often than for others",
        "Don't let a model see which metadata are missing; report each source by itself.",
        (0.5, 0.2),
    ),
}


def shortcut_findings(probes: Sequence[Probe]) -> list[Finding]:
    """Tell which clues name the class better than chance, each by the scope where it tells most.

    How much a clue tells is where the lower bound of its balanced accuracy lies between chance (0)
    and the most that so many different values can reach (1). A column must tell more than whether
    it is filled, which is a finding of its own.

    Args:
        probes: As ``probe_shortcuts`` gives them.

    Returns:
        One finding per clue that tells the class, the gravest first; one for all that is missing,
        since columns are often missing together. ``count`` is the number of probes that tell it.
    """
    by_clue: dict[tuple[str, ...], list[Probe]] = {}
    for probe in probes:
        if _explained_fraction(probe, probes) >= _MIN_GAIN:
            probe_input = probe.columns if probe.kind == "column" else ()
            by_clue.setdefault((probe.kind, *probe_input), []).append(probe)
    findings = [_finding(probe_input, telling, probes) for probe_input, telling in by_clue.items()]
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def _explained_fraction(probe: Probe, probes: Sequence[Probe]) -> float:
    """Return which share of what could be told is told for certain; 0 for none."""
    value, low = probe.accuracy.value, probe.accuracy.low
    if value is None or low is None or probe.chance is None or probe.ceiling is None:
        return 0.0
    floor = max([probe.chance, *_reached_by_missingness(probe, probes)])
    if probe.ceiling <= floor or value - _HIGHER_SEVERITY * (value - low) <= floor:
        return 0.0
    return (low - floor) / (probe.ceiling - floor)


def _reached_by_missingness(probe: Probe, probes: Sequence[Probe]) -> Iterator[float]:
    for other in probes:
        same = other.kind == "missingness" and other.scope == probe.scope
        if same and probe.kind == "column" and probe.name in other.columns:
            yield other.accuracy.value or 0.0


def _finding(
    probe_input: tuple[str, ...], telling: Sequence[Probe], probes: Sequence[Probe]
) -> Finding:
    worst = max(telling, key=lambda probe: _explained_fraction(probe, probes))
    wording, told = _WORDINGS[worst.kind], _explained_fraction(worst, probes)
    high, medium = wording.grave
    severity: Severity = "high" if told >= high else "medium" if told >= medium else "low"
    where = "From" if worst.scope == ALL else f"{worst.scope[0].upper()}{worst.scope[1:]}, from"
    what = wording.what.format(name=" or ".join(f"'{printable(name)}'" for name in worst.columns))
    return Finding(
        "_".join(("shortcut", *probe_input)),
        severity,
        f"{where} {what} alone, a simple classifier reaches a balanced accuracy of {_reached(worst)}: "
        f"{wording.why}.",
        len(telling),
        _numbers(worst, telling),
        _examples(worst),
        wording.remedy,
    )


def _reached(probe: Probe) -> str:
    estimate, notes = probe.accuracy, [f"chance {probe.chance:.3f}"]
    if probe.ceiling is not None and probe.ceiling < 1:
        notes.append(f"at most {probe.ceiling:.3f} with so few values")
    if probe.parts:
        part = max(probe.parts, key=lambda name: probe.parts[name])
        notes.append(f"by {part} alone {probe.parts[part]:.3f}")
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f}; {', '.join(notes)})"


def _numbers(worst: Probe, telling: Sequence[Probe]) -> dict[str, int | float]:
    numbers = {
        "balanced_accuracy": worst.accuracy.value,
        "low": worst.accuracy.low,
        "high": worst.accuracy.high,
        "chance": worst.chance,
        "best_possible": worst.ceiling,
        "images": worst.accuracy.n,
        "classes": len(worst.classes),
        **{f"by {part} alone": value for part, value in worst.parts.items()},
        **{
            f"{probe.name}, {probe.scope}": probe.accuracy.value
            for probe in telling
            if probe is not worst
        },
    }
    return {name: number for name, number in numbers.items() if number is not None}


def _examples(probe: Probe) -> list[list[str]]:
    """List the classes that are told, the best first."""
    recalls = sorted(probe.recalls.items(), key=lambda item: (-item[1], item[0]))
    chance = probe.chance or 0.0
    return [
        [label, f"{100 * recall:.0f} % named right"] for label, recall in recalls if recall > chance
    ]
