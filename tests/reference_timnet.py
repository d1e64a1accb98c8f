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
    """Multiply the input by the sigmoid of two convolutions."""
    x = inputs
    for stage in (1, 2):
        x = layers.Conv1D(
            x.shape[-1], 2, padding="causal", dilation_rate=dilation, name=f"{name}_{stage}"
        )(x)
        x = layers.BatchNormalization(name=f"{name}_{stage}_norm")(x)
        x = layers.SpatialDropout1D(rate)(layers.Activation("relu")(x))
    return layers.Multiply()([inputs, layers.Activation("sigmoid")(x)])


def stock_timnet(frames, coefficients=39, classes=7, rate=0.1):
    """TIM-Net layer by layer; a convolution is named by direction, level, and first or second."""
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


def stock_weights(stock, ours):
    """Weights of the fast network in the order in which the stock one takes them."""
    blocks = {w.name: ops.convert_to_numpy(w) for w in ours.get_layer("temporal_blocks").weights}
    weights = []
    for layer in stock.layers:
        side, *place = layer.name.split("_")
        if side in DIRECTIONS and place == ["input"]:
            names = ("input_kernel", "input_bias")
            weights += [blocks[name][DIRECTIONS.index(side)] for name in names]
        elif side in DIRECTIONS:
            norm = ("gamma", "beta", "moving_mean", "moving_variance")
            index = int(place[0]), DIRECTIONS.index(side), int(place[1]) - 1
            weights += [blocks[name][index] for name in (norm if place[2:] else ("kernel", "bias"))]
        elif layer.name in ("embedding", "emotion"):
            weights += ours.get_layer(layer.name).get_weights()
    return [value.reshape(w.shape) for value, w in zip(weights, stock.weights, strict=True)]
