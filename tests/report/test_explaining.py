"""Figures that explain: what they draw is what librosa and Keras compute."""

import warnings

import librosa
import numpy as np
import pytest

from ctl_helpers.errors import StudyError
from ctl_helpers.features import PRESETS
from ctl_helpers.report import figures
from ctl_helpers.report.figures.disparity import clouds, margin_disparity


def voice(seconds=0.6, rate=22_050):
    time = np.arange(int(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * 180 * k * time) / k for k in range(1, 20))
    return (0.1 * tone * np.hanning(len(time))).astype(np.float32)


@pytest.mark.parametrize("name", ["released", "paper"])
def test_steps_lead_to_the_mfcc_of_librosa(name):
    settings, signal = PRESETS[name], voice()
    theirs = librosa.feature.mfcc(
        y=signal,
        sr=settings.sampling_rate,
        n_mfcc=settings.n_mfcc,
        n_fft=settings.n_fft,
        win_length=settings.win_length,
        hop_length=settings.hop_length,
        window=settings.window,
    )
    steps = figures.mfcc_steps(signal, settings)
    np.testing.assert_allclose(steps.coefficients, theirs.T, atol=2e-3)
    assert len(figures.mfcc_step_by_step(signal, settings).axes) == 7


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
    layers = figures.read_network(file)
    assert sum(layer.parameters for layer in layers) == model.count_params()
    features = np.random.default_rng(1).normal(size=(60, 39))
    values = figures.replay(layers, features)
    expected = model.predict(features.reshape(1, *model.input_shape[1:]), verbose=0)[0]
    np.testing.assert_allclose(values["emotion"], expected, atol=1e-4)
    assert expected.max() > 0.22, "nothing came through"
    shapes = {layer.name: tuple(layer.shape) for layer in layers}
    assert all(np.shape(values[name]) == shape for name, shape in shapes.items())


def test_routing_shares_out_what_a_capsule_has_and_settles(tmp_path):
    layers = figures.read_network(saved(tmp_path)[1])
    features = np.random.default_rng(1).normal(size=(60, 39))
    coupling = figures.replay(layers, features)["coupling"]
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
    layers = figures.read_network(tmp_path / "model.keras")
    assert sum(layer.parameters for layer in layers) == model.count_params()
    figure = figures.network(layers)
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert f"{model.count_params():,}".replace(",", " ") in words
    assert "temporal blocks" in words
    with pytest.raises(StudyError, match="expected the layers of CPAC"):
        figures.replay(layers, np.zeros((40, 39)))


def test_a_file_that_is_no_network_is_named(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"no network")
    with pytest.raises(StudyError, match=r"model\.keras: expected a saved network"):
        figures.read_network(tmp_path / "model.keras")


def test_margin_disparity_is_none_for_the_same_cloud_and_grows_with_distance():
    first = np.array([1.0, 0.0, 0.0])
    found = []
    for distance in (0.0, 0.3, 1.0):
        source, target, labels = clouds(distance)
        second, disparity = margin_disparity(source, target, first)
        on_source, on_target = (
            (np.sign(points[:, 0]) != np.sign(points @ second[:2] + second[2])).mean()
            for points in (source, target)
        )
        assert on_target >= on_source
        assert (np.sign(source[:, 0]) == labels).mean() > 0.95
        found.append(disparity)
    assert found[0] == 0 < found[1] < found[2] <= 1


def test_explaining_figures_are_drawn_without_a_warning():
    signal = voice()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in (
            figures.mfcc_step_by_step(signal, PRESETS["released"]),
            figures.pitch_and_moments(signal),
            figures.margin_disparity_on_clouds(),
        ):
            figure.canvas.draw()
