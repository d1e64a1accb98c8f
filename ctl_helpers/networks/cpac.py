"""CPAC: convolution, capsules and attention for emotion recognition inside one corpus."""

import keras
from keras import layers

from ctl_helpers.errors import StudyError
from ctl_helpers.networks.capsules import (
    Capsules,
    ConvolutionBlock,
    Dropout,
    PrimaryCapsules,
    Squash,
    scaled_glorot,
)


def encoder(
    frames,
    coefficients=39,
    *,
    dropout=(0.5, 0.25, 0.25),
    norm="frozen",
    attention="scaled",
    capsules=True,
    precision="float32",
    capsule_gain=1.0,
):
    """CPAC from the features up to the average over its capsules.

    Parameters
    ----------
    frames, coefficients : int
        Shape of an utterance's features.
    dropout : tuple of three floats
        Rate behind each convolution block.
    norm : {"frozen", "batch"}
        See :class:`~ctl_helpers.networks.capsules.ConvolutionBlock`.
    attention : {"scaled", "plain", None}
        Self-attention over the primary capsules with one learned scale, without it (as CAAM has
        it), or none (ablation).
    capsules : bool
        ``False`` replaces the routed capsules by the mean of the primary ones (ablation).
    precision : {"float32", "bfloat16"}
        Of the factors in all convolutions but the first; weights, sums and the rest are float32.
    capsule_gain : float
        Factor on the capsule transformation's initial values.

    Returns
    -------
    keras.Model
        (batch, frames, coefficients) to (batch, 64).

    Raises
    ------
    StudyError
        When the features are too small for the network's kernels.

    References
    ----------
    Wen, Ye et al., "CTL-MTNet", IJCAI 2022, section 3.1.
    """
    if min(frames, coefficients) < 38:  # what three blocks bring down to a kernel of 3 x 3
        raise StudyError(
            "CPAC: expected features of at least 38 frames and 38 coefficients, "
            f"got {frames} x {coefficients}"
        )
    inputs = keras.Input((frames, coefficients), name="features")
    x = layers.Reshape((frames, coefficients, 1), name="image")(inputs)
    for block, rate in enumerate(dropout, start=1):
        factors = precision if block > 1 else "float32"  # the first is a pass, not a product
        name = f"convolution_{block}"
        x = ConvolutionBlock(64, rate, norm=norm, precision=factors, name=name)(x)
    x = Squash(name="squash")(PrimaryCapsules(precision=precision, name="primary_capsules")(x))
    if attention:
        attended = layers.Attention(use_scale=attention == "scaled", name="attention")([x, x])
        x = layers.Multiply(name="attended_capsules")([x, attended])
    if capsules:
        x = Capsules(gain=capsule_gain, name="capsules")(x)
    x = layers.GlobalAveragePooling1D(name="embedding")(x)
    return keras.Model(inputs, x, name="encoder")


def cpac(frames, coefficients=39, classes=6, *, head_dropout=0.2, head_gain=1.0, **settings):
    """CPAC with its softmax over the emotions: 321 799 parameters for 172 x 39 and 6 classes.

    Parameters
    ----------
    frames, coefficients : int
        Shape of an utterance's features.
    classes : int
        Number of emotions.
    head_dropout : float
        Rate before the softmax.
    head_gain : float
        Factor on the softmax kernel's initial values.
    **settings
        Of :func:`encoder`.

    Returns
    -------
    keras.Model
        (batch, frames, coefficients) to probabilities (batch, classes).

    Examples
    --------
    >>> cpac(172, 39, 6).count_params()
    321799
    """
    body = encoder(frames, coefficients, **settings)
    return with_head(body, classes, head_dropout, head_gain, name="cpac")


def with_head(body, classes, dropout, gain, name, relu=False):
    """Put dropout, a ReLU if wanted and the softmax over the emotions on top of an encoder."""
    x = Dropout(dropout, name="head_dropout")(body.output)
    if relu:
        x = layers.Activation("relu", name="head_relu")(x)
    kernel = scaled_glorot(gain)
    outputs = layers.Dense(classes, "softmax", kernel_initializer=kernel, name="emotion")(x)
    return keras.Model(body.input, outputs, name=name)


def with_embedding(model):
    """Return a network's embeddings beside its probabilities.

    Parameters
    ----------
    model : keras.Model
        Its embedding is what its layer of that name gives, or else what its last layer takes.

    Returns
    -------
    keras.Model
        (batch, frames, coefficients) to [(batch, classes), (batch, values)], sharing the
        weights.

    Raises
    ------
    StudyError
        If neither is a layer of this network that is used once.
    """
    try:
        named = [layer.output for layer in model.layers if layer.name == "embedding"]
        (embedding,) = named or keras.tree.flatten(model.layers[-1].input)[:1]
        return keras.Model(model.input, [model.output, embedding])
    except (AttributeError, ValueError) as error:
        raise StudyError(
            f"network {model.name}: expected a layer 'embedding', or a last layer, that is used "
            f"once; got {model.layers[-1].name!r} at the end"
        ) from error
