"""Saved networks without Keras: what is read and computed is what Keras has."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import noise, write_wav

from ctl_helpers.errors import StudyError
from ctl_helpers.networks.saved import is_cpac, read_network, replay
from ctl_helpers.report import figures
from ctl_helpers.runs.model import MODEL, load_network, load_predictor


def saved(tmp_path, **settings):
    """Save CPAC with random weights; return the model and its file."""
    from ctl_helpers.networks.cpac import cpac
    from ctl_helpers.runs.model import save_network

    model, rng = cpac(60, 39, 5, **settings), np.random.default_rng(0)
    model.set_weights(
        [rng.uniform(0.1, 0.4, w.shape) if "variance" in w.path else rng.normal(0, 0.2, w.shape)
         for w in model.weights]
    )  # fmt: skip
    save_network(model, {"classes": []}, tmp_path / "model.keras")
    return model, tmp_path / "model.keras"


@pytest.mark.parametrize(
    "settings",
    [{}, {"norm": "batch", "attention": None}, {"attention": "plain"}],
)
def test_a_saved_network_replayed_in_numpy_gives_what_keras_gives(tmp_path, settings):
    model, file = saved(tmp_path, **settings)
    layers = read_network(file)
    assert sum(layer.parameters for layer in layers) == model.count_params()
    features = np.random.default_rng(1).normal(size=(60, 39))
    values = replay(layers, features)
    expected = model.predict(features.reshape(1, *model.input_shape[1:]), verbose=0)[0]
    np.testing.assert_allclose(values["emotion"], expected, atol=1e-4)
    assert expected.max() > 0.22, "nothing came through"
    shapes = {layer.name: tuple(layer.shape) for layer in layers}
    assert all(np.shape(values[name]) == shape for name, shape in shapes.items())


def test_routing_shares_out_what_a_capsule_has_and_settles(tmp_path):
    layers = read_network(saved(tmp_path)[1])
    features = np.random.default_rng(1).normal(size=(60, 39))
    coupling = replay(layers, features)["coupling"]
    np.testing.assert_allclose(coupling.sum(axis=2), 1)
    np.testing.assert_allclose(coupling[0], 1 / 6)
    assert coupling[1].max(axis=1).mean() > 1 / 6
    assert len(figures.routing(coupling, features).axes) == 5


def test_networks_of_other_layers_are_drawn_but_not_replayed(tmp_path):
    from ctl_helpers.networks import build
    from ctl_helpers.networks.recipes import RECIPES
    from ctl_helpers.runs.model import save_network

    model = build(RECIPES["timnet"], (40, 39), 4)
    save_network(model, {"classes": []}, tmp_path / "model.keras")
    layers = read_network(tmp_path / "model.keras")
    assert sum(layer.parameters for layer in layers) == model.count_params()
    figure = figures.network(layers)
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert f"{model.count_params():,}".replace(",", " ") in words
    assert "temporal blocks" in words
    with pytest.raises(StudyError, match="expected the layers of CPAC"):
        replay(layers, np.zeros((40, 39)))


def test_a_file_that_is_no_network_is_named(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"no network")
    with pytest.raises(StudyError, match=r"model\.keras: expected a saved network"):
        read_network(tmp_path / "model.keras")


def test_a_network_of_other_layers_is_none_of_cpac(tmp_path):
    import keras

    from ctl_helpers.networks.capsules import Capsules

    for ends in ("softmax", "sigmoid"):
        inputs = keras.Input((9, 4))
        found = keras.layers.GlobalAveragePooling1D()(Capsules(3, 4)(inputs))
        model = keras.Model(inputs, keras.layers.Dense(2, ends)(found))
        model.save(tmp_path / "model.keras")
        assert is_cpac(read_network(tmp_path / "model.keras")) == (ends == "softmax")


def test_the_network_of_the_package_predicts_without_keras_what_it_predicts_with_it():
    predict, card = load_predictor(MODEL)
    model, known = load_network(MODEL)
    assert card == known
    features = np.random.default_rng(0).normal(size=(5, 188, 39)).astype(np.float32)
    expected = np.asarray(model(features))
    np.testing.assert_allclose(predict(features), expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.01


def test_predicting_with_cpac_loads_no_backend(tmp_path):
    file = write_wav(tmp_path / "a.wav", noise(1.0))
    code = "import sys; from ctl_helpers import cli; assert cli.main(sys.argv[1:]) == 0; "
    code += "print(sorted({'keras', 'tensorflow', 'jax', 'torch'} & {*sys.modules}))"
    words = [sys.executable, "-c", code, "predict", str(file), "--csv"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("file,emotion,angry")
    assert done.stdout.splitlines()[-1] == "[]"
