"""The training: recipe and images -> weights and what happened on the way.

All chance is a function of seed, epoch and place, never of what was drawn before: a training that goes
on from a checkpoint ends with the weights of one that was never disturbed.
"""

from skin_lesions.training.loop import Trained, result, train

__all__ = ["Trained", "result", "train"]
