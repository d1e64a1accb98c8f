"""Augmentation of batches of MFCC, in NumPy on the way to the network, for any backend."""

import numpy as np


def augment(features, labels, recipe, rng):
    """Apply a recipe's augmentations to one batch.

    Parameters
    ----------
    features : float32 array of shape (batch, frames, coefficients)
        Normalised. Not changed.
    labels : float32 array of shape (batch, classes)
        One-hot, smoothed or not. Not changed.
    recipe : Recipe
        Its ``shift``, ``time_mask``, ``frequency_mask`` and ``mixup``.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    features, labels
        New arrays of the same shapes, or the given ones where the recipe asks for nothing.
    """
    if recipe.shift:
        features = shift(features, recipe.shift, rng)
    if recipe.time_mask or recipe.frequency_mask:
        features = mask(features, recipe.time_mask, recipe.frequency_mask, rng)
    if recipe.mixup:
        features, labels = mixup(features, labels, recipe.mixup, rng)
    return features, labels


def shift(features, most, rng):
    """Move each utterance by up to ``most`` frames, repeating the frame at the edge it leaves."""
    frames = features.shape[1]
    moved = np.arange(frames) - rng.integers(-most, most + 1, size=(len(features), 1))
    return np.take_along_axis(features, np.clip(moved, 0, frames - 1)[:, :, None], axis=1)


def mask(features, most_frames, most_coefficients, rng, count=2):
    """Set bands of frames and of coefficients to zero, the mean (SpecAugment, Park et al., 2019).

    Parameters
    ----------
    features : array of shape (batch, frames, coefficients)
        Standardised. Not changed.
    most_frames, most_coefficients : int
        Greatest width of a band; each is drawn evenly from 0 to it.
    rng : numpy.random.Generator
        Source of chance.
    count : int
        Bands of either kind.
    """
    kept = np.ones(features.shape, np.float32)
    for axis, most in ((1, most_frames), (2, most_coefficients)):
        size = features.shape[axis]
        for _ in range(count if most else 0):
            width = rng.integers(0, min(most, size) + 1, size=(len(features), 1))
            start = rng.integers(0, size - width + 1)
            places = np.arange(size)
            outside = (places < start) | (places >= start + width)
            kept *= np.expand_dims(outside, 3 - axis)
    return features * kept


def mixup(features, labels, alpha, rng):
    """Mix each utterance and its label with another of the batch (Zhang et al., ICLR 2018)."""
    share = rng.beta(alpha, alpha, size=len(features)).astype(np.float32)
    other = rng.permutation(len(features))
    weight = share[:, None, None]
    mixed = weight * features + (1 - weight) * features[other]
    return mixed, share[:, None] * labels + (1 - share[:, None]) * labels[other]
