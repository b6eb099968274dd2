"""Typed, frozen parameters, one module per group of conf/base/parameters."""
