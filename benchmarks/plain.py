"""CPAC from stock Keras layers, as it is described: what the fast network is compared with."""

import keras
from keras import layers, ops


class FrozenNorm(layers.BatchNormalization):
    """Keras's batch norm, called in inference mode while training too."""

    def call(self, inputs, training=None, mask=None):
        """Normalise with the moving statistics."""
        return super().call(inputs, training=False, mask=mask)


def squash(v):
    """Shrink vectors into the unit ball."""
    square = ops.sum(ops.square(v), axis=-1, keepdims=True)
    return square / (1.0 + square) * v / ops.sqrt(square + 1e-7)


class PlainSquash(layers.Layer):
    """The squash as a layer."""

    def call(self, inputs):
        """Squash the last axis."""
        return squash(inputs)


class PlainCapsules(layers.Layer):
    """Routing by agreement, every vote written out."""

    def __init__(self, count=6, dimension=64, routings=3, **kwargs):
        super().__init__(**kwargs)
        self.count, self.dimension, self.routings = count, dimension, routings

    def build(self, input_shape):
        """Make the shared transformation."""
        shape = (input_shape[-1], self.count * self.dimension)
        self.kernel = self.add_weight(shape, "glorot_uniform", name="kernel")

    def call(self, inputs):
        """Route (batch, inputs, dimension)."""
        shape = (-1, inputs.shape[1], self.count, self.dimension)
        votes = ops.transpose(ops.reshape(ops.matmul(inputs, self.kernel), shape), (0, 2, 1, 3))
        logits = ops.zeros_like(votes[..., 0])
        for turn in range(self.routings):
            coupling = ops.softmax(logits, axis=1)
            outputs = ops.einsum("bkn,bknd->bkd", coupling, votes)
            if turn < self.routings - 1:
                outputs = ops.normalize(outputs, axis=-1)
                logits = ops.einsum("bkd,bknd->bkn", outputs, votes)
        return squash(outputs)


def plain_cpac(frames, coefficients=39, classes=6):
    """CPAC layer by layer, its weights in the order of ours."""
    inputs = keras.Input((frames, coefficients))
    x = layers.Reshape((frames, coefficients, 1))(inputs)
    for rate in (0.5, 0.25, 0.25):
        x = FrozenNorm()(layers.Conv2D(64, 3)(x))
        x = layers.AveragePooling2D(2)(layers.Activation("elu")(x))
        x = layers.Dropout(rate)(x)
    x = PlainSquash()(layers.Reshape((-1, 64))(layers.Conv2D(384, 3)(x)))
    x = layers.Multiply()([x, layers.Attention(use_scale=True)([x, x])])
    x = layers.GlobalAveragePooling1D()(PlainCapsules()(x))
    return keras.Model(inputs, layers.Dense(classes, "softmax")(layers.Dropout(0.2)(x)))
