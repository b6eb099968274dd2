"""Training, evaluation and export of skin image classifiers."""

from importlib.metadata import version

__version__ = version("skin-lesions")
