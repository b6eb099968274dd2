"""Training: images and a recipe -> weights and history.

Random numbers depend only on seed, epoch and position in the epoch, never on earlier draws. A
resumed training therefore ends with the same weights as an uninterrupted one.
"""

from skin_lesions.training.loop import TrainingResult, result, train

__all__ = ["TrainingResult", "result", "train"]
