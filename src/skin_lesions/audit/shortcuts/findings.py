"""Findings of the shortcut probes: which inputs predict the class better than chance."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from skin_lesions.audit.context import AuditContext
from skin_lesions.audit.finding import Finding, Severity
from skin_lesions.audit.shortcuts.inputs import BORDER, THUMBNAIL, Kind
from skin_lesions.audit.shortcuts.probes import ALL, Probe
from skin_lesions.core.text import printable

# An audit runs dozens of probes, and one result in forty is outside one side of its 95 % interval.
# The interval must therefore exclude chance even if it is 1.5 times as long (about 1 of 600).
_INTERVAL_FACTOR = 1.5
# A smaller fraction of the range from chance to the ceiling is not reported.
_MIN_FRACTION = 0.03


@dataclass(frozen=True, kw_only=True)
class _ProbeText:
    """The text of a finding.

    ``high`` and ``medium``: the explained fractions from which the finding has this severity. Only
    inputs that the network can see in the pixels can bias its score, so only they can be ``high``.
    """

    probe_input: str
    why: str
    recommendation: str
    high: float
    medium: float


_TEXTS: dict[Kind, _ProbeText] = {
    "files": _ProbeText(
        probe_input="file properties (size, aspect, bytes, format, compression)",
        # Compression, resolution and aspect ratio leave traces in the pixels.
        why="files of different classes were made in different ways",
        recommendation="Find out how each class was collected, make all files uniform, and report "
        "scores within each source.",
        high=0.2,
        medium=0.1,
    ),
    "thumbnail": _ProbeText(
        probe_input=f"a thumbnail of {THUMBNAIL}x{THUMBNAIL} pixels",
        why="color and layout differ by class, partly because of the lesions and partly because of "
        "how the images were taken",
        recommendation="A model that uses the lesions must clearly exceed this score.",
        high=math.inf,  # never more than low
        medium=math.inf,
    ),
    "border": _ProbeText(
        probe_input=f"the outermost {100 * BORDER:g} % of each edge",
        why="frames, rulers, skin or background differ by class, or lesions reach the edge",
        recommendation="Mask the border and evaluate the model again. The score that it loses came "
        "from the border.",
        high=0.2,
        medium=0.1,
    ),
    "column": _ProbeText(
        probe_input="the metadata column {name}",
        why="its values are not evenly distributed over the classes",
        recommendation="Do not use this column as model input, unless it is known before the "
        "diagnosis. Check whether its values represent collection sites or methods.",
        high=math.inf,  # the network does not see it
        medium=0.5,
    ),
    "text": _ProbeText(
        probe_input="the words of {name}",
        why="its texts name or imply the diagnosis",
        recommendation="Read the terms of each class below. Do not use this column as model input "
        "if its texts were written after the diagnosis.",
        high=math.inf,  # the network does not see it
        medium=0.5,
    ),
    "missingness": _ProbeText(
        probe_input="whether {name} is known",
        why="it was recorded more often for some classes than for others",
        recommendation="Do not give a model information on which metadata are missing. Report "
        "scores of each source separately.",
        high=math.inf,  # the network does not see it
        medium=0.5,
    ),
}


def shortcuts(context: AuditContext) -> list[Finding]:
    """Report the inputs that predict the class better than chance."""
    return shortcut_findings(context.shortcut_probes)


def shortcut_findings(probes: Sequence[Probe]) -> list[Finding]:
    """List the inputs that predict the class better than chance.

    The measure is the position of the lower bound of the balanced accuracy between chance (0) and
    the ceiling, the most that so few different values can reach (1). Each input is reported for
    the scope with the largest measure. A column must explain more than its missingness, which is
    a finding of its own.

    Args:
        probes: As returned by ``probe_shortcuts``.

    Returns:
        One finding per input that predicts the class. All missing values are one finding, since
        columns are often missing together. ``count`` is the number of probes that predict the
        class.
    """
    by_finding: dict[str, list[Probe]] = {}
    for probe in probes:
        if _explained_fraction(probe, probes) >= _MIN_FRACTION:
            finding_id = f"shortcut_{probe.kind}"
            if probe.kind in ("column", "text"):
                finding_id += f"_{probe.columns[0]}"
            by_finding.setdefault(finding_id, []).append(probe)
    return [_finding(finding_id, found, probes) for finding_id, found in by_finding.items()]


def predictive_columns(probes: Sequence[Probe]) -> tuple[str, ...]:
    """Return the metadata columns of all probes that predict the class, sorted."""
    predictive = [p for p in probes if _explained_fraction(p, probes) >= _MIN_FRACTION]
    return tuple(sorted({name for probe in predictive for name in probe.columns}))


def _explained_fraction(probe: Probe, probes: Sequence[Probe]) -> float:
    """Return where the lower bound is between chance (0) and the ceiling (1).

    It is 0 if the interval does not clearly exclude chance.
    """
    value = probe.accuracy.value
    low = probe.accuracy.low
    if value is None or low is None or probe.chance is None or probe.ceiling is None:
        return 0.0
    floor = max([probe.chance, *_missingness_scores(probe, probes)])
    if probe.ceiling <= floor or value - _INTERVAL_FACTOR * (value - low) <= floor:
        return 0.0
    return (low - floor) / (probe.ceiling - floor)


def _missingness_scores(probe: Probe, probes: Sequence[Probe]) -> Iterator[float]:
    if probe.kind in ("column", "text"):
        for other in probes:
            is_missingness = other.kind == "missingness" and other.scope == probe.scope
            if is_missingness and probe.columns[0] in other.columns:
                yield other.accuracy.value or 0.0


def _finding(finding_id: str, predictive: Sequence[Probe], probes: Sequence[Probe]) -> Finding:
    worst = max(predictive, key=lambda probe: _explained_fraction(probe, probes))
    text = _TEXTS[worst.kind]
    where = "From" if worst.scope == ALL else f"{worst.scope[0].upper()}{worst.scope[1:]}, from"
    names = " or ".join(f"'{printable(name)}'" for name in worst.columns)
    return Finding(
        id=finding_id,
        severity=_severity(text, _explained_fraction(worst, probes)),
        message=f"{where} {text.probe_input.format(name=names)} alone, a simple classifier reaches "
        f"a balanced accuracy of {_score(worst)}: {text.why}.",
        count=len(predictive),
        details=_details(worst, predictive),
        examples=_examples(worst),
        recommendation=text.recommendation,
    )


def _severity(text: _ProbeText, explained: float) -> Severity:
    if explained >= text.high:
        return "high"
    return "medium" if explained >= text.medium else "low"


def _score(probe: Probe) -> str:
    estimate = probe.accuracy
    notes = [f"chance {probe.chance:.3f}"]
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
    """List the classes with a recall above chance, the highest first, and terms of a text."""
    recalls = sorted(probe.recalls.items(), key=lambda item: (-item[1], item[0]))
    above = [(label, recall) for label, recall in recalls if recall > (probe.chance or 0.0)]
    terms = {label: [f"terms {', '.join(found)}"] for label, found in probe.terms.items()}
    return [
        [label, f"recall {100 * recall:.0f} %", *terms.get(label, [])] for label, recall in above
    ]
