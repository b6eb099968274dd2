"""Models: networks, initial weights, the model file and inference."""
