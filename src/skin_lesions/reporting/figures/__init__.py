"""Figures of the report. Each title states the result; ``registry`` lists the figures."""
