"""Nodes of audit."""

import logging
from typing import Any

import pandas as pd

from skin_lesions.audit import find, summary_sentences
from skin_lesions.parameters import Audit

log = logging.getLogger(__name__)


def find_problems(
    image_table: pd.DataFrame, image_groups: pd.DataFrame, quarantine: pd.DataFrame, audit: Audit
) -> dict[str, Any]:
    """Collect the findings and tell the grave ones in the log."""
    findings = find(image_table, image_groups, quarantine, audit.examples)
    for sentence in summary_sentences(findings):
        log.info(sentence)
    return findings
