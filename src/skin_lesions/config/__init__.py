"""Typed, immutable parameters: one module for each group of conf/base/parameters."""
