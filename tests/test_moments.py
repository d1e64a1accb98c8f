import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctl_helpers.errors import StudyError
from ctl_helpers.features import PRESETS, FeatureSettings, mfcc
from ctl_helpers.moments import local_moments


def by_hand(track, frames):
    """Mean, deviation and deviation of the slope around each frame, one after the other."""
    half = frames // 2
    steps = np.arange(-4, 5)
    wide = np.pad(track, 4, mode="edge")
    slopes = np.array([steps @ wide[i : i + 9] / (steps @ steps) for i in range(len(track))])

    def around(values, i):
        return np.pad(values, half, mode="edge")[i : i + frames]

    rows = range(len(track))
    return [
        [around(track, i).mean() for i in rows],
        [around(track, i).std() for i in rows],
        [around(slopes, i).std() for i in rows],
    ]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 999), st.sampled_from([3, 11, 31]), st.integers(2, 60), st.floats(-300, 300))
def test_moments_are_those_of_the_frames_around(seed, frames, length, level):
    tracks = level + np.random.default_rng(seed).normal(size=(length, 2))
    found = local_moments(tracks, frames)
    assert found.dtype == np.float32 and found.shape == (length, 6)
    for k in range(2):
        np.testing.assert_allclose(found[:, k::2].T, by_hand(tracks[:, k], frames), atol=1e-4)


def test_features_of_moments_fill_the_network_and_padding_does_not_move():
    rate = 22_050
    tone = np.sin(2 * np.pi * 220 * np.arange(rate) / rate).astype(np.float32)
    values, (first, end) = mfcc(tone, FeatureSettings(10, pitch=True, moments=31, samples=3 * rate))
    assert values.shape[1] == PRESETS["moments"].coefficients == 39
    tracks, speech = mfcc(tone, FeatureSettings(10, pitch=True, samples=3 * rate))
    assert (first, end) == tuple(speech) and 0 < first < end < len(values)
    np.testing.assert_array_equal(values[first:end], local_moments(tracks[first:end], 31))
    padding = np.r_[values[:first], values[end:]]
    assert not padding[:, 13:].any()
    np.testing.assert_array_equal(padding[:, :13], np.r_[tracks[:first], tracks[end:]])


def test_moments_want_frames():
    with pytest.raises(StudyError, match="moments: expected a whole number from 1, got 0"):
        FeatureSettings(moments=0)
