"""Placeholder of a figure whose images of patients are not wanted."""

from matplotlib.figure import Figure

from skin_lesions.reporting.figures.style import titled_figure

NOTE = "Images of patients are left out (report.show_images=false)."


def draw_placeholder(heading: str) -> Figure:
    """Draw only the heading of a figure, and the reason why it is empty."""
    # The block draws the header. Below it there is no content, so 0.1 inch is sufficient.
    with titled_figure((7.0, 0.1), heading, note=NOTE, synthetic=False) as figure:
        pass
    return figure
