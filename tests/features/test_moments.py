from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctl_helpers.features import PRESETS, FeatureSettings
from ctl_helpers.features.mfcc import mfcc
from ctl_helpers.features.moments import local_moments


def by_hand(track, frames, weights):
    """Mean, deviation and deviation of the slope around each frame, one after the other."""
    half = frames // 2
    steps = np.arange(-4, 5)
    wide = np.pad(track, 4, mode="edge")
    slopes = np.array([steps @ wide[i : i + 9] / (steps @ steps) for i in range(len(track))])
    rows = []
    for i in range(len(track)):
        near = slice(max(0, i - half), i + half + 1)
        w = weights[near] / weights[near].sum()
        mean, slope = w @ track[near], w @ slopes[near]
        deviations = [w @ (track[near] - mean) ** 2, w @ (slopes[near] - slope) ** 2]
        rows.append([mean, *np.sqrt(deviations)])
    return np.array(rows)


@settings(deadline=None, max_examples=30)
@given(
    *(st.integers(0, 999), st.sampled_from([3, 11, 31, 121]), st.integers(2, 60)),
    *(st.floats(-300, 300), st.booleans()),
)
def test_moments_are_those_of_the_frames_around(seed, frames, length, level, weighted):
    rng = np.random.default_rng(seed)
    tracks = level + rng.normal(size=(length, 2))
    weights = rng.uniform(0.001, 1, length) if weighted else None
    found = local_moments(tracks, frames, weights)
    assert found.dtype == np.float32 and found.shape == (length, 6)
    counted = weights if weighted else np.ones(length)
    for k in range(2):
        expected = by_hand(tracks[:, k], frames, counted)
        np.testing.assert_allclose(found[:, k::2], expected, atol=1e-4)


MOMENTS = FeatureSettings(10, pitch=True, moments=31, samples=66_150)


def tone(level=1.0):
    """A second of three harmonics at 220 Hz that swells, with silence of a fifth before."""
    time = np.arange(22_050) / 22_050
    voice = sum(np.sin(2 * np.pi * 220 * k * time) / k for k in (1, 2, 3)) * (0.5 + time)
    return np.r_[np.zeros(4410), level * voice].astype(np.float32)


def test_features_of_moments_fill_the_network_and_padding_does_not_move():
    values, (first, end) = mfcc(tone(), MOMENTS)
    assert values.shape[1] == PRESETS["moments"].coefficients == 39
    tracks, speech = mfcc(tone(), replace(MOMENTS, moments=None))
    assert (first, end) == tuple(speech) and 0 < first < end < len(values)
    weights = tracks[first:end, 0] + 1e-3
    tracks[:, 3] -= weights @ tracks[first:end, 3] / weights.sum()
    expected = local_moments(tracks[first:end], 31, weights)
    np.testing.assert_allclose(values[first:end], expected, atol=1e-3)
    padding = np.r_[values[:first], values[end:]]
    assert not padding[:, 13:].any()
    np.testing.assert_allclose(padding[:, :13], np.r_[tracks[:first], tracks[end:]], atol=1e-3)


def test_moments_do_not_hear_how_far_the_speaker_stood():
    loud, quiet = (mfcc(tone(level), MOMENTS) for level in (1.0, 0.1))
    spoken = slice(*loud[1])
    assert tuple(loud[1]) == tuple(quiet[1])
    np.testing.assert_allclose(loud[0][spoken], quiet[0][spoken], atol=0.05)
    plain = (mfcc(tone(level), replace(MOMENTS, moments=None))[0][60, 3] for level in (1.0, 0.1))
    assert abs(np.subtract(*plain)) > 100  # 20 dB times the root of 128 bands


def test_trimmed_silence_leaves_the_speech_as_it_was():
    rng = np.random.default_rng(0)
    silence = 1e-4 * rng.normal(size=11_025)
    speech = tone()[4410:]
    settings = FeatureSettings(samples=66_150, trim=40.0)
    first, end = mfcc(np.r_[silence, speech, silence].astype(np.float32), settings)[1]
    whole = np.subtract(*mfcc(speech, settings)[1][::-1])
    assert abs((end - first) - whole) <= 4  # librosa cuts at whole frames
    assert end - first < np.subtract(
        *mfcc(np.r_[silence, speech].astype(np.float32), replace(settings, trim=None))[1][::-1]
    )


@pytest.mark.parametrize("signal", [np.zeros(0), np.zeros(1), np.zeros(9000)])
def test_silence_has_moments_too(signal):
    values, _ = mfcc(signal.astype(np.float32), replace(MOMENTS, trim=40.0))
    assert values.shape == (130, 39) and np.isfinite(values).all()
