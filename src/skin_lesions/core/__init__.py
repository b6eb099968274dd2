"""Basics of the operating system and the user interface.

Errors, text, files, threads, progress and signals.
"""
