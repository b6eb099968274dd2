"""Localization of the lesion in an image: boxes and masks, with the backbone of a classifier."""
