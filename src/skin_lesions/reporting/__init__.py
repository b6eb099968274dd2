"""Report and model card, rendered from tables, metrics and figures."""
