"""TIM-Net from stock Keras layers, as it is described: what the fast network is tested against."""

import keras
from keras import layers, ops

DIRECTIONS = ("forward", "backward")
LEVELS = 8


class LevelSum(layers.Layer):
    """Sum (batch, levels, channels) over the levels with learned weights."""

    def build(self, input_shape):
        uniform = keras.initializers.RandomUniform(-0.05, 0.05)
        self.kernel = self.add_weight((input_shape[1], 1), uniform, name="kernel")

    def call(self, inputs):
        return ops.sum(inputs * self.kernel, axis=1)


class Reverse(layers.Layer):
    """Reverse (batch, frames, channels) in time."""

    def call(self, inputs):
        return ops.flip(inputs, axis=1)


def temporal_aware_block(inputs, dilation, rate, name):
    x = inputs
    for stage in (1, 2):
        x = layers.Conv1D(
            x.shape[-1], 2, padding="causal", dilation_rate=dilation, name=f"{name}_{stage}"
        )(x)
        x = layers.BatchNormalization(name=f"{name}_{stage}_norm")(x)
        x = layers.SpatialDropout1D(rate)(layers.Activation("relu")(x))
    return layers.Multiply()([inputs, layers.Activation("sigmoid")(x)])


def stock_timnet(frames, coefficients=39, classes=7, rate=0.1):
    inputs = keras.Input((frames, coefficients))
    sides = dict(zip(DIRECTIONS, (inputs, Reverse()(inputs)), strict=True))
    for side, x in sides.items():
        sides[side] = layers.Conv1D(39, 1, name=f"{side}_input")(x)
    averages = []
    for level in range(LEVELS):
        for side, x in sides.items():
            sides[side] = temporal_aware_block(x, 2**level, rate, f"{side}_{level}")
        averages.append(layers.GlobalAveragePooling1D()(layers.Add()([*sides.values()])))
    x = layers.Concatenate(axis=1)([layers.Reshape((1, 39))(average) for average in averages])
    x = LevelSum(name="embedding")(x)
    return keras.Model(inputs, layers.Dense(classes, "softmax", name="emotion")(x))
