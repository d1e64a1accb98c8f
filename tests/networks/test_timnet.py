import keras
import numpy as np
import pytest
from conftest import SHARED, needs_shared
from reference_cpac import randomised
from reference_timnet import DIRECTIONS, stock_timnet, stock_weights

from ctl_helpers.networks import backend
from ctl_helpers.networks.cpac import with_embedding
from ctl_helpers.networks.timnet import TemporalBlocks, WeightedSum, timnet

numpy = keras.ops.convert_to_numpy
STACKED = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")


def features(count=5, frames=40, seed=1):
    return np.random.default_rng(seed).normal(size=(count, frames, 39)).astype(np.float32)


def labels(count=5, classes=4):
    return np.eye(classes, dtype=np.float32)[np.arange(count) % classes]


def load_golden(model, golden):
    blocks = model.get_layer("temporal_blocks")
    for weight in blocks.weights:
        if weight.name in STACKED:
            value = [
                golden[f"{side}_{level}_{convolution}_{weight.name}"]
                for level in range(8)
                for side in DIRECTIONS
                for convolution in (1, 2)
            ]
        else:
            value = [golden[f"{side}_{weight.name}"] for side in DIRECTIONS]
        weight.assign(np.reshape(value, weight.shape))
    model.get_layer("embedding").set_weights([golden["level_weights"]])
    model.get_layer("emotion").set_weights([golden["dense_kernel"], golden["dense_bias"]])


def pair(frames=40, **settings):
    """Ours and Keras's own layers, with the same random weights and without dropout."""
    ours = randomised(timnet(frames, 39, 4, dropout=0, **settings))
    stock = stock_timnet(frames, 39, 4, rate=0)
    stock.set_weights(stock_weights(stock, ours))
    return ours, stock


@needs_shared
def test_golden_vectors():
    golden = np.load(SHARED / "golden" / "timnet.npz", allow_pickle=False)
    model = timnet(188, 39, 7, dropout=0)
    load_golden(model, golden)
    for training, suffix in ((False, ""), (True, "_training")):
        found = numpy(model(golden["x"], training=training))
        np.testing.assert_allclose(found, golden["p" + suffix], atol=1e-5)
        loss = -(golden["y"] * np.log(found)).sum(axis=1).mean()
        assert loss == pytest.approx(float(golden["loss" + suffix]), abs=1e-5)


def test_size_is_the_published_one():
    model = timnet(188)
    assert model.count_params() == 106_992
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 104_496


@pytest.mark.parametrize("frames", [1, 40, 130])  # shorter than a dilation, and longer than all
def test_network_is_that_of_keras_own_layers(frames):
    ours, stock = pair(frames)
    x = features(frames=frames)
    for training in (False, True):
        one, other = (numpy(model(x, training=training)) for model in (ours, stock))
        assert np.ptp(other, axis=0).max() > 0.01
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_network_learns_as_keras_own_layers():
    ours, stock = pair(140)
    before = stock.get_weights()
    for model in (ours, stock):
        # One step of plain descent at rate 1 is the gradient itself.
        model.compile(keras.optimizers.SGD(1.0), "categorical_crossentropy", run_eagerly=True)
        model.train_on_batch(features(frames=140), labels())
    after = stock_weights(stock, ours)  # the moving statistics among them
    for weight, was, found in zip(stock.weights, before, after, strict=True):
        expected = numpy(weight) - was
        tolerance = 1e-4 * max(np.abs(expected).max(), 0.1)
        np.testing.assert_allclose(found - was, expected, atol=tolerance, err_msg=weight.path)


def test_dropout_drops_whole_channels_of_an_utterance():
    model = randomised(timnet(30, 39, 4, dropout=0.5))
    ones = np.repeat(features(1, 30), 200, axis=0)
    with_dropout = numpy(model(ones, training=True))
    assert np.ptp(with_dropout, axis=0).max() > 1e-3  # utterances meet masks of their own
    assert np.ptp(numpy(model(ones)), axis=0).max() < 1e-6


def test_dropout_masks_follow_from_the_seed():
    x = features()
    outputs = []
    for seed in (3, 3, 4):
        backend.prepare(0)
        layer = TemporalBlocks(rate=0.3, seed=seed)
        outputs.append([numpy(layer(x, training=True)) for _ in range(2)])
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert (outputs[0][0] != outputs[0][1]).any() and (outputs[0][0] != outputs[2][0]).any()


def test_a_saved_network_predicts_the_same(tmp_path):
    model = randomised(timnet(40, 39, 5, channels=20, levels=4, dropout=0.2))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(numpy(again(features())), numpy(model(features())))
    for layer in (TemporalBlocks(20, 4, 0.2, 1e-4, 0.9), WeightedSum()):
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


def test_embedding_is_the_weighted_sum_of_the_levels():
    model = randomised(timnet(40, 39, 4))
    p, z = map(numpy, with_embedding(model)(features()))
    assert z.shape == (5, 39)
    np.testing.assert_allclose(p, numpy(model(features())), atol=1e-6)
    levels = keras.Model(model.input, model.get_layer("temporal_blocks").output)
    weights = numpy(model.get_layer("embedding").kernel)
    np.testing.assert_allclose(z, (numpy(levels(features())) * weights).sum(axis=1), atol=1e-5)


def test_every_weight_learns_in_a_batch_of_any_size():
    model = timnet(40, 39, 4, levels=3)
    model.compile("adam", "categorical_crossentropy", jit_compile=False)
    step = backend.training_step(model, features(), labels())
    first = float(step(features(), labels())["loss"])
    for count in (3, 5, 5, 5, 5):
        last = float(step(features(count), labels(count))["loss"])
    assert last < first
