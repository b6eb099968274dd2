"""Postprocessing that is fitted on validation data and saved in the model file."""
