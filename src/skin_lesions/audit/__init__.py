"""Problems in a set of images."""
