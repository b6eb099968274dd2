"""Training: images and a recipe -> weights and history.

``fit.fit_model`` starts a training, ``loop.train`` is the training loop. Random numbers depend only
on seed, epoch and position in the epoch, never on earlier draws. A resumed training therefore ends
with the same weights as an uninterrupted one.
"""
