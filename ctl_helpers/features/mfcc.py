"""From a signal to frames: MFCC, with tracks of pitch and moments where settings ask for them."""

import librosa
import numpy as np

from ctl_helpers.features.moments import local_moments
from ctl_helpers.features.pitch import pitch_tracks
from ctl_helpers.features.settings import TRACKS, FeatureSettings

_UNVOICED = 1e-3  # added to the voicing, by which frames count in moments


def mfcc(signal: np.ndarray, settings: FeatureSettings) -> tuple[np.ndarray, np.ndarray]:
    """Compute the features of one signal, padded or cropped; the MFCC by `librosa.feature.mfcc`.

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
    if settings.trim is not None and len(signal):
        signal, _ = librosa.effects.trim(signal, top_db=settings.trim)
    samples = settings.samples or len(signal)
    crop = max(0, len(signal) - samples) // 2
    signal = signal[crop : crop + samples]
    before = (samples - len(signal)) // 2
    padded = np.pad(signal, (before, samples - len(signal) - before)).astype(np.float32)
    names = ("n_mfcc", "n_fft", "win_length", "hop_length", "window")  # librosa's own
    given = {name: getattr(settings, name) for name in names}
    values = librosa.feature.mfcc(y=padded, sr=settings.sampling_rate, **given)
    values = np.ascontiguousarray(values.T, np.float32)
    # Frame t's window covers the samples [t * hop - reach, t * hop + reach).
    hop, reach = settings.hop_length, (settings.win_length + 1) // 2
    first = max(0, (before - reach) // hop + 1)
    end = min(len(values), -(-(before + len(signal) + reach) // hop))
    if settings.pitch:
        values = np.concatenate([_pitch(padded, first, end, settings), values], axis=1)
    if settings.moments:
        values = _moments(values, first, end, settings)
    return values, np.array([first, end])


def _pitch(padded: np.ndarray, first: int, end: int, settings: FeatureSettings) -> np.ndarray:
    n_fft, hop = settings.n_fft, settings.hop_length
    window = librosa.filters.get_window(settings.window, settings.win_length)
    window = librosa.util.pad_center(window, size=n_fft)
    pieces = librosa.util.frame(np.pad(padded, n_fft // 2), frame_length=n_fft, hop_length=hop).T
    spoken = pitch_tracks(pieces[first:end], window, settings.sampling_rate)
    tracks = np.empty((len(pieces), TRACKS), np.float32)
    tracks[:] = 0, spoken[0, 1] - spoken[0, 2], 0  # padding: no voice, at the middle pitch
    tracks[first:end] = spoken
    return tracks


def _moments(tracks: np.ndarray, first: int, end: int, settings: FeatureSettings) -> np.ndarray:
    weights = tracks[first:end, 0] + _UNVOICED if settings.pitch else np.ones(end - first)
    level = tracks[:, settings.column_of(0)]
    level -= np.average(level[first:end], weights=weights)
    values = np.pad(tracks, ((0, 0), (0, 2 * tracks.shape[1])))  # padding does not move
    values[first:end] = local_moments(tracks[first:end], settings.moments, weights)
    return values
