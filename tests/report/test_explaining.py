"""Figures that explain: what they draw is what librosa and Keras compute."""

import warnings

import librosa
import numpy as np
import pytest

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
