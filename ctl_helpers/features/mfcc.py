"""From a signal to frames: MFCC, with tracks of pitch and moments where settings ask for them."""

from dataclasses import replace
from functools import lru_cache

import librosa
import numpy as np
import scipy.fft

from ctl_helpers.features.moments import local_moments
from ctl_helpers.features.pitch import pitch_tracks
from ctl_helpers.features.settings import MEL_BANDS, TRACKS, FeatureSettings

_RANGE_DB = 80.0
_SILENCE = 1e-10  # power below which nothing is heard
_UNVOICED = 1e-3  # added to the voicing, by which frames count in moments
_BLOCK = 32  # frames transformed together, few enough to stay in the processor's cache


def mfcc(signal: np.ndarray, settings: FeatureSettings) -> tuple[np.ndarray, np.ndarray]:
    """Compute the features of one signal, the MFCC as librosa does of the padded or cropped signal.

    Parameters
    ----------
    signal : ndarray of shape (n,)
        At `settings.sampling_rate`.
    settings : FeatureSettings
        With `samples` ``None`` the signal keeps its length.

    Returns
    -------
    values : ndarray of shape (frames, coefficients)
        float32; with `settings.pitch` its tracks come first, with `settings.moments` all means,
        then all deviations, then those of the slopes.
    speech : ndarray of shape (2,)
        First and one-past-last frame whose window holds signal.
    """
    hop, n_fft = settings.hop_length, settings.n_fft
    if settings.trim is not None and len(signal):
        signal, _ = librosa.effects.trim(signal, top_db=settings.trim)
    samples = settings.samples or len(signal)
    crop = max(0, len(signal) - samples) // 2
    signal = signal[crop : crop + samples]
    before = (samples - len(signal)) // 2
    padded = np.zeros(samples + 2 * (n_fft // 2), np.float32)
    padded[n_fft // 2 + before :][: len(signal)] = signal

    window, mel, dct = _bases(replace(settings, samples=None))
    # Frame t's window covers the samples [t * hop - reach, t * hop + reach).
    frames, reach = 1 + samples // hop, (settings.win_length + 1) // 2
    first = max(0, (before - reach) // hop + 1)
    end = min(frames, -(-(before + len(signal) + reach) // hop))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    power = np.empty((end - first, MEL_BANDS), np.float32)
    for start in range(first, end, _BLOCK):
        spectrum = scipy.fft.rfft(pieces[start : min(start + _BLOCK, end)] * window)
        squared = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        power[start - first :][: len(squared)] = squared @ mel
    decibels = 10 * np.log10(np.maximum(power, _SILENCE))
    floor = max(decibels.max() - _RANGE_DB, 10 * np.log10(_SILENCE))
    values = np.empty((frames, settings.n_mfcc), np.float32)
    values[:] = np.full(MEL_BANDS, floor, np.float32) @ dct  # padding, all of it alike
    values[first:end] = np.maximum(decibels, floor) @ dct
    if settings.pitch:
        spoken = pitch_tracks(pieces[first:end], window, settings.sampling_rate)
        tracks = np.empty((frames, TRACKS), np.float32)
        tracks[:] = 0, spoken[0, 1] - spoken[0, 2], 0  # padding: no voice, at the middle pitch
        tracks[first:end] = spoken
        values = np.concatenate([tracks, values], axis=1)
    if settings.moments:
        tracks = values
        weights = tracks[first:end, 0] + _UNVOICED if settings.pitch else np.ones(end - first)
        level = tracks[:, TRACKS if settings.pitch else 0]
        level -= np.average(level[first:end], weights=weights)
        values = np.pad(tracks, ((0, 0), (0, 2 * tracks.shape[1])))  # padding does not move
        values[first:end] = local_moments(tracks[first:end], settings.moments, weights)
    return values, np.array([first, end])


@lru_cache(maxsize=8)
def _bases(settings: FeatureSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    window = librosa.filters.get_window(settings.window, settings.win_length)
    window = librosa.util.pad_center(window, size=settings.n_fft)
    mel = librosa.filters.mel(
        sr=settings.sampling_rate, n_fft=settings.n_fft, n_mels=MEL_BANDS
    ).T.copy()
    dct = scipy.fft.dct(np.eye(MEL_BANDS), norm="ortho")[:, : settings.n_mfcc]
    return window, mel, dct.astype(np.float32)
