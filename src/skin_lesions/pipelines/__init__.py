"""Kedro pipelines, one folder each; the folder has the name of the pipeline."""
