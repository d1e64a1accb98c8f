"""Find the same sound under several names: exact copies, and copies that were changed a little.

A copy at another level, rate or quality, or with silence around it, has other bytes. Where two
fingerprints are alike, the signals themselves decide: they are the same sound if their
cross-correlation has a peak that only copies have.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
import soxr
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ctl_helpers.corpora.fingerprints import BANDS, alike
from ctl_helpers.corpora.signals import read_samples

SAME = 0.8
"""Peak of the normalised cross-correlation from which two signals are the same sound.

Copies with noise 5 dB below the speech reach 0.87; two takes of one sentence by one speaker stay
below 0.6 in CASIA, EmoDB and RAVDESS.
"""

_RATE = 8_000


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Peak of the normalised cross-correlation of two signals at 8 kHz, from 100 to 3300 Hz."""
    size = next_fast_len(len(first) + len(second), real=True)
    frequencies = rfftfreq(size, 1 / _RATE)
    band = (frequencies > 100) & (frequencies < BANDS[-1])
    one, two = rfft(first, size) * band, rfft(second, size) * band
    power = np.linalg.norm(irfft(one, size)) * np.linalg.norm(irfft(two, size))
    return float(np.abs(irfft(one * two.conj(), size)).max() / (power + 1e-12))


def same_sounds(frame: pd.DataFrame, across: bool = False) -> np.ndarray:
    """Number the sounds of a manifest: rows with the same number hold the same sound.

    Parameters
    ----------
    frame : DataFrame
        Manifest with the columns path, start, end, digest, fingerprint (and corpus).
    across : bool
        Whether to look for changed copies between different corpora only.

    Returns
    -------
    ndarray of int, shape (rows,)
    """

    @lru_cache(maxsize=256)
    def signal(row: int) -> np.ndarray:
        place = frame.iloc[row]
        samples, rate = read_samples(place["path"], place["start"], place["end"])
        return soxr.resample(samples, rate, _RATE, quality="MQ")

    digests, first = np.unique(frame["digest"].to_numpy(str), return_index=True)
    number = np.searchsorted(digests, frame["digest"].to_numpy(str))
    corpora = frame["corpus"].to_numpy(str)[first] if across else None
    prints = frame["fingerprint"].to_numpy()[first]
    pairs = [
        (one, two)
        for one, two in alike(prints, corpora)
        if _correlation(signal(first[one]), signal(first[two])) >= SAME
    ]
    one, two = np.array(pairs, int).reshape(-1, 2).T
    links = coo_array((np.ones(len(one)), (one, two)), shape=(len(digests), len(digests)))
    return connected_components(links, directed=False)[1][number]


def drop_copies(manifests: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Leave out of each corpus the sounds that a corpus before it holds.

    Parameters
    ----------
    manifests : sequence of DataFrame
        Of different corpora, as :func:`~ctl_helpers.corpora.load_manifest` gives them.

    Returns
    -------
    list of DataFrame
        The manifests in the same order. Rows keep their index, so that the index of a result says
        which rows are left; ``attrs["problems"]`` names the others, as kind "duplicate".
    """
    parts = [manifest.assign(order=order) for order, manifest in enumerate(manifests)]
    for part in parts:
        part.attrs = {}
    joined = pd.concat(parts, ignore_index=True)
    sounds = pd.Series(same_sounds(joined.assign(corpus=joined["order"]), across=True))
    earliest = joined.groupby(sounds)["order"].transform("min")
    original = joined.groupby(sounds)["utterance"].transform("first")
    holder = joined.groupby(sounds)["corpus"].transform("first")
    kept = []
    for order, manifest in enumerate(manifests):
        mine = (joined["order"] == order).to_numpy()
        copy = (earliest[mine] < order).to_numpy()
        left = manifest[~copy].copy()
        problems = [
            {"path": path, "kind": "duplicate", "reason": f"the same sound as {name} of {of}"}
            for path, name, of in zip(
                manifest["utterance"][copy], original[mine][copy], holder[mine][copy], strict=True
            )
        ]
        left.attrs = manifest.attrs | {"problems": manifest.attrs.get("problems", []) + problems}
        kept.append(left)
    return kept
