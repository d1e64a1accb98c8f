"""Find the same sound under several names: exact copies, and copies that were changed a little.

A copy at another level, rate or quality, or with silence around it, has other bytes. Where two
fingerprints are alike, the signals themselves decide: they are the same sound if their
cross-correlation has a peak that only copies have.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ctl_helpers.corpora.fingerprints import BAND, RATE, alike
from ctl_helpers.corpora.signals import read_samples
from ctl_helpers.errors import log

SAME = 0.8
"""Peak of the normalised cross-correlation from which two signals are the same sound.

Copies with noise 5 dB below the speech reach 0.87; two takes of one sentence by one speaker stay
below 0.6 in CASIA, EmoDB and RAVDESS.
"""
SAME_SHORT = 0.95
"""The same for signals below 0.45 s: two tones of one pitch may be as alike as a noisy copy."""


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether the cross-correlation of two signals, in the compared band, has a copy's peak."""
    size = next_fast_len(len(first) + len(second), real=True)
    frequencies = rfftfreq(size, 1 / RATE)
    band = (frequencies > BAND[0]) & (frequencies < BAND[1])
    one, two = rfft(first, size) * band, rfft(second, size) * band
    power = np.linalg.norm(irfft(one, size)) * np.linalg.norm(irfft(two, size))
    peak = float(np.abs(irfft(one * two.conj(), size)).max() / (power + 1e-12))
    short = min(len(first), len(second)) < 0.45 * RATE
    return peak >= (SAME_SHORT if short else SAME)


def same_sounds(frame: pd.DataFrame, groups: np.ndarray) -> np.ndarray:
    """Find out which rows of a manifest hold the same sound.

    Parameters
    ----------
    frame : DataFrame
        Manifest with the columns path, start, end, digest, fingerprint.
    groups : ndarray, shape (rows,)
        Look for changed copies only between rows of different groups.

    Returns
    -------
    ndarray of int, shape (rows,)
        Number of the sound.
    """
    import soxr

    @lru_cache(maxsize=256)
    def signal(row: int) -> np.ndarray:
        place = frame.iloc[row]
        samples, rate = read_samples(place["path"], place["start"], place["end"])
        return soxr.resample(samples, rate, RATE, quality="MQ")

    digests = frame["digest"].to_numpy(str)
    _, first, number = np.unique(digests, return_index=True, return_inverse=True)
    prints = frame["fingerprint"].to_numpy()[first]
    pairs = [
        (one, two)
        for one, two in alike(prints, groups[first])
        if _same(signal(first[one]), signal(first[two]))
    ]
    one, two = np.array(pairs, int).reshape(-1, 2).T
    links = coo_array((np.ones(len(one)), (one, two)), shape=(len(first), len(first)))
    return connected_components(links, directed=False)[1][number]


def drop_copies(manifests: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Leave out of each corpus the sounds that a corpus before it holds, with a line of warning.

    Parameters
    ----------
    manifests : sequence of DataFrame
        Of different corpora, as :func:`~ctl_helpers.corpora.load_manifest` gives them.

    Returns
    -------
    list of DataFrame
        The manifests in the same order. Rows keep their index, so that the index of a result says
        which rows are left.
    """
    joined = pd.concat([pd.DataFrame(manifest.to_dict("series")) for manifest in manifests])
    order = np.repeat(range(len(manifests)), [len(manifest) for manifest in manifests])
    sounds = same_sounds(joined, order)
    _, first = np.unique(sounds, return_index=True)
    copied = order[first[sounds]] < order
    if copied.any():
        corpora = joined["corpus"].to_numpy()
        sides = (corpora[copied], corpora[first[sounds]][copied])
        names = (" and ".join(np.unique(side)) for side in sides)
        said = "%d utterances of %s have the same sound as others of %s: left out"
        log.warning(said, copied.sum(), *names)
    return [manifest[~copied[order == number]] for number, manifest in enumerate(manifests)]
