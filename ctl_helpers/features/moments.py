"""Local moments: mean, deviation and movement of tracks around every frame."""

import librosa
import numpy as np
from scipy.ndimage import uniform_filter1d

_SLOPE = 9  # frames that a slope is drawn through, as librosa.feature.delta has it


def local_moments(tracks: np.ndarray, frames: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Give every track's mean and deviation around each frame, and the deviation of its slope.

    Single frames depend on the sounds and the language; moments over many syllables depend more on
    how they are spoken. A network of small kernels can average by itself, but not square.

    Parameters
    ----------
    tracks : ndarray of shape (n, k)
        Coefficients or pitch over the frames of an utterance.
    frames : int
        How many frames around each count, as far as they lie within the utterance.
    weights : ndarray of shape (n,), optional
        How much each frame counts, more than 0; by default all the same.

    Returns
    -------
    ndarray of shape (n, 3 * k)
        float32: the means, the standard deviations, the standard deviations of the slopes.

    Examples
    --------
    >>> steady = np.full((20, 1), 5.0)
    >>> local_moments(steady, 5)[10].tolist()
    [5.0, 0.0, 0.0]
    """
    tracks = np.asarray(tracks, np.float64)
    weights = np.ones(len(tracks)) if weights is None else np.asarray(weights, np.float64)
    slopes = librosa.feature.delta(tracks, width=_SLOPE, axis=0, mode="nearest")
    mean, deviation = _mean_and_deviation(tracks, frames, weights[:, None])
    moving = _mean_and_deviation(slopes, frames, weights[:, None])[1]
    return np.concatenate([mean, deviation, moving], axis=1).astype(np.float32)


def _mean_and_deviation(tracks, frames, weights):
    def around(values):
        return uniform_filter1d(values, frames, axis=0, mode="constant")

    # Around the utterance's own mean: squares of large numbers would cancel.
    middle = np.average(tracks, axis=0, weights=weights[:, 0])
    centred, total = tracks - middle, around(weights)
    first = around(weights * centred) / total
    second = around(weights * centred**2) / total
    return middle + first, np.sqrt(np.maximum(second - first**2, 0))
