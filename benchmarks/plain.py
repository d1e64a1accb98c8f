"""The yardstick: CPAC from stock Keras layers, trained as the released code does it."""

import keras
import numpy as np
from keras import layers, ops

from ctl_helpers.networks.losses import margin_loss, one_hot


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
    """Routing by agreement with every vote written down."""

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
    """CPAC as REFERENCE.md describes it, layer by layer; weights in the order of ours."""
    inputs = x = keras.Input((frames, coefficients, 1))
    for rate in (0.5, 0.25, 0.25):
        x = FrozenNorm()(layers.Conv2D(64, 3)(x))
        x = layers.AveragePooling2D(2)(layers.Activation("elu")(x))
        x = layers.Dropout(rate)(x)
    x = PlainSquash()(layers.Reshape((-1, 64))(layers.Conv2D(384, 3)(x)))
    x = layers.Multiply()([x, layers.Attention(use_scale=True)([x, x])])
    x = layers.GlobalAveragePooling1D()(PlainCapsules()(x))
    return keras.Model(inputs, layers.Dense(classes, "softmax")(layers.Dropout(0.2)(x)))


def compile_plain(model):
    """Compile as the released code does, and let Keras decide on the rest."""
    optimizer = keras.optimizers.Adam(1e-3, beta_1=0.975, beta_2=0.932, epsilon=1e-8)
    model.compile(optimizer, margin_loss, metrics=["accuracy"])


def released_cross_validation(values, truth, splits, epochs):
    """Fit one epoch, evaluate, predict, again; return the best test accuracy of every split."""
    classes = int(truth.max()) + 1
    x, y = np.asarray(values)[..., None], one_hot(truth, classes, 0.1)
    best = []
    for split in splits:
        keras.utils.clear_session()
        model = plain_cpac(*values.shape[1:], classes)
        compile_plain(model)
        accuracies = []
        for _ in range(epochs):
            model.fit(x[split.train], y[split.train], batch_size=64, epochs=1, verbose=0)
            model.evaluate(x[split.test], y[split.test], verbose=0)
            found = model.predict(x[split.test], verbose=0).argmax(axis=1)
            accuracies.append(float(np.mean(found == truth[split.test])))
        best.append(max(accuracies))
    return best


def flops_per_utterance(frames, coefficients=39, classes=6):
    """Floating-point operations of one training step on one utterance.

    Products alone, two operations each: forward, and the same again for the gradients of weights
    and of inputs (of which the first convolution needs none).
    """
    forward, height, width, depth = [], frames, coefficients, 1
    for filters in (64, 64, 64, 384):
        height, width = height - 2, width - 2
        forward.append(2 * height * width * filters * 9 * depth)
        depth = filters
        if filters == 64:
            height, width = height // 2, width // 2
    capsules = height * width * 6
    forward.append(2 * 2 * capsules**2 * 64)  # attention: scores and their weighted sum
    # Routing without votes: three transformations, two back, couplings twice each way.
    forward.append(2 * (5 * 6 * 64 * 64 + 4 * capsules * 6 * 64) + 2 * 64 * classes)
    return 3 * sum(forward) - forward[0]
