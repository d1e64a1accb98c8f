"""Fingerprints of signals, by which changed copies of a sound are found.

How strongly the loudness of 12 bands (120 to 3300 Hz) changes at 32 modulation frequencies (0.24 to
7.8 Hz): padding, level, rate and quality leave that nearly as it is.
"""

from collections.abc import Sequence

import numpy as np
from scipy.fft import rfft

SHORTEST = 0.3
"""Seconds below which a signal has no fingerprint."""
ALIKE = 0.74
"""Cosine of two fingerprints from which they may be of the same sound."""
RATE = 8_000
"""Rate in Hz at which sounds are compared."""
BAND = (120, 3300)
"""Lowest and highest frequency in Hz that is compared."""

_HOP, _BANDS, _FOLD, _MODULATIONS, _RANGE = 256, 12, 128, 32, 1e-2
_BLOCK = 1024


def fingerprint(signal: np.ndarray, rate: int) -> bytes:
    """Fingerprint of a signal.

    Parameters
    ----------
    signal : ndarray of float32, shape (samples,)
        One channel.
    rate : int
        Its sampling rate in Hz.

    Returns
    -------
    bytes
        384 numbers of 8 bits, or none for a signal shorter than ``SHORTEST``.
    """
    import soxr

    if len(signal) < SHORTEST * rate:
        return b""
    signal = np.pad(soxr.resample(signal, rate, RATE, quality="LQ"), _HOP)
    window = np.hanning(2 * _HOP).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(signal, 2 * _HOP)[::_HOP] * window
    edges = np.round(np.geomspace(*BAND, _BANDS + 1) * 2 * _HOP / RATE).astype(int)
    power = np.square(np.abs(rfft(frames, axis=1)[:, : edges[-1]]))
    bands = np.add.reduceat(power, edges[:-1], axis=1)
    # Loudness in each band, from 20 dB below its peaks: what is quieter may be noise.
    top = np.quantile(bands, 0.98, axis=0)
    floor = _RANGE * np.maximum(top, 1e-4 * top.max()) + 1e-30
    loudness = np.log10(np.maximum(bands / floor, 1))
    # Folding keeps the spectrum at the frequencies that are looked at, however long the signal is.
    loudness = np.pad(loudness, ((0, -len(loudness) % _FOLD), (0, 0)))
    folded = loudness.reshape(-1, _FOLD, _BANDS).sum(axis=0)
    spectrum = np.abs(rfft(folded, axis=0))[1 : _MODULATIONS + 1].ravel()
    shape = np.log(spectrum / (np.linalg.norm(spectrum) + 1e-12) + 0.005)
    shape -= shape.mean()
    return np.round(127 * shape / (np.abs(shape).max() + 1e-12)).astype(np.int8).tobytes()


def likeness(first: bytes, second: bytes) -> float:
    """Cosine of two fingerprints, 0 where there is none."""
    one, two = (np.frombuffer(print_, np.int8).astype(float) for print_ in (first, second))
    if not (len(one) and len(two)):
        return 0.0
    return float(one @ two / (np.linalg.norm(one) * np.linalg.norm(two) + 1e-12))


def alike(prints: Sequence[bytes], groups: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of positions, of different groups, whose fingerprints are alike."""
    rows = np.flatnonzero([bool(one) for one in prints])
    values = np.frombuffer(b"".join(prints[row] for row in rows), np.int8).astype(np.float32)
    values = values.reshape(len(rows), _BANDS * _MODULATIONS)
    values /= np.linalg.norm(values, axis=1, keepdims=True) + 1e-12
    pairs = []
    for start in range(0, len(rows), _BLOCK):
        near = np.triu(values[start : start + _BLOCK] @ values[start:].T >= ALIKE, 1)
        first, second = (rows[start + found] for found in np.nonzero(near))
        apart = groups[first] != groups[second]
        pairs += zip(first[apart].tolist(), second[apart].tolist(), strict=True)
    return pairs
