"""Adaptation of an encoder to an unlabelled corpus: the methods, and the model that trains them.

A method is a layer that adds one loss; see
:class:`~ctl_helpers.networks.adaptation.method.Method`. To add one: a file beside these, and a line
in ``METHODS``.
"""

from functools import partial

import keras
from keras import layers

from ctl_helpers.networks import cpac
from ctl_helpers.networks.adaptation.cdan import ConditionalAdversarial
from ctl_helpers.networks.adaptation.coral import Coral
from ctl_helpers.networks.adaptation.dann import DomainAdversarial
from ctl_helpers.networks.adaptation.information import Information
from ctl_helpers.networks.adaptation.mdd import MarginDisparity
from ctl_helpers.networks.adaptation.method import Adapting, halves
from ctl_helpers.networks.adaptation.mmd import MeanDiscrepancy
from ctl_helpers.networks.capsules import Dropout, scaled_glorot

METHODS = {
    "source-only": None,  # the same network, which never sees the target
    "caam-released": MarginDisparity,
    "caam-mdd": partial(MarginDisparity, hard=True),
    "dann": DomainAdversarial,
    "cdan": ConditionalAdversarial,
    "cdan-e": partial(ConditionalAdversarial, entropy=True),
    "coral": Coral,
    "mmd": MeanDiscrepancy,
    "information": Information,
    "jan": partial(MeanDiscrepancy, joint=True),
}


def predictor(frames, coefficients=39, classes=5, *, head_dropout=0.0, head_gain=1.0, **settings):
    """Make encoder and task head of CAAM: CPAC's encoder, ReLU, dense softmax.

    Parameters
    ----------
    frames, coefficients : int
        Shape of an utterance's features.
    classes : int
        Number of emotions.
    head_dropout : float
        Rate before the ReLU.
    head_gain : float
        Factor on the softmax kernel's initial values.
    **settings
        Of :func:`ctl_helpers.networks.cpac.encoder`.

    Returns
    -------
    keras.Model
        (batch, frames, coefficients) to probabilities (batch, classes).
    """
    body = cpac.encoder(frames, coefficients, **settings)
    x = Dropout(head_dropout, name="head_dropout")(body.output)
    x = layers.Activation("relu", name="head_relu")(x)
    kernel = scaled_glorot(head_gain)
    outputs = layers.Dense(classes, "softmax", kernel_initializer=kernel, name="emotion")(x)
    return keras.Model(body.input, outputs, name="caam")


def training_model(model, method, recipe):
    """Wrap a predictor for training with a method of adaptation.

    Parameters
    ----------
    model : keras.Model
        Made by :func:`predictor`. Its weights are what is trained.
    method : str
        One of ``METHODS``.
    recipe : TransferRecipe
        Strengths and schedules.

    Returns
    -------
    keras.Model
        Takes ``(x_source, x_target)``, equally many, and gives the source's probabilities; the
        method's loss is added within. For ``"source-only"`` it takes ``x_source`` alone.
    """
    layer = METHODS[method]
    if layer is None:
        return keras.Model(model.input, model.output, name=method)
    pair = [keras.Input(model.input.shape[1:], name=name) for name in ("source", "target")]
    both = keras.Model(model.input, [model.get_layer("embedding").output, model.output])
    embeddings, probabilities = both(layers.Concatenate(axis=0, name="both")(pair))
    halve = Halves()
    outputs = layer(recipe)([*halve(embeddings), *halve(probabilities)])
    return Adapting(pair, outputs, name=method)


class Halves(layers.Layer):
    """Part a batch into the halves it was joined from."""

    def call(self, inputs):
        """Give the first half and the second."""
        return halves(inputs)

    def compute_output_shape(self, input_shape):
        """Two times an unknown number."""
        return [(None, *input_shape[1:])] * 2
