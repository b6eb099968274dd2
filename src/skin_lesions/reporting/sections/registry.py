"""All sections, in the order of the report.

To add a section, write a module that defines it and add it here; see docs/contributing.
"""

from skin_lesions.reporting.sections import (
    clinical_metadata,
    data,
    errors,
    explanations,
    external,
    findings,
    licenses,
    localization,
    next_steps,
    reproduce,
    results,
    subgroups,
    summary,
    training,
    uncertainty,
)
from skin_lesions.reporting.sections.section import Section

SECTIONS: tuple[Section, ...] = (
    summary.SECTION,
    data.SECTION,
    findings.SECTION,
    results.SECTION,
    uncertainty.SECTION,
    subgroups.SECTION,
    clinical_metadata.SECTION,
    external.SECTION,
    explanations.SECTION,
    localization.SECTION,
    errors.SECTION,
    next_steps.SECTION,
    training.SECTION,
    reproduce.SECTION,
    licenses.SECTION,
)
