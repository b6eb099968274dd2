"""Names of the input and the outputs of the exported ONNX network."""

IMAGES = "images"
LOGITS = "logits"
PROBABILITIES = "probabilities"
UNKNOWN_SCORE = "unknown_score"
FEATURES = "features"
FEATURE_MAP = "feature_map"  # only if the head is global average pooling and one linear layer
LESION_PROBABILITIES = "lesion_probabilities"  # of the network of a localizer
