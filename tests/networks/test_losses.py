import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctl_helpers.networks.losses import margin_loss, margin_mse_loss, one_hot


def computed(loss, y, p):
    tensors = map(keras.ops.convert_to_tensor, (y, p))
    return keras.ops.convert_to_numpy(loss(*tensors))


def margin(y, p):
    """Sum the margin loss up, number by number."""
    losses = np.zeros(len(y))
    for row in range(len(y)):
        for emotion in range(y.shape[1]):
            here, there = y[row, emotion], p[row, emotion]
            losses[row] += here * max(0, 0.9 - there) ** 2
            losses[row] += 0.5 * (1 - here) * max(0, there - 0.1) ** 2
    return losses


@pytest.fixture
def labels_and_probabilities():
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.full(5, 0.3), size=20).astype(np.float32)
    return one_hot(generator.integers(5, size=20), 5, 0.1), probabilities


def test_margin_loss_is_its_formula(labels_and_probabilities):
    found = computed(margin_loss, *labels_and_probabilities)
    assert found.shape == (20,)
    np.testing.assert_allclose(found, margin(*labels_and_probabilities), atol=1e-6)


def test_margin_loss_is_nothing_beyond_its_margins():
    truth = np.eye(3, dtype=np.float32)[:1]
    assert computed(margin_loss, truth, np.float32([[0.95, 0.05, 0]])) == 0
    assert computed(margin_loss, truth, np.float32([[0.4, 0.6, 0]])) == pytest.approx(0.375)


def test_the_papers_loss_adds_a_mean_squared_error(labels_and_probabilities):
    y, p = labels_and_probabilities
    found = computed(margin_mse_loss, y, p)
    np.testing.assert_allclose(found, margin(y, p) + 0.392 * ((y - p) ** 2).mean(1), atol=1e-6)


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=9), st.floats(0, 0.9))
def test_smoothing_makes_a_new_array_of_the_same_mass(classes, smoothing):
    labels = np.array(classes)
    hard = one_hot(labels, 7)
    assert (hard == (labels[:, None] == np.arange(7))).all() and hard.dtype == np.float32
    soft = one_hot(labels, 7, smoothing)
    np.testing.assert_array_equal(labels, classes)
    np.testing.assert_array_equal(soft, one_hot(labels, 7, smoothing))  # never smoothed again
    np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(soft, hard * (1 - smoothing) + smoothing / 7, atol=1e-6)


def test_losses_are_found_again_by_a_saved_model(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    model.compile("sgd", loss=margin_mse_loss)
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").loss is margin_mse_loss
