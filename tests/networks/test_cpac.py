import keras
import numpy as np
import pytest
import reference_cpac
from conftest import SHARED, needs_shared
from reference_cpac import randomised

from ctl_helpers.errors import StudyError
from ctl_helpers.networks import backend
from ctl_helpers.networks.cpac import cpac, encoder, with_embedding
from ctl_helpers.networks.losses import margin_loss

VARIANTS = [
    {},
    {"attention": "plain"},
    {"attention": None},
    {"capsules": False},
    {"attention": None, "capsules": False},
]


def features(count=3, frames=64, seed=1):
    return np.random.default_rng(seed).normal(size=(count, frames, 39)).astype(np.float32)


def predictions(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


@needs_shared
def test_golden_vectors():
    golden = np.load(SHARED / "golden" / "cpac.npz", allow_pickle=False)
    weights = [golden[f"w{number:02}"] for number in range(24)]
    model = cpac(172, 39, 6)
    model.set_weights([w.reshape(v.shape) for w, v in zip(weights, model.weights, strict=True)])
    found = model(golden["x"][..., 0], training=False)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), golden["p"], atol=1e-5)
    loss = margin_loss(keras.ops.convert_to_tensor(golden["y"]), found)
    loss = keras.ops.convert_to_numpy(loss).mean()
    assert loss == pytest.approx(float(golden["loss"]), abs=1e-5)
    np.testing.assert_allclose(
        reference_cpac.forward(weights, golden["x"][..., 0]), golden["p"], atol=1e-5
    )


@needs_shared
def test_golden_loss_is_what_training_reports():
    golden = np.load(SHARED / "golden" / "cpac.npz", allow_pickle=False)
    model = cpac(172, 39, 6)
    model.set_weights([golden[f"w{i:02}"].reshape(v.shape) for i, v in enumerate(model.weights)])
    model.compile(loss=margin_loss, jit_compile=False)
    found = model.evaluate(golden["x"][..., 0], golden["y"], batch_size=8, verbose=0)
    assert found == pytest.approx(float(golden["loss"]), abs=1e-5)


def test_size_is_the_published_one():
    model = cpac(172, 39, 6)
    assert model.count_params() == 321_799
    assert sum(int(np.prod(w.shape)) for w in model.non_trainable_weights) == 384
    assert model.get_layer("primary_capsules").output.shape == (None, 102, 64)
    assert round(model.count_params() * 4 / 2**20, 2) == 1.23


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_forward_pass_is_numpys(settings):
    model = randomised(cpac(64, 39, 5, **settings))
    x = features()
    expected = reference_cpac.forward(model.get_weights(), x, **settings)
    assert np.ptp(expected, axis=0).max() > 5e-3  # or the input would not matter
    np.testing.assert_allclose(predictions(model, x), expected, atol=2e-6)


def test_training_mode_of_the_released_norm_is_inference_mode():
    model = randomised(cpac(64, 39, 5, dropout=(0, 0, 0), head_dropout=0))
    x = features()
    statistics = [keras.ops.convert_to_numpy(w) for w in model.non_trainable_weights]
    found = keras.ops.convert_to_numpy(model(x, training=True))
    np.testing.assert_allclose(found, predictions(model, x), atol=1e-6)
    for before, after in zip(statistics, model.non_trainable_weights, strict=True):
        np.testing.assert_array_equal(before, keras.ops.convert_to_numpy(after))


@pytest.mark.parametrize("settings", [{}, {"norm": "batch"}, {"attention": None}], ids=str)
def test_a_saved_network_predicts_the_same(settings, tmp_path):
    model = randomised(cpac(64, 39, 5, **settings))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    x = features()
    np.testing.assert_array_equal(predictions(again, x), predictions(model, x))


def test_bfloat16_is_near_float32():
    exact, coarse = (cpac(64, 39, 5, precision=name) for name in ("float32", "bfloat16"))
    randomised(exact)
    coarse.set_weights(exact.get_weights())
    one, other = (predictions(model, features(8)) for model in (exact, coarse))
    assert other.dtype == np.float32
    assert 0 < np.abs(one - other).max() < 0.01
    assert all(w.dtype == "float32" for w in coarse.weights)


def test_without_a_layer_of_that_name_the_embedding_is_what_the_last_layer_takes():
    inputs = keras.Input((6, 4))
    x = keras.layers.GlobalAveragePooling1D()(inputs)
    both = with_embedding(keras.Model(inputs, keras.layers.Dense(2, "softmax")(x)))
    x = features(3)[:, :6, :4]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(both(x)[1]), x.mean(axis=1), atol=1e-6)


def test_embedding_is_the_encoders_output_and_shares_the_weights():
    model = randomised(cpac(64, 39, 5))
    both = with_embedding(model)
    x = features()
    p, z = map(keras.ops.convert_to_numpy, both(x, training=False))
    assert z.shape == (3, 64)
    np.testing.assert_allclose(p, predictions(model, x), atol=1e-6)
    kernel, bias = model.get_layer("emotion").get_weights()
    expected = reference_cpac.softmax(z @ kernel + bias, axis=1)
    np.testing.assert_allclose(predictions(model, x), expected, atol=1e-6)
    model.get_layer("primary_capsules").bias.assign(np.ones(384))
    assert np.abs(keras.ops.convert_to_numpy(both(x, training=False)[1]) - z).max() > 1e-3


def test_dropout_rates_are_the_references():
    layers = {layer.name: layer for layer in cpac(64).layers}
    assert [layers[f"convolution_{block}"].rate for block in (1, 2, 3)] == [0.5, 0.25, 0.25]
    assert layers["head_dropout"].rate == 0.2


def test_the_same_seed_gives_the_same_network():
    weights = []
    for seed in (3, 3, 4):
        backend.prepare(seed)
        weights.append(cpac(64).get_weights()[0])
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).any()


@pytest.mark.parametrize("shape", [(37, 39), (64, 37), (10, 10)])
def test_too_small_features_are_refused(shape):
    with pytest.raises(StudyError, match="at least 38 frames and 38 coefficients") as caught:
        encoder(*shape)
    assert "\n" not in str(caught.value)
    assert predictions(cpac(38, 38), np.zeros((1, 38, 38), np.float32)).shape == (1, 6)
