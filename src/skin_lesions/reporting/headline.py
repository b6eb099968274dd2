"""Numbers of metrics.json -> words."""

from typing import Any


def headline(scores: dict[str, Any]) -> str:
    """Tell the scores of one split in a line."""
    told = (
        f"{name} {in_words(scores[key])}"
        for key, name in (
            ("balanced_accuracy", "balanced accuracy"),
            ("accuracy", "accuracy"),
            ("auroc_macro", "AUROC"),
        )
    )
    return f"{', '.join(told)}; {scores['n']} images"


def in_words(estimate: dict[str, Any]) -> str:
    """Tell one estimate with its 95 % interval."""
    if estimate["value"] is None:
        return f"unknown ({estimate['reason']})"
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"
