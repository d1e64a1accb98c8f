"""Scores of predictions: UAR and WAR, fractions between 0 and 1.

UAR (unweighted average recall) is the mean of the classes' recalls, WAR (weighted average recall)
is accuracy.
"""

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics

from ctl_helpers.errors import StudyError


def uar(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Unweighted average recall: the mean recall over the classes that the truth holds.

    Parameters
    ----------
    truth, predicted
        Labels, shape (utterances,).

    Returns
    -------
    float
        A fraction.

    Examples
    --------
    >>> uar(["sad", "sad", "sad", "happy"], ["sad", "sad", "happy", "happy"])
    0.8333333333333333
    """
    truth, predicted = as_labels(truth, predicted)
    present = np.unique(truth)
    return float(metrics.recall_score(truth, predicted, labels=present, average="macro"))


def war(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Weighted average recall, which is accuracy; a fraction. See `uar` for the parameters."""
    return float(metrics.accuracy_score(*as_labels(truth, predicted)))


def scores(truth: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """Return UAR and WAR under the names that the run store uses."""
    return {"uar": uar(truth, predicted), "war": war(truth, predicted)}


def as_labels(truth: ArrayLike, predicted: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Check that there is one prediction per utterance, and return both as arrays."""
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape or truth.ndim != 1 or not len(truth):
        raise StudyError(
            "expected as many predictions as true labels, one or more; "
            f"got shapes {predicted.shape} and {truth.shape}"
        )
    return truth, predicted


def not_probabilities(values: ArrayLike, shape: tuple[int, int]) -> str:
    """Say why values are no probabilities of this shape that sum to 1 in each row, or "".

    They may be rounded to three decimals.

    Examples
    --------
    >>> not_probabilities([[0.2, 0.8]], (1, 2))
    ''
    """
    values = np.asarray(values)
    got = f"{values.shape}, {np.isfinite(values).mean():.0%} of them finite"
    if values.shape == shape and np.isfinite(values).all():
        sums = values.sum(axis=1)
        if values.min() >= 0 and np.allclose(sums, 1, atol=max(1e-2, 5e-4 * shape[1])):
            return ""
        got = f"values from {values.min():.3g} that sum to {sums[0]:.3g} (no softmax?)"
    return f"expected finite probabilities of shape {shape}, got {got}"
