"""Vectors of the utterances, standardised and side by side, for whatever learns from them."""

import numpy as np

from ctl_helpers.errors import StudyError, check_choice
from ctl_helpers.features import SECONDS, standardise
from ctl_helpers.protocols import Problem

NORMALISATIONS = ("global", "speaker", *SECONDS, "corpus")


def vectors(
    problem: Problem, normalisation: str, train: np.ndarray, name: str, seed: int = 0
) -> np.ndarray:
    """Standardise the feature sets of a problem and put them side by side.

    Parameters
    ----------
    problem : Problem
        With features of one vector per utterance.
    normalisation : str
        One of `NORMALISATIONS`: standardise each value by the training part, or within every
        speaker or corpus; the latter two look at the unlabelled speech of the test part too.
    train : int array
        Rows of the training part.
    name : str
        Of the method, for messages.
    seed : int
        Draws the speech of a new speaker where a normalisation takes some seconds of it.

    Returns
    -------
    float32 array of shape (utterances, values)
        Several sets have equal total variances; the variance per value is 1 on average, as with one
        set.
    """
    check_choice(f"normalisation of {name}", normalisation, NORMALISATIONS)
    only = np.concatenate([train, problem.adapt]) if len(problem.adapt) else None
    blocks, rows = [], {"train": train, "only": only, "failed": problem.unseen, "seed": seed}
    for features in problem.features:
        if features.values.ndim != 2:
            raise StudyError(
                f"{name}: expected one vector per utterance, got features of shape "
                f"{features.values.shape[1:]}"
            )
        blocks.append(standardise(features.values, problem.manifest, normalisation, **rows))
    if len(blocks) == 1:
        return blocks[0]
    width = sum(block.shape[1] for block in blocks) / len(blocks)
    return np.concatenate([block * np.sqrt(width / block.shape[1]) for block in blocks], axis=1)


def telling(inputs: np.ndarray, emotions: np.ndarray) -> np.ndarray:
    """Weigh values by what they tell about the emotions of some utterances.

    Parameters
    ----------
    inputs : array of shape (utterances, values)
        As :func:`vectors` gives them.
    emotions : array of shape (utterances, classes)
        The share of each emotion in each utterance: 0 and 1, or probabilities.

    Returns
    -------
    array of shape (values,)
        Root of each value's variance between the emotions, divided by that inside them.

    Examples
    --------
    >>> x = np.array([[0.0, 1.0], [1.0, 3.0], [4.0, 3.0], [5.0, 1.0]])
    >>> telling(x, np.array([[1, 0], [1, 0], [0, 1], [0, 1]])).round(2)
    array([4., 0.])
    """
    sizes = np.maximum(emotions.sum(axis=0), 1e-9)  # an emotion may have no utterance here
    mean, means = inputs.mean(axis=0), emotions.T @ inputs / sizes[:, None]
    between = sizes @ np.square(means - mean)
    within = np.square(inputs - mean).sum(axis=0, dtype=np.float64) - between
    ratio = between / (np.maximum(within, 0) + 1e-6 * len(inputs))
    return np.sqrt(ratio).astype(inputs.dtype)
