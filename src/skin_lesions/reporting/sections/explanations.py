"""Section "Explanations": the figures of this section, which show what the model looks at."""

from skin_lesions.reporting.sections.section import Section

SECTION = Section(name="explanations", title="Explanations", content=lambda _: ())
