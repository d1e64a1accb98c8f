"""Adaptation of an encoder to unlabelled speech: the methods, and the model that trains them.

A method is a layer that adds one loss; see
:class:`~ctl_helpers.networks.adaptation.method.Method`. To add one: a file beside these, and a line
in :data:`ctl_helpers.networks.ADAPTATIONS`.
"""

import keras
from keras import layers

from ctl_helpers.networks import ADAPTATIONS, cpac
from ctl_helpers.networks.adaptation.method import Adapting
from ctl_helpers.networks.recipes import Recipe
from ctl_helpers.plugins import load


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
        Of :func:`ctl_helpers.networks.cpac.encoder`; as released the dropout is 0.25 in all blocks
        and attention has no learned scale.

    Returns
    -------
    keras.Model
        (batch, frames, coefficients) to probabilities (batch, classes).
    """
    released = {"dropout": (0.25, 0.25, 0.25), "attention": "plain"}
    body = cpac.encoder(frames, coefficients, **released | settings)
    return cpac.with_head(body, classes, head_dropout, head_gain, name="caam", relu=True)


def training_model(model: keras.Model, method: str, recipe: Recipe) -> keras.Model:
    """Wrap a predictor for training with a method of adaptation.

    Parameters
    ----------
    model : keras.Model
        Made by :func:`predictor`. Its weights are what is trained.
    method : str
        One of :data:`ctl_helpers.networks.ADAPTATIONS`.
    recipe : Recipe
        Strengths and schedules.

    Returns
    -------
    keras.Model
        Takes ``(x_source, x_target)``, equally many, and gives the source's probabilities; the
        method's loss is added within. For ``"source-only"`` it takes ``x_source`` alone.
    """
    place, settings = ADAPTATIONS[method]
    if place is None:
        return keras.Model(model.input, model.output, name=method)
    pair = [keras.Input(model.input.shape[1:], name=name) for name in ("source", "target")]
    both = cpac.with_embedding(model)
    probabilities, embeddings = both(layers.Concatenate(axis=0, name="both")(pair))
    outputs = load(place)(recipe, **settings)([embeddings, probabilities])
    return Adapting(pair, outputs, name=method)
