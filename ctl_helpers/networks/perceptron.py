"""A perceptron with one hidden layer, for a vector per utterance such as functionals."""

import keras
from keras import layers

from ctl_helpers.networks.capsules import Dropout


def perceptron(frames, coefficients, classes, *, units=48, input_dropout=0.7, dropout=0.5):
    """Perceptron with dropout on its inputs, one hidden layer and a softmax over the emotions.

    Parameters
    ----------
    frames, coefficients : int
        Shape of an utterance's features: (1, values) for a vector.
    classes : int
        Number of emotions.
    units : int
        Of the hidden layer.
    input_dropout, dropout : float
        Rate on the features and on the hidden layer.

    Returns
    -------
    keras.Model
        (batch, frames, coefficients) to probabilities (batch, classes).

    Examples
    --------
    >>> perceptron(1, 88, 6).count_params()
    4566
    """
    inputs = keras.Input((frames, coefficients), name="features")
    x = Dropout(input_dropout, name="input_dropout")(layers.Flatten(name="vector")(inputs))
    x = layers.Dense(units, "relu", name="embedding")(x)
    x = Dropout(dropout, name="dropout")(x)
    outputs = layers.Dense(classes, "softmax", kernel_initializer="zeros", name="emotion")(x)
    return keras.Model(inputs, outputs, name="perceptron")
