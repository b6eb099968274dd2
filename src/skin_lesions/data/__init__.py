"""Data preparation: from an image source to training batches."""
