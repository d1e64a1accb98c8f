"""Local moments: how tracks lie and move over some tenths of a second, frame by frame."""

import librosa
import numpy as np
from scipy.ndimage import uniform_filter1d

_SLOPE = 9  # frames that a slope is drawn through, as librosa.feature.delta has it


def local_moments(tracks: np.ndarray, frames: int) -> np.ndarray:
    """Give every track's mean and deviation around each frame, and the deviation of its slope.

    Single frames tell sounds apart, and languages; what is left over a few syllables tells more of
    how they are spoken. A network of small kernels can average by itself, but not square.

    Parameters
    ----------
    tracks : ndarray of shape (n, k)
        Coefficients or pitch over the frames of an utterance.
    frames : int
        Length of the stretch around a frame; the first and the last frame are repeated beyond the
        utterance.

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
    slopes = librosa.feature.delta(tracks, width=_SLOPE, axis=0, mode="nearest")
    moments = [*_mean_and_deviation(tracks, frames), _mean_and_deviation(slopes, frames)[1]]
    return np.concatenate(moments, axis=1).astype(np.float32)


def _mean_and_deviation(tracks, frames):
    mean = uniform_filter1d(tracks, frames, axis=0, mode="nearest")
    # Around the utterance's own mean, lest squares of large numbers cancel.
    centred = tracks - tracks.mean(axis=0)
    first = uniform_filter1d(centred, frames, axis=0, mode="nearest")
    second = uniform_filter1d(centred**2, frames, axis=0, mode="nearest")
    return mean, np.sqrt(np.maximum(second - first**2, 0))
