import keras
import numpy as np
import pytest
import reference_cpac
from keras import layers, ops

from ctl_helpers.networks.capsules import (
    Capsules,
    ConvolutionBlock,
    Dropout,
    PrimaryCapsules,
    Squash,
)

numpy = ops.convert_to_numpy


def normal(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def randomise(layer, seed=1):
    """Give a layer weights that are neither zero nor one; variances stay positive."""
    generator = np.random.default_rng(seed)
    layer.set_weights(
        [
            generator.uniform(0.5, 2, w.shape)
            if "variance" in w.path
            else generator.normal(0.3, 0.5, w.shape)
            for w in layer.weights
        ]
    )


def test_squash_is_its_formula_and_keeps_zero():
    v = np.concatenate([normal(3, 4, 8, scale=3), np.zeros((3, 1, 8), np.float32)], axis=1)
    found = numpy(Squash()(v))
    np.testing.assert_allclose(found, reference_cpac.squash(v), atol=1e-6)
    assert (np.linalg.norm(found, axis=-1) < 1).all() and not found[:, -1].any()


@pytest.mark.parametrize(("rate", "channels"), [(0.5, 64), (0.25, 64), (0.25, 1), (0.5, 6)])
def test_dropout_drops_its_share_and_scales_the_rest(rate, channels):
    layer = Dropout(rate, seed=0)
    found = numpy(layer(np.ones((40, 50, 64 // channels, channels), np.float32), training=True))
    assert found.shape == (40, 50, 64 // channels, channels)
    assert set(np.unique(found)) == {0, np.float32(1 / (1 - rate))}
    assert np.mean(found == 0) == pytest.approx(rate, abs=0.005)
    # Nothing that one can see from a neighbour, from the place or from the utterance.
    dropped = found.reshape(40, -1) == 0
    assert np.mean(dropped[:, 1:] & dropped[:, :-1]) == pytest.approx(rate**2, abs=0.005)
    assert np.mean(dropped[1:] & dropped[:-1]) == pytest.approx(rate**2, abs=0.005)
    assert np.abs(dropped.mean(axis=0) - rate).max() < 0.45


def test_dropout_masks_follow_from_the_seed():
    ones = np.ones((4, 5, 8), np.float32)
    one, same, other = Dropout(0.5, seed=3), Dropout(0.5, seed=3), Dropout(0.5, seed=4)
    first, second = numpy(one(ones, training=True)), numpy(one(ones, training=True))
    assert (first != second).any()
    np.testing.assert_array_equal(numpy(same(ones, training=True)), first)
    np.testing.assert_array_equal(numpy(same(ones, training=True)), second)
    assert (numpy(other(ones, training=True)) != first).any()


def test_dropout_leaves_inference_and_rate_zero_alone():
    x = normal(4, 5, 8)
    np.testing.assert_array_equal(numpy(Dropout(0.5)(x)), x)
    np.testing.assert_array_equal(numpy(Dropout(0.0)(x, training=True)), x)


class FrozenNorm(layers.BatchNormalization):
    """Keras's batch norm, called in inference mode while training too."""

    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=False, mask=mask)


def stock_block(norm, filters, shape):
    """Convolution, batch norm, ELU and pooling of Keras itself."""
    inputs = keras.Input(shape)
    x = layers.Conv2D(filters, 3)(inputs)
    x = (FrozenNorm if norm == "frozen" else layers.BatchNormalization)()(x)
    x = layers.AveragePooling2D(2)(layers.Activation("elu")(x))
    return keras.Model(inputs, x)


def blocks(norm, channels):
    """Ours and Keras's, with the same random weights."""
    shape = (9, 8, channels)  # 7 x 6 after the convolution: pooling leaves a row out
    inputs = keras.Input(shape)
    ours = keras.Model(inputs, ConvolutionBlock(5, norm=norm)(inputs))
    stock = stock_block(norm, 5, shape)
    randomise(ours.layers[1])
    # Keras lists a norm's weights as we do: gamma, beta, moving mean, moving variance.
    stock.set_weights(ours.get_weights())
    return ours, stock


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("norm", ["frozen", "batch"])
def test_folded_norm_is_convolution_and_batch_norm(norm, channels):
    ours, stock = blocks(norm, channels)
    x = normal(8, 9, 8, channels, seed=2)
    for training in (False, True):
        np.testing.assert_allclose(
            numpy(ours(x, training=training)), numpy(stock(x, training=training)), atol=2e-5
        )
    for mine, theirs in zip(ours.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)  # the moving statistics among them


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("norm", ["frozen", "batch"])
def test_folded_norm_learns_as_convolution_and_batch_norm(norm, channels):
    ours, stock = blocks(norm, channels)
    before = ours.get_weights()
    x, y = normal(8, 9, 8, channels, seed=2), normal(8, 3, 3, 5, seed=3)
    for model in (ours, stock):
        # One step of plain descent at rate 1 is the gradient itself.
        model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
        model.train_on_batch(x, y)
    names = ("kernel", "bias", "gamma", "beta", "mean", "variance")
    for name, mine, theirs, was in zip(
        names, ours.get_weights(), stock.get_weights(), before, strict=True
    ):
        np.testing.assert_allclose(mine - was, theirs - was, atol=1e-5, err_msg=name)
        moves = norm == "batch" if name in ("mean", "variance") else name != "bias"
        if name != "bias":
            assert (np.abs(mine - was).max() > 1e-4) == moves, name


@pytest.mark.parametrize("channels", [1, 3])
def test_a_block_drops_what_its_dropout_does(channels):
    x = normal(8, 9, 8, channels)
    block, whole = ConvolutionBlock(64, 0.25), ConvolutionBlock(64)
    block.build(x.shape)
    whole.build(x.shape)
    randomise(block)
    whole.set_weights(block.get_weights())
    found, full = numpy(block(x, training=True)), numpy(whole(x, training=True))
    kept = found != 0
    assert 1 - kept.mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_allclose(found[kept], full[kept] / 0.75, rtol=1e-5)
    np.testing.assert_allclose(numpy(block(x)), full, rtol=1e-6)


def test_bfloat16_products_are_near_and_come_out_as_float32():
    x = normal(4, 7, 6, 16)
    exact, coarse = ConvolutionBlock(32), ConvolutionBlock(32, precision="bfloat16")
    exact.build(x.shape)
    coarse.build(x.shape)
    randomise(exact)
    coarse.set_weights(exact.get_weights())
    one, other = numpy(exact(x)), numpy(coarse(x))
    assert other.dtype == np.float32
    assert 0 < np.abs(one - other).max() < 0.03 * np.abs(one).max()


@pytest.mark.parametrize("width", [3, 5])
def test_primary_capsules_are_a_convolution(width):
    x = normal(2, 6, width, 4)
    layer = PrimaryCapsules(dimension=8, channels=24)
    layer.build(x.shape)
    randomise(layer)
    expected = reference_cpac.convolve(x, *layer.get_weights()).reshape(2, -1, 8)
    found = layer(x)
    assert found.shape == layer.compute_output_spec(x).shape == expected.shape
    np.testing.assert_allclose(numpy(found), expected, atol=1e-4)


@pytest.mark.parametrize("routings", [1, 2, 3, 5])
def test_routing_without_votes_is_routing_with_votes(routings):
    x = normal(3, 11, 8)
    layer = Capsules(count=4, dimension=5, routings=routings)
    layer.build(x.shape)
    randomise(layer)
    expected = reference_cpac.route(x, *layer.get_weights(), 4, 5, routings)
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-5)


def test_routing_learns_as_routing_with_votes():
    """The gradient of the loss is that of finite differences on the votes written out."""
    x, y = normal(3, 7, 4), normal(3, 2, 3, seed=1)
    inputs = keras.Input((7, 4))
    layer = Capsules(count=2, dimension=3)
    model = keras.Model(inputs, layer(inputs))
    randomise(layer)
    (kernel,) = layer.get_weights()

    def loss(kernel):
        return np.mean((reference_cpac.route(x.astype(float), kernel, 2, 3) - y) ** 2)

    expected = np.zeros(kernel.shape)
    for place in np.ndindex(*kernel.shape):
        step = np.zeros(kernel.shape)
        step[place] = 1e-5
        expected[place] = (loss(kernel + step) - loss(kernel - step)) / 2e-5
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    model.train_on_batch(x, y)
    np.testing.assert_allclose(kernel - layer.get_weights()[0], expected, atol=2e-5)


@pytest.mark.parametrize(
    "layer",
    [
        Squash(),
        Dropout(0.25),
        ConvolutionBlock(7, 0.25, 5, "batch", 1e-4, 0.9, "bfloat16"),
        PrimaryCapsules(8, 24),
        Capsules(3, 5, 2),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_are_rebuilt_from_their_settings(layer):
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
