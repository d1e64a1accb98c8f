"""Augmentation of batches of features, in NumPy on the way to the network, for any backend."""

import numpy as np

from ctl_helpers.networks.recipes import Recipe


def augment(
    features: np.ndarray, labels: np.ndarray, recipe: Recipe, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Apply a recipe's augmentations to one batch.

    Parameters
    ----------
    features : float32 array of shape (batch, frames, coefficients)
        Normalised. Not changed.
    labels : float32 array of shape (batch, classes)
        One-hot, smoothed or not. Not changed.
    recipe : Recipe
        Its ``shift`` and ``cutmix``.
    rng : numpy.random.Generator
        Random generator.

    Returns
    -------
    features, labels
        New arrays of the same shapes, or the given ones where the recipe asks for nothing.
    """
    if recipe.shift:
        features = shift(features, recipe.shift, rng)
    if recipe.cutmix:
        features, labels = cutmix(features, labels, recipe.cutmix, rng)
    return features, labels


def shift(features: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Move each utterance by up to ``most`` frames, repeating the frame at the edge it leaves."""
    frames = features.shape[1]
    moved = np.arange(frames) - rng.integers(-most, most + 1, size=(len(features), 1))
    return np.take_along_axis(features, np.clip(moved, 0, frames - 1)[:, :, None], axis=1)


def cutmix(
    features: np.ndarray, labels: np.ndarray, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Replace the beginning or the end of some utterances by that of others, labels in proportion.

    Parameters
    ----------
    features : array of shape (batch, frames, coefficients)
        Not changed.
    labels : array of shape (batch, classes)
        Mixed as the frames are.
    share : float
        Of the utterances. From 20 to 80 % of their frames, drawn evenly, are another's.
    rng : numpy.random.Generator
        Random generator.

    References
    ----------
    Yun et al., "CutMix", ICCV 2019, along time alone.
    """
    count, frames = features.shape[:2]
    mixed = rng.uniform(size=count) < share
    length = np.round(rng.uniform(0.2, 0.8, size=count) * frames * mixed)
    other = rng.permutation(count)
    places = np.arange(frames) < length[:, None]
    at_the_end = rng.uniform(size=(count, 1)) < 0.5
    places = np.where(at_the_end, places[:, ::-1], places)
    weight = (length / frames).astype(np.float32)[:, None]
    spliced = np.where(places[:, :, None], features[other], features)
    return spliced, (1 - weight) * labels + weight * labels[other]
