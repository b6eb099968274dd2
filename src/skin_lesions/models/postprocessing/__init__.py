"""Postprocessing: steps that are fitted on validation data and saved in the model file."""
