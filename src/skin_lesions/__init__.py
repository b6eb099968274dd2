"""Train, judge and hand over classifiers of skin images."""

from importlib.metadata import version

__version__ = version("skin-lesions")
