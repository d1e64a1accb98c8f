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
        Its ``speed``, ``shift``, ``noise``, ``time_mask``, ``frequency_mask``,
        ``cutmix`` and ``mixup``.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    features, labels
        New arrays of the same shapes, or the given ones where the recipe asks for nothing.
    """
    if recipe.speed:
        features = speed(features, recipe.speed, rng)
    if recipe.shift:
        features = shift(features, recipe.shift, rng)
    if recipe.noise:
        features = noise(features, recipe.noise, rng)
    if recipe.time_mask or recipe.frequency_mask:
        features = mask(features, recipe.time_mask, recipe.frequency_mask, rng)
    if recipe.cutmix:
        features, labels = cutmix(features, labels, recipe.cutmix, rng)
    if recipe.mixup:
        features, labels = mixup(features, labels, recipe.mixup, rng)
    return features, labels


def speed(features, most, rng):
    """Play each utterance slower or faster by a factor of its own, around the middle of its frames.

    Speech keeps its pitch: coefficients are moved in time alone, interpolated between neighbours.
    What leaves the frames is lost, and the frame at an edge is repeated where some are missing.

    Parameters
    ----------
    features : float32 array of shape (batch, frames, coefficients)
        Not changed.
    most : float
        The factor is drawn evenly from 1 - most to 1 + most; less than 1.
    rng : numpy.random.Generator
        Source of chance.

    References
    ----------
    Ko et al., "Audio augmentation for speech recognition", Interspeech 2015, who resample the
    signal, and so move the pitch too.
    """
    frames = features.shape[1]
    factor = rng.uniform(1 - most, 1 + most, size=(len(features), 1))
    middle = (frames - 1) / 2
    wanted = np.clip(middle + factor * (np.arange(frames) - middle), 0, frames - 1)
    before = np.minimum(wanted.astype(int), max(frames - 2, 0))
    weight = (wanted - before).astype(np.float32)[:, :, None]
    one, next_one = (
        np.take_along_axis(features, np.minimum(places, frames - 1)[:, :, None], axis=1)
        for places in (before, before + 1)
    )
    return (1 - weight) * one + weight * next_one


def noise(features, deviation, rng):
    """Add white noise of a standard deviation to every frame but those that are all zero, padding.

    Parameters
    ----------
    features : float32 array of shape (batch, frames, coefficients)
        Standardised. Not changed.
    deviation : float
        In units of the coefficients' own.
    rng : numpy.random.Generator
        Source of chance.
    """
    held = features.any(axis=2, keepdims=True)
    return features + np.float32(deviation) * held * rng.standard_normal(features.shape, np.float32)


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


def cutmix(features, labels, share, rng):
    """Take the beginning or the end of some utterances from others of the batch, labels in part.

    Parameters
    ----------
    features : array of shape (batch, frames, coefficients)
        Not changed.
    labels : array of shape (batch, classes)
        Mixed as the frames are.
    share : float
        Of the utterances. From 20 to 80 % of their frames, drawn evenly, are another's.
    rng : numpy.random.Generator
        Source of chance.

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


def mixup(features, labels, alpha, rng):
    """Mix each utterance and its label with another of the batch (Zhang et al., ICLR 2018)."""
    share = rng.beta(alpha, alpha, size=len(features)).astype(np.float32)
    other = rng.permutation(len(features))
    weight = share[:, None, None]
    mixed = weight * features + (1 - weight) * features[other]
    return mixed, share[:, None] * labels + (1 - share[:, None]) * labels[other]
