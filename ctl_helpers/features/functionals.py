"""Functionals: one vector per utterance, of openSMILE or of plain statistics of its MFCC."""

import warnings
from functools import lru_cache

import numpy as np

from ctl_helpers.features.mfcc import mfcc
from ctl_helpers.features.settings import FeatureSettings

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


def signal_statistics(signal: np.ndarray, settings: FeatureSettings) -> np.ndarray:
    """Compute the `frame_functionals` of one signal's MFCC."""
    values, (first, end) = mfcc(signal, settings)
    return frame_functionals(values[first:end])


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
