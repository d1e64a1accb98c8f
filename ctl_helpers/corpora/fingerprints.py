"""Fingerprints of signals, by which changed copies of a sound are found.

How strongly the loudness of 12 bands (120 to 3300 Hz) changes at 32 modulation frequencies (0.24 to
7.8 Hz): padding, level, rate and quality leave that nearly as it is.
"""

from collections.abc import Sequence

import numpy as np
from scipy.fft import rfft

HOP = 0.032
"""Seconds between the frames; each is twice as long."""
SHORTEST = 0.5
"""Seconds below which a signal has no fingerprint."""
ALIKE = 0.78
"""Cosine of two fingerprints from which they may be of the same sound."""
BANDS = np.geomspace(120, 3300, 13)
"""Edges of the bands in Hz."""

_FOLD, _MODULATIONS = 128, 32
_RANGE = 1e-2
_BLOCK = 1024


def fingerprint(signal: np.ndarray, rate: int) -> bytes:
    """Fingerprint of a signal.

    Parameters
    ----------
    signal : ndarray, shape (samples,)
        One channel.
    rate : int
        Its sampling rate in Hz.

    Returns
    -------
    bytes
        384 numbers of 8 bits, or none for a signal shorter than ``SHORTEST``.
    """
    if len(signal) < SHORTEST * rate:
        return b""
    hop = round(HOP * rate)
    size = 2 * hop
    count = -(-len(signal) // hop)
    padded = np.pad(np.asarray(signal, np.float32), (hop // 2, (count + 1) * hop - len(signal)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][:count]
    power = np.square(np.abs(rfft(frames * np.hanning(size).astype(np.float32), axis=1)))
    edges = np.minimum(np.round(BANDS * size / rate).astype(int), hop)
    bands = np.add.reduceat(power[:, : edges[-1] + 1], edges[:-1], axis=1)
    # Loudness in each band, from 20 dB below its peaks: what is quieter may be noise.
    top = np.quantile(bands, 0.98, axis=0)
    floor = _RANGE * np.maximum(top, 1e-4 * top.max()) + 1e-30
    loudness = np.log10(np.maximum(bands / floor, 1))
    # Folding keeps the spectrum at the frequencies that are looked at, however long the signal is.
    folded = np.zeros((-(-count // _FOLD) * _FOLD, bands.shape[1]), np.float32)
    folded[:count] = loudness
    folded = folded.reshape(-1, _FOLD, bands.shape[1]).sum(axis=0)
    spectrum = np.abs(rfft(folded, axis=0))[1 : _MODULATIONS + 1].ravel()
    shape = np.log(spectrum / (np.linalg.norm(spectrum) + 1e-12) + 0.005)
    shape -= shape.mean()
    return np.round(127 * shape / (np.abs(shape).max() + 1e-12)).astype(np.int8).tobytes()


def alike(prints: Sequence[bytes], corpora: np.ndarray | None = None) -> list[tuple[int, int]]:
    """Pairs of positions whose fingerprints are alike (where given: of different corpora)."""
    rows = np.flatnonzero([bool(one) for one in prints])
    if len(rows) < 2:
        return []
    values = np.frombuffer(b"".join(prints[row] for row in rows), np.int8)
    values = values.reshape(len(rows), -1).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True) + 1e-12
    pairs = []
    for start in range(0, len(rows), _BLOCK):
        alike = values[start : start + _BLOCK] @ values[start:].T >= ALIKE
        first, second = np.nonzero(np.triu(alike, 1))
        first, second = rows[first + start], rows[second + start]
        if corpora is not None:
            apart = corpora[first] != corpora[second]
            first, second = first[apart], second[apart]
        pairs += zip(first.tolist(), second.tolist(), strict=True)
    return pairs
