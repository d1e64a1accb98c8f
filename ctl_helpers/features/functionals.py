"""Functionals: one vector per utterance, of openSMILE or of its frames (MFCC, pitch)."""

import warnings
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ctl_helpers.features.mfcc import mfcc
from ctl_helpers.features.settings import FeatureSettings

SEGMENTS = 16
"""Parts of equal length into which `segment_means` divides an utterance."""
# What opensmile calls its sets, and how many functionals they hold.
OPENSMILE_SETS = {"egemaps": ("eGeMAPSv02", 88), "compare": ("ComParE_2016", 6373)}


def opensmile_functionals(signal: np.ndarray, sampling_rate: int, name: str) -> np.ndarray:
    """Compute the functionals of one signal by openSMILE.

    Parameters
    ----------
    signal : ndarray of shape (n,)
        float32.
    sampling_rate : int
        In Hz.
    name : {"egemaps", "compare"}
        The 88 functionals of eGeMAPS (v02) or the 6373 of ComParE 2016.

    Returns
    -------
    ndarray of shape (functionals,)
        0 where one is not defined, as all of a signal that is too short.

    References
    ----------
    Eyben et al., "The Geneva minimalistic acoustic parameter set (GeMAPS)", IEEE Transactions on
    Affective Computing, 2016; Schuller et al., "The INTERSPEECH 2016 computational paralinguistics
    challenge", Interspeech 2016.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Segment too short")
        values = _smile(OPENSMILE_SETS[name][0])(signal, sampling_rate).ravel()
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


@lru_cache(maxsize=2)
def _smile(name: str):
    import opensmile

    return opensmile.Smile(opensmile.FeatureSet[name], opensmile.FeatureLevel.Functionals)


def frame_functionals(frames: np.ndarray) -> np.ndarray:
    """Compute plain statistics of MFCC over the louder half of the frames.

    The quieter half (by coefficient 0) is left out, and most of the silence with it: silence
    differs between corpora but not between emotions.

    Parameters
    ----------
    frames : ndarray of shape (frames, coefficients)
        Without padding.

    Returns
    -------
    ndarray of shape (5 * coefficients,)
        The means of all coefficients, then their standard deviations, the standard deviations of
        the differences between successive loud frames, the 10th and the 90th percentiles.
    """
    frames = np.asarray(frames, np.float64)
    loud = frames[frames[:, 0] >= np.median(frames[:, 0])]
    steps = np.diff(loud, axis=0) if len(loud) > 1 else np.zeros_like(loud)
    low, high = np.percentile(loud, [10, 90], axis=0)
    return np.concatenate([loud.mean(axis=0), loud.std(axis=0), steps.std(axis=0), low, high])


def segment_means(frames: np.ndarray) -> np.ndarray:
    """Average an utterance's frames over 16 parts of equal length: how its values go on in time.

    Parameters
    ----------
    frames : ndarray of shape (frames, coefficients)
        Without padding.

    Returns
    -------
    ndarray of shape (16 * coefficients + 1,)
        The means of the first part, of the second, ...; then the logarithm of the number of frames.

    Examples
    --------
    >>> segment_means(np.arange(32.0)[:, None])[:3]
    array([0.5, 2.5, 4.5])
    """
    frames = np.asarray(frames, np.float64)
    shared = np.repeat(frames, SEGMENTS, axis=0)  # a frame may lie in two parts
    means = shared.reshape(SEGMENTS, len(frames), -1).mean(axis=1)
    return np.append(means, np.log(len(frames)))


OF_FRAMES = {
    "mfcc-statistics": ("released", frame_functionals),
    "segments": ("pitch", segment_means),
}
"""Vectors that are made of frames: the preset of the frames, and what is computed of them."""


def of_frames(signal: np.ndarray, settings: FeatureSettings, compute: Callable) -> np.ndarray:
    """Compute a vector of one signal's frames, without those of padding."""
    values, (first, end) = mfcc(signal, settings)
    return compute(values[first:end])
