"""Operating system and user interface: errors, files, threads, progress, signals."""
