"""Sections of the HTML report, one module each. ``registry`` has their order."""
