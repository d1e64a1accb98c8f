import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctl_helpers.features import PRESETS
from ctl_helpers.features.mfcc import mfcc
from ctl_helpers.features.pitch import pitch_tracks

RATE, HOP = 22_050, 512
WINDOW = librosa.filters.get_window("hann", 2048)


def tracks_of(signal):
    """Tracks of a signal's whole frames."""
    frames = np.lib.stride_tricks.sliding_window_view(signal, 2048)[::HOP]
    return pitch_tracks(frames, WINDOW, RATE).T


def voice(hertz, tilt=0.7):
    """Harmonics of a frequency, or of one that changes from sample to sample, below 4 kHz."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(hertz, RATE) / RATE)
    count = int(4000 / np.max(hertz))
    return sum(tilt**k * np.sin(k * phase) for k in range(1, count + 1))


@settings(deadline=None, max_examples=40)
@given(st.floats(70, 450), st.floats(0.5, 0.8), st.floats(1e-3, 1))
def test_a_voice_is_heard_at_its_pitch(hertz, tilt, loudness):
    voicing, pitch, relative = tracks_of(loudness * voice(hertz, tilt))
    assert (voicing > 0.9).all() and (voicing <= 1).all()
    np.testing.assert_allclose(2.0**pitch, hertz, rtol=0.02)
    np.testing.assert_allclose(relative, 0, atol=0.02)


@settings(deadline=None, max_examples=40)
@given(st.floats(70, 450), st.floats(0.8, 0.95))
def test_a_very_bright_tone_is_heard_at_its_pitch_or_an_octave_low(hertz, tilt):
    voicing, pitch, _ = tracks_of(voice(hertz, tilt))
    assert (voicing > 0.9).all()
    octaves = np.log2(hertz) - pitch
    np.testing.assert_allclose(octaves, octaves.round(), atol=np.log2(1.02))
    assert set(octaves.round()) <= {0, 1}


def test_a_glide_is_followed():
    hertz = np.geomspace(100, 300, RATE)
    _, pitch, relative = tracks_of(voice(hertz))
    middles = hertz[1024::HOP][: len(pitch)]  # of the frames
    np.testing.assert_allclose(pitch, np.log2(middles), atol=0.03)
    np.testing.assert_allclose(relative, pitch - np.median(pitch), atol=1e-6)


def test_noise_and_silence_are_not_voiced():
    noise = np.random.default_rng(0).normal(size=RATE)
    assert tracks_of(noise)[0].mean() < 0.3
    voicing, pitch, relative = tracks_of(np.zeros(RATE))
    assert not voicing.any() and not relative.any() and np.isfinite(pitch).all()


def test_pitch_is_drawn_through_what_is_not_voiced():
    signal = np.concatenate([voice(200), np.zeros(RATE), voice(100)])
    voicing, pitch, _ = tracks_of(signal)
    silent = np.flatnonzero(voicing < 0.5)
    assert len(silent) > 30 and (np.diff(pitch[silent[:-2]]) < 0).all()


def test_features_with_pitch_begin_with_it():
    signal = voice(220).astype(np.float32)
    values, (first, end) = mfcc(signal, PRESETS["pitch"])
    assert values.shape[1] == 39
    assert np.median(2 ** values[first:end, 1]) == pytest.approx(220, rel=0.01)
    plain, _ = mfcc(signal, PRESETS["released"])
    np.testing.assert_array_equal(values[:, 3:], plain[:, :36])
