"""Functionals: one vector per utterance, of openSMILE or of plain statistics of its MFCC."""

import importlib.util
import json
import os
import warnings
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from ctl_helpers.corpora import read_audio
from ctl_helpers.errors import StudyError
from ctl_helpers.features.cache import add_array, array_key, content_hashes, digest, open_array
from ctl_helpers.features.mfcc import Features, _leave_out, extract
from ctl_helpers.methods.transfers import transfer_features
from ctl_helpers.parallel import cache_folder

# What opensmile calls the sets, and how many functionals they hold.
FEATURE_SETS = {"egemaps": ("eGeMAPSv02", 88), "compare": ("ComParE_2016", 6373)}
# Part of every key, and of the baselines' specifications: raise it when the same ones give other
# numbers.
FORMAT = 1
_RATE = 16_000  # Hz, of all corpora alike, so that none has a band that the others lack


@dataclass(frozen=True, eq=False)
class Functionals:
    """One vector per utterance.

    Parameters
    ----------
    values : ndarray of shape (utterances, functionals)
        float32, finite.
    manifest : DataFrame
        A row per utterance.
    key : str
        Hash of the audio's content and of how the functionals are computed.
    """

    values: np.ndarray
    manifest: pd.DataFrame
    key: str

    def select(self, rows) -> "Functionals":
        """Keep some utterances: int array of rows."""
        rows = np.asarray(rows)
        manifest = self.manifest.iloc[rows].reset_index(drop=True)
        key = digest(self.key.encode() + rows.astype("<i8").tobytes())
        return Functionals(np.asarray(self.values)[rows], manifest, key)


def describe(manifest, functionals, features=None, jobs=None, across=False):
    """Compute what a baseline looks at, or read it from the cache.

    Parameters
    ----------
    manifest : DataFrame
        As :func:`ctl_helpers.corpora.load_manifest` gives it.
    functionals : {"egemaps", "compare", "mfcc"}
        Those of openSMILE, or `mfcc_statistics`.
    features : Features, optional
        MFCC that are at hand, for ``"mfcc"``.
    jobs : int, optional
        Processes; by default one per core.
    across : bool
        Whether MFCC are of the length used across corpora.

    Returns
    -------
    Functionals
    """
    if functionals != "mfcc":
        if features is not None:
            raise StudyError(f"{functionals}: expected no MFCC features, as it computes its own")
        return opensmile_functionals(manifest, functionals, jobs)
    if features is None:
        features = (transfer_features if across else extract)(manifest, "released", jobs)
    if not isinstance(features, Features):
        raise StudyError(f"{functionals}: expected Features, got {type(features).__name__}")
    return Functionals(mfcc_statistics(features), features.manifest, features.key)


def opensmile_functionals(
    manifest: pd.DataFrame,
    feature_set: str = "egemaps",
    jobs: int | None = None,
    cache: str | os.PathLike | None = None,
) -> Functionals:
    """Compute openSMILE's functionals of every utterance at 16 kHz, or read them from the cache.

    Parameters
    ----------
    manifest : DataFrame
        As :func:`ctl_helpers.corpora.load_manifest` gives it.
    feature_set : {"egemaps", "compare"}
        The 88 functionals of eGeMAPS (v02) or the 6373 of ComParE 2016.
    jobs : int or None
        Processes; ``None`` for one per core.
    cache : path or None
        Folder of the cache; ``None`` for :func:`ctl_helpers.parallel.cache_folder`.

    Returns
    -------
    Functionals
        A functional that is not defined, as any of a recording too short for it, is 0. A file that
        cannot be read is left out with a warning.

    Raises
    ------
    StudyError
        When opensmile is not installed, the manifest is empty, nothing in it can be read, or the
        cache cannot be written.
    """
    if feature_set not in FEATURE_SETS:
        known = ", ".join(FEATURE_SETS)
        raise StudyError(f"functionals: expected one of {known}, got {feature_set!r}")
    check_opensmile(f"functionals {feature_set!r}")
    if not len(manifest):
        raise StudyError("functionals: expected at least one utterance, got an empty manifest")
    name, count = FEATURE_SETS[feature_set]
    base = (Path(cache).expanduser().absolute() if cache else cache_folder()) / "features"
    told = json.dumps([FORMAT, name, _RATE, metadata.version("opensmile")])
    folder = base / digest(told.encode())
    try:
        contents, failures = content_hashes(list(manifest["path"]), base / "contents.json", jobs)
        manifest, contents = _leave_out(manifest, contents, failures)
        if open_array(folder, contents) is None:
            function = partial(_read_functionals, name=name)
            # openSMILE's library crashes beside those of Keras's backends.
            failures = add_array(
                folder, list(manifest["path"]), contents, function, (count,), jobs, apart=True
            )
            manifest, contents = _leave_out(manifest, contents, failures)
        values, _ = open_array(folder, contents)
    except OSError as error:
        raise StudyError(
            f"functionals: expected a cache folder to write to, got: {error}"
        ) from error
    return Functionals(values, manifest, array_key(folder, contents))


def _read_functionals(path: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Segment too short")
        values = _smile(name)(read_audio(path, _RATE), _RATE).ravel()
    # The cache keeps frames with signal beside every row: here the one there is.
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0), np.array([0, 1])


@lru_cache(maxsize=2)
def _smile(name: str):
    import opensmile

    return opensmile.Smile(opensmile.FeatureSet[name], opensmile.FeatureLevel.Functionals)


def has_opensmile() -> bool:
    """Whether the package is there that eGeMAPS and ComParE need."""
    return importlib.util.find_spec("opensmile") is not None


def check_opensmile(what: str) -> None:
    """Raise a StudyError that names ``what`` needs opensmile, where it is not installed."""
    if not has_opensmile():
        raise StudyError(
            f"{what}: expected the package opensmile, found none; "
            "install the extra: pip install 'ctl-helpers[baselines]'"
        )


def mfcc_statistics(features: Features) -> np.ndarray:
    """Describe every utterance by plain statistics of its MFCC over the louder half of its frames.

    Padding is left out, and so is the quieter half of the frames (by coefficient 0), most of the
    silence with it: what differs between corpora but not between emotions.

    Parameters
    ----------
    features : Features
        MFCC.

    Returns
    -------
    ndarray of shape (utterances, 5 * coefficients)
        float32: of every coefficient the mean, then of every one the standard deviation, that of
        the differences between successive loud frames, the 10th and the 90th percentile.
    """
    rows = [
        _loud_statistics(np.asarray(values[first:end], np.float64))
        for values, (first, end) in zip(features.values, features.speech, strict=True)
    ]
    return np.array(rows, np.float32)


def _loud_statistics(frames: np.ndarray) -> np.ndarray:
    loud = frames[frames[:, 0] >= np.median(frames[:, 0])]
    steps = np.diff(loud, axis=0) if len(loud) > 1 else np.zeros_like(loud)
    low, high = np.percentile(loud, [10, 90], axis=0)
    return np.concatenate([loud.mean(axis=0), loud.std(axis=0), steps.std(axis=0), low, high])
