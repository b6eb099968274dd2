"""What a model could cheat with: how well the class can be told without looking at the lesion.

Each probe gives a simple classifier one thing only: file properties, a thumbnail, the border, one
metadata column, or whether that column is filled. What it reaches on images of lesions and patients
that it hasn't seen, beside chance, says what a network may learn in place of the lesion.

Importing this package imports torch; a node defers it.
"""

from skin_lesions.audit.shortcuts.findings import shortcut_findings
from skin_lesions.audit.shortcuts.probes import Probe, probe_shortcuts

__all__ = ["Probe", "probe_shortcuts", "shortcut_findings"]
