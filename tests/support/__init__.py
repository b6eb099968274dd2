"""Helpers of the tests; they hold no tests themselves."""
