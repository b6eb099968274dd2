"""Use of a trained model: predictions for new images, the model bundle and the web page.

Only the modules that need torch import it: a model bundle works without torch.
"""
