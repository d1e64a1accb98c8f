"""Extract the features of a manifest: one way in for all of them."""

import os
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ctl_helpers.corpora import read_audio
from ctl_helpers.errors import StudyError, log
from ctl_helpers.features.arrays import array_key, is_array, read_array
from ctl_helpers.features.cache import cached_rows, known_shape, rows_key
from ctl_helpers.features.settings import LARGEST, FeatureChoice, Features, short_hash
from ctl_helpers.features.ways import Way, shape_of, way_of
from ctl_helpers.parallel import cache_folder, parallel_map

_LONGEST = 200  # characters of a reason


def extract(
    manifest: pd.DataFrame,
    features: FeatureChoice = "released",
    jobs: int | None = None,
    cache: str | os.PathLike | None = None,
    samples: int | None = None,
    retry: bool = True,
) -> Features:
    """Compute the features of every utterance, or read them where they were computed before.

    They lie in the cache under a hash of the sounds and of the way they are computed. For another
    list of utterances, only the features that are not in the cache are computed.

    Parameters
    ----------
    manifest : DataFrame
        As `ctl_helpers.corpora.load_manifest` returns it, or several of them joined.
    features : str, path or FeatureSettings
        A name in ``FEATURES``; settings of MFCC; the path of your own array (``.npz`` or
        ``.npy``, see `ctl_helpers.features.arrays`); or ``"file.py:function"``, a function that
        takes a signal (float32, 16 kHz) and its sampling rate and returns an array, of the same
        shape for every signal. Its key holds the content of the file and of the modules below its
        folder that it imports.
    jobs : int or None
        Processes beside this one; ``None`` for one per core.
    cache : path or None
        Folder of the cache; ``None`` for `ctl_helpers.parallel.cache_folder`.
    samples : int or None
        Length that signals are cropped or padded to for MFCC, at their sampling rate; ``None`` for
        that of the settings, or of the corpus.
    retry : bool
        Whether to compute again what failed before, and to warn. Runs do without: their study has.

    Returns
    -------
    Features
        With a row for every utterance. One that cannot be read, whose features are not finite or
        whose process dies is named in a warning and in `Features.failed`.

    Raises
    ------
    StudyError
        When the features are not known, the manifest is empty, its corpora differ in length, or
        nothing in it can be used; when the cache cannot be written.

    Examples
    --------
    >>> from ctl_helpers.corpora import load_manifest
    >>> features = extract(load_manifest("/data/ser", "emodb"), "released")  # doctest: +SKIP
    >>> features.values.shape  # doctest: +SKIP
    (535, 188, 39)
    """
    if not len(manifest):
        raise StudyError("features: expected at least one utterance, got an empty manifest")
    if is_array(features):
        return read_array(Path(str(features)), manifest)
    way = way_of(features, manifest, samples)
    folder = Path(cache or cache_folder()).expanduser().absolute() / "features"
    folder /= short_hash(way.identity)
    names = _sounds(manifest)
    places = manifest.reindex(columns=["path", "start", "end"])  # not a number for a whole file
    sources = list(places.itertuples(index=False, name=None))
    # A recording may kill the process that reads it.
    guarded = partial(parallel_map, apart=way.apart, guarded=True)
    each = partial(guarded, jobs=jobs, description="features", unit="chunk")
    try:
        shape = way.shape or known_shape(folder) or shape_of(way)
        compute = partial(_compute, way=way, shape=shape)
        values, speech, failures = cached_rows(folder, names, sources, compute, shape, each, retry)
    except OSError as error:
        raise StudyError(
            f"features: cannot write to the cache folder {folder}: {error.strerror or error}; "
            "CTL_CACHE names another"
        ) from error
    manifest, key = manifest.reset_index(drop=True), rows_key(folder.name, names)
    failed = {row: why.removeprefix(f"{manifest['path'][row]}: ") for row, why in failures.items()}
    failed = {row: " ".join(why.split())[:_LONGEST] for row, why in failed.items()}
    _warn(manifest, failed, retry)
    return Features(values, manifest, key, speech if way.settings else None, way.settings, failed)


def feature_key(manifest: pd.DataFrame, features: FeatureChoice, samples: int | None = None) -> str:
    """Give the key that `extract` would give, without extracting.

    Parameters
    ----------
    manifest, features, samples
        As for `extract`.

    Raises
    ------
    StudyError
        When the features are not known, or need a package or file that is not there.
    """
    if is_array(features):
        return array_key(Path(str(features)), manifest)
    way = way_of(features, manifest, samples)
    return rows_key(short_hash(way.identity), _sounds(manifest))


def _sounds(manifest: pd.DataFrame) -> list[str]:
    """Hash of every utterance's sound."""
    if "digest" not in manifest or not (manifest["digest"].str.len() > 0).all():
        raise StudyError(
            "features: expected a manifest with the digest of every sound, as load_manifest "
            "gives it, got one without"
        )
    return [short_hash(digest) for digest in manifest["digest"]]


def _compute(source: tuple, way: Way, shape: tuple) -> tuple[np.ndarray, tuple[int, int]]:
    path, start, end = source
    signal = read_audio(path, way.sampling_rate, start, end)
    found = way.compute(signal)
    values, speech = found if way.settings else (found, (0, 0))
    if np.iscomplexobj(values):
        raise StudyError("expected real numbers, got complex ones")
    values = np.asarray(values, np.float32)
    if values.shape != shape:
        raise StudyError(f"expected features of shape {shape}, got {values.shape}")
    if not np.abs(values).max(initial=0) <= LARGEST:
        raise StudyError("its features are not finite, or beyond all reason")
    return values, speech


def _warn(manifest: pd.DataFrame, failed: dict[int, str], aloud: bool) -> None:
    """Name the utterances without features; there is no use in going on without any."""
    names = [f"{manifest['utterance'][row]}: {reason}" for row, reason in failed.items()]
    said = "; ".join(names[:5]) + f"; and {len(names) - 5} more" * (len(names) > 5)
    if len(names) == len(manifest):
        raise StudyError(f"features: none of {len(manifest)} utterances can be used: {said}")
    if names and aloud:
        log.warning("features: %d of %d left out: %s", len(names), len(manifest), said)
