"""Networks, weights, the model file and inference."""
