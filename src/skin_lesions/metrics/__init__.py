"""Metrics with confidence intervals, computed from arrays."""
