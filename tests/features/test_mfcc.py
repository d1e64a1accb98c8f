from dataclasses import replace

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctl_helpers.features import PRESETS
from ctl_helpers.features.mfcc import mfcc


def librosas(signal, chosen):
    """The same by librosa itself, on the signal padded or cropped as the released code does."""
    missing = chosen.samples - len(signal)
    if missing >= 0:
        signal = np.pad(signal, (missing // 2, missing - missing // 2))
    else:
        signal = signal[-missing // 2 :][: chosen.samples]
    return librosa.feature.mfcc(
        y=signal,
        sr=chosen.sampling_rate,
        n_mfcc=chosen.n_mfcc,
        n_fft=chosen.n_fft,
        win_length=chosen.win_length,
        hop_length=chosen.hop_length,
        window=chosen.window,
    ).T


@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")
@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"moments"}))
@settings(deadline=None, max_examples=15)
@given(st.integers(1, 40_000), st.integers(1, 30_000), st.integers(0, 99))
def test_mfcc_is_librosas(preset, length, samples, seed):
    signal = np.random.default_rng(seed).normal(size=length).astype(np.float32) / 10
    chosen = replace(PRESETS[preset], samples=samples)
    values, (first, end) = mfcc(signal, chosen)
    assert values.dtype == np.float32 and values.shape == (chosen.frames, 39)
    cepstra = values[:, -chosen.n_mfcc :]
    np.testing.assert_allclose(cepstra, librosas(signal, chosen), rtol=1e-5, atol=2e-3)
    padding = np.delete(values, np.s_[first:end], axis=0)
    assert (padding == padding[:1]).all()
    assert 0 <= first < end <= chosen.frames


def by_definition(signal, chosen):
    """MFCC in double precision: frames, power spectrum, mel bands, decibels, cosine transform."""
    padded = np.pad(signal.astype(float), chosen.n_fft // 2)
    window = np.zeros(chosen.n_fft)
    before = (chosen.n_fft - chosen.win_length) // 2
    phase = 2 * np.pi * np.arange(chosen.win_length) / chosen.win_length
    window[before : before + chosen.win_length] = {
        "hann": 0.5 - 0.5 * np.cos(phase),
        "hamming": 0.54 - 0.46 * np.cos(phase),
    }[chosen.window]
    starts = chosen.hop_length * np.arange(1 + len(signal) // chosen.hop_length)
    power = np.abs([np.fft.rfft(padded[i : i + chosen.n_fft] * window) for i in starts]) ** 2
    mel = power @ librosa.filters.mel(sr=chosen.sampling_rate, n_fft=chosen.n_fft).T
    decibels = 10 * np.log10(np.maximum(mel, 1e-10))
    decibels = np.maximum(decibels, decibels.max() - 80)
    k, m = np.arange(chosen.n_mfcc)[:, None], np.arange(128)
    cosines = np.cos(np.pi * k * (2 * m + 1) / 256) * np.sqrt(np.where(k == 0, 1, 2) / 128)
    return decibels @ cosines.T


@pytest.mark.parametrize("preset", ["released", "paper", "pitch"])
def test_mfcc_by_definition(preset):
    """A voice that glides and swells, in a little noise, between silences."""
    time = np.arange(44_100) / 22_050
    phase = 2 * np.pi * np.cumsum(120 + 60 * time) / 22_050
    voice = sum(np.sin(k * phase) / k for k in range(1, 30)) * np.sin(np.pi * time / 2)
    noise = np.random.default_rng(0).normal(0, 1e-3, 44_100)
    signal = np.pad(0.1 * (voice + noise), 22_050).astype(np.float32)
    chosen = replace(PRESETS[preset], samples=len(signal))
    values, _ = mfcc(signal, chosen)
    expected = by_definition(signal, chosen)
    np.testing.assert_allclose(values[:, -chosen.n_mfcc :], expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("length", [1, 511, 2048, 9000, 16_000, 20_001])
def test_speech_frames_are_those_whose_window_holds_signal(preset, length):
    chosen = replace(PRESETS[preset], samples=16_000)
    _, (first, end) = mfcc(np.ones(length, np.float32), chosen)
    before = max(0, (16_000 - length) // 2)
    signal = np.zeros(16_000 + 4096)
    signal[2048 + before :][: min(length, 16_000)] = 1
    centres = 2048 + chosen.hop_length * np.arange(chosen.frames)
    reach = chosen.win_length // 2
    holds = [signal[centre - reach : centre + reach].any() for centre in centres]
    assert np.flatnonzero(holds).tolist() == list(range(first, end))


def test_signal_of_unknown_length_keeps_it():
    values, speech = mfcc(np.ones(5120, np.float32), PRESETS["released"])
    assert values.shape == (11, 39) and speech.tolist() == [0, 11]
