"""Losses of CPAC: margin, margin with reconstruction of the label, and label smoothing."""

import numpy as np
from keras import ops

from ctl_helpers.networks.capsules import package


@package
def margin_loss(y_true, y_pred):
    """Margin loss on probabilities, summed over emotions, one value per utterance.

    ``y max(0, 0.9 - p)^2 + 0.5 (1 - y) max(0, p - 0.1)^2`` (Sabour et al., 2017, eq. 4), on the
    softmax output as CPAC was released.

    Parameters
    ----------
    y_true, y_pred : tensors of shape (batch, classes)
        Labels, smoothed or not, and probabilities.

    Returns
    -------
    tensor of shape (batch,)
    """
    present = y_true * ops.square(ops.maximum(0.0, 0.9 - y_pred))
    absent = (1.0 - y_true) * ops.square(ops.maximum(0.0, y_pred - 0.1))
    return ops.sum(present + 0.5 * absent, axis=-1)


@package
def margin_mse_loss(y_true, y_pred):
    """Margin loss + 0.392 x mean squared error: the objective that the paper writes.

    As released only the margin loss was trained, since Keras takes one loss per output.
    """
    return margin_loss(y_true, y_pred) + 0.392 * ops.mean(ops.square(y_true - y_pred), axis=-1)


def one_hot(labels, classes, smoothing=0.0):
    """One-hot labels, smoothed towards the uniform distribution, in a new array.

    Parameters
    ----------
    labels : int array of shape (utterances,)
        Index of each utterance's emotion.
    classes : int
        Number of emotions.
    smoothing : float
        Share of the mass that is spread evenly; 0.1 in the paper.

    Returns
    -------
    float32 array of shape (utterances, classes)
    """
    hard = np.eye(classes, dtype=np.float32)[np.asarray(labels)]
    return hard * np.float32(1 - smoothing) + np.float32(smoothing / classes)
