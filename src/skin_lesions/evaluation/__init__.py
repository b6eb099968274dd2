"""Evaluation: predictions of a model and their metrics."""
