"""Pitch: how voiced each frame is and how high it sounds, by autocorrelation."""

import numpy as np
import scipy.fft

LOWEST, HIGHEST = 60.0, 500.0  # of a voice, in Hz
_VOICED = 0.5
_OCTAVE_COST = 0.02  # what a peak at half the frequency has to be higher by
_QUIET = 1e-5  # power below the loudest frame's at which voicing halves
_SILENCE = 1e-9
_MIDDLE = np.log2(150.0)  # the pitch where nothing is voiced


def pitch_tracks(frames: np.ndarray, window: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Track the pitch of one utterance.

    MFCC of few coefficients smooth away the harmonics of a low voice, and its melody with them;
    these tracks put it back.

    Parameters
    ----------
    frames : ndarray of shape (frames, n)
        Pieces of the signal, long enough for two periods of the lowest pitch.
    window : ndarray of shape (n,)
        What they are multiplied by.
    sampling_rate : int
        In Hz.

    Returns
    -------
    ndarray of shape (frames, 3)
        float32. Voicing, the height of the autocorrelation's peak, from 0 to 1; pitch as the
        logarithm to base 2 of its frequency in Hz, interpolated where frames are not voiced; and
        pitch less its median over the voiced frames, in octaves.

    Notes
    -----
    Heights are compared at whole lags: a voice whose harmonics up to 4 kHz are nearly as strong as
    its fundamental, as no speaker's are, may come out an octave too low.

    References
    ----------
    Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise
    ratio of a sampled sound", IFA Proceedings 17, 1993: its autocorrelation, without the search for
    a best path.

    Examples
    --------
    >>> time = np.arange(8 * 2048).reshape(8, 2048) / 22_050
    >>> tone = sum(np.sin(2 * np.pi * 200 * k * time) for k in (1, 2, 3))
    >>> pitch_tracks(tone, np.hanning(2048), 22_050)[0].astype(float).round(2).tolist()
    [1.0, 7.64, 0.0]
    """
    shortest, longest = int(sampling_rate / HIGHEST), int(sampling_rate / LOWEST)
    own = _autocorrelation(window[None], longest + 2)
    found = _autocorrelation(frames * window, longest + 2)
    power = found[:, :1]
    found /= (power + power.max(initial=0) * _QUIET + _SILENCE) * (own / own[:, :1])

    lags = np.arange(shortest, longest + 1)
    before, here, after = (found[:, lags + step] for step in (-1, 0, 1))
    peaks = (here >= before) & (here >= after)
    height = np.where(peaks, here - _OCTAVE_COST * np.log2(lags / shortest), -np.inf)
    best = np.arange(len(frames)), height.argmax(axis=1)
    voicing = np.where(peaks[best], np.clip(here[best], 0, 1), 0)
    # The top of the parabola through the three values.
    bend = np.minimum(before[best] - 2 * here[best] + after[best], -1e-9)
    offset = np.clip(0.5 * (before[best] - after[best]) / bend, -0.5, 0.5)
    pitch = np.log2(sampling_rate / (lags[best[1]] + offset))

    voiced = np.flatnonzero(voicing > _VOICED)
    if len(voiced):
        middle = np.median(pitch[voiced])
        pitch = np.interp(np.arange(len(frames)), voiced, pitch[voiced])
    else:
        middle = _MIDDLE
        pitch = np.full(len(frames), middle)
    return np.stack([voicing, pitch, pitch - middle], axis=1).astype(np.float32)


def _autocorrelation(pieces: np.ndarray, lags: int) -> np.ndarray:
    spectrum = scipy.fft.rfft(pieces, 2 * pieces.shape[1])
    return scipy.fft.irfft(spectrum.real**2 + spectrum.imag**2)[:, :lags]
