"""Shortcut probes: how well the class can be predicted without looking at the lesion.

Each probe gives a simple classifier only one input: file properties, a thumbnail, the border, one
metadata column, or whether that column is filled. Its score on unseen lesions and patients,
compared with chance, shows which shortcuts a network may use in place of the lesion.
"""
