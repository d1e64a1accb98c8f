"""Shallow baselines: functionals of an utterance and a linear or kernel classifier.

They stand on the same splits and in the same tables as the networks, and need no Keras.
"""

import importlib.util
import json
import os
import platform
import time
import warnings
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from ctl_helpers.corpora import read_audio, shared_emotions
from ctl_helpers.errors import StudyError
from ctl_helpers.experiments import (
    Job,
    _commit,
    _installed,
    compute,
    emotions_of,
    peak_memory,
    write_predictions,
)
from ctl_helpers.feature_cache import add_array, array_key, content_hashes, digest, open_array
from ctl_helpers.features import Features, _leave_out, extract
from ctl_helpers.normalisation import normalise
from ctl_helpers.parallel import cache_folder, cores
from ctl_helpers.protocols import K_FOLDS, Split, make_splits, pick_splits
from ctl_helpers.results import RunStore, write_json
from ctl_helpers.statistics import scores
from ctl_helpers.transfers import transfer_features

# What opensmile calls the sets, and how many functionals they hold.
FEATURE_SETS = {"egemaps": ("eGeMAPSv02", 88), "compare": ("ComParE_2016", 6373)}
# One setting for all corpora, by cross-validation inside training parts of EmoDB and CASIA alone.
CLASSIFIERS = {
    "linear": {"kind": "svm", "kernel": "linear", "C": 0.01},
    "rbf": {"kind": "svm", "kernel": "rbf", "C": 10.0},  # gamma: 1 / (functionals x variance)
    "logistic": {"kind": "logistic", "C": 0.1},
}
METHODS = {
    f"{features}+{classifier}": (features, classifier)
    for features, classifiers in (
        ("egemaps", ("linear", "rbf")),
        ("compare", ("linear", "rbf")),
        ("mfcc", ("logistic", "linear", "rbf")),
    )
    for classifier in classifiers
}
NORMALISATIONS = ("global", "speaker", "corpus")
_FORMAT = 1  # part of every key and specification: raise it when the same ones give other numbers
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


def baseline_cross_validate(
    manifest,
    method,
    *,
    features=None,
    protocol="kfold",
    folds=10,
    normalisation="global",
    store,
    jobs=None,
    only=None,
):
    """Train and score a baseline on every split of a protocol, the same splits as CPAC's.

    Parameters
    ----------
    manifest : DataFrame
        Of one corpus, as :func:`ctl_helpers.corpora.load_manifest` gives it.
    method : str
        One of ``METHODS``: functionals (``egemaps``, ``compare``, or ``mfcc`` for
        `mfcc_statistics`), a plus sign and a classifier (``linear`` and ``rbf`` support vector
        machines, ``logistic`` regression).
    features : Features, optional
        MFCC that are at hand, for the ``mfcc`` methods; by default the ``released`` preset.
    protocol : str
        See :func:`ctl_helpers.protocols.make_splits`.
    folds : int
        Of the k-fold protocols.
    normalisation : {"global", "speaker", "corpus"}
        Standardise each functional by the training part, or within every speaker or corpus; the
        latter two look at the unlabelled speech of the test part too.
    store : RunStore or path
        What is there is not computed again.
    jobs : int, optional
        Runs side by side; by default one per core.
    only : iterable of int, optional
        Indices of the splits to run, in place of all.

    Returns
    -------
    pandas.DataFrame
        The runs, as :func:`ctl_helpers.results.load_runs` gives them, of the task ``baseline``.
        Their probabilities are not calibrated.

    Raises
    ------
    StudyError
        When opensmile is needed and not installed, or a parameter is unknown.

    References
    ----------
    Eyben et al., "The Geneva minimalistic acoustic parameter set (GeMAPS)", IEEE Transactions on
    Affective Computing, 2016; Schuller et al., "The INTERSPEECH 2016 computational paralinguistics
    challenge", Interspeech 2016.

    Examples
    --------
    >>> from ctl_helpers.corpora import load_manifest
    >>> manifest = load_manifest("/data/ser", "emodb")  # doctest: +SKIP
    >>> runs = baseline_cross_validate(manifest, "egemaps+rbf", store="runs")  # doctest: +SKIP
    """
    spec = _common_spec(method, normalisation)
    found = describe(manifest, method, features, jobs)
    store = store if isinstance(store, RunStore) else RunStore(store)
    spec |= {
        "task": "baseline",
        "corpus": "+".join(found.manifest["corpus"].unique()),
        "protocol": protocol,
        "features": found.key,
        "emotions": emotions_of(found.manifest),
    }
    if protocol in K_FOLDS:
        spec["folds"] = folds
    todo = []
    for split in pick_splits(make_splits(found.manifest, protocol, folds), only):
        one = spec | {"split": split.name, "test": sorted(map(int, split.test))}
        todo.append(Job(one, found, split, one["recipe"], store, 1))
    title = f"{spec['corpus']} {protocol} {method}"
    return compute(todo, _run_baseline, store, jobs, title)


def baseline_transfer(
    source_manifest, target_manifest, method, *, normalisation="corpus", store, jobs=None
):
    """Train a baseline on one corpus and score it on the whole of another, over shared emotions.

    Parameters
    ----------
    source_manifest, target_manifest : DataFrame
        Of different corpora, as :func:`ctl_helpers.corpora.load_manifest` gives them.
    method : str
        One of ``METHODS``; the ``mfcc`` ones take features of the length used across corpora.
    normalisation : {"corpus", "speaker", "global"}
        Standardise each functional within every corpus or speaker, with the unlabelled target
        therefore, or by the source alone.
    store : RunStore or path
        What is there is not computed again.
    jobs : int, optional
        Processes that compute functionals; by default one per core.

    Returns
    -------
    pandas.DataFrame
        One run, as :func:`ctl_helpers.results.load_runs` gives it, of the task ``transfer`` and the
        protocol ``transductive``.

    Raises
    ------
    StudyError
        When the corpora share fewer than two emotions, opensmile is needed and not installed, or a
        parameter is unknown.
    """
    spec = _common_spec(method, normalisation)
    if both := set(source_manifest["corpus"]) & set(target_manifest["corpus"]):
        raise StudyError(f"transfer: expected two corpora, got {min(both)!r} as source and target")
    sides = [
        describe(side, method, jobs=jobs, across=True)
        for side in (source_manifest, target_manifest)
    ]
    names = ["+".join(side.manifest["corpus"].unique()) for side in sides]
    classes = shared_emotions(*(side.manifest for side in sides))
    if len(classes) < 2:
        raise StudyError(
            f"transfer: expected two emotions or more that {names[0]} and {names[1]} share, "
            f"found {', '.join(classes) or 'none'}"
        )
    sides = [s.select(np.flatnonzero(s.manifest["emotion"].isin(classes))) for s in sides]
    train, test = (len(side.manifest) for side in sides)
    spec |= {
        "task": "transfer",
        "source": names[0],
        "target": names[1],
        "protocol": "transductive",
        "split": "all",
        "test": list(range(test)),
        "labels": "emotion",
        "features": [side.key for side in sides],
        "emotions": classes,
    }
    both = Functionals(
        np.concatenate([side.values for side in sides]),
        pd.concat([side.manifest for side in sides], ignore_index=True),
        "",
    )
    split = Split("all", np.arange(train), np.arange(train, train + test), True)
    store = store if isinstance(store, RunStore) else RunStore(store)
    job = Job(spec, both, split, spec["recipe"], store, 1)
    return compute([job], _run_baseline, store, 1, f"{names[0]} to {names[1]} {method}")


def _common_spec(method, normalisation):
    """Check the words and give the part of a specification that both kinds of runs share."""
    for name, value, allowed in (
        ("method", method, METHODS),
        ("normalisation", normalisation, NORMALISATIONS),
    ):
        if value not in allowed:
            raise StudyError(f"{name}: expected one of {', '.join(allowed)}, got {value!r}")
    functionals, classifier = METHODS[method]
    packages = ["numpy", "scikit-learn"]
    if functionals in FEATURE_SETS:
        _check_opensmile(method)
        packages.append("opensmile")
    return {
        "method": method,
        "recipe": {"name": "", "normalisation": normalisation, **CLASSIFIERS[classifier]},
        "seed": 0,  # nothing is drawn
        "selection": "last",
        "versions": {name: metadata.version(name) for name in packages} | {"format": _FORMAT},
    }


def has_opensmile() -> bool:
    """Whether the package is there that eGeMAPS and ComParE need."""
    return importlib.util.find_spec("opensmile") is not None


def _check_opensmile(what):
    if not has_opensmile():
        raise StudyError(
            f"{what}: expected the package opensmile, found none; "
            "install the extra: pip install 'ctl-helpers[baselines]'"
        )


def describe(manifest, method, features=None, jobs=None, across=False):
    """Compute what a baseline looks at, or read it from the cache.

    Parameters
    ----------
    manifest : DataFrame
        As :func:`ctl_helpers.corpora.load_manifest` gives it.
    method : str
        One of ``METHODS``.
    features : Features, optional
        MFCC that are at hand, for the ``mfcc`` methods.
    jobs : int, optional
        Processes; by default one per core.
    across : bool
        Whether MFCC are of the length used across corpora.

    Returns
    -------
    Functionals
    """
    functionals = METHODS[method][0]
    if functionals in FEATURE_SETS:
        if features is not None:
            raise StudyError(f"{method}: expected no MFCC features, as it computes its own")
        return opensmile_functionals(manifest, functionals, jobs)
    if features is None:
        features = (transfer_features if across else extract)(manifest, "released", jobs)
    if not isinstance(features, Features):
        raise StudyError(f"{method}: expected Features, got {type(features).__name__}")
    return Functionals(mfcc_statistics(features), features.manifest, features.key)


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
    _check_opensmile(f"functionals {feature_set!r}")
    if not len(manifest):
        raise StudyError("functionals: expected at least one utterance, got an empty manifest")
    name, count = FEATURE_SETS[feature_set]
    base = (Path(cache).expanduser().absolute() if cache else cache_folder()) / "features"
    told = json.dumps([_FORMAT, name, _RATE, metadata.version("opensmile")])
    folder = base / digest(told.encode())
    try:
        contents, failures = content_hashes(list(manifest["path"]), base / "contents.json", jobs)
        manifest, contents = _leave_out(manifest, contents, failures)
        if open_array(folder, contents) is None:
            function = partial(_read_functionals, name=name)
            failures = add_array(folder, list(manifest["path"]), contents, function, (count,), jobs)
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


def standardise(
    values: np.ndarray, manifest: pd.DataFrame, kind: str, train: np.ndarray | None = None
) -> np.ndarray:
    """Bring every functional to zero mean and unit variance over the utterances of a group.

    Parameters
    ----------
    values : ndarray of shape (utterances, functionals)
        What to standardise.
    manifest : DataFrame
        A row per utterance.
    kind : {"global", "speaker", "corpus"}
        See :func:`ctl_helpers.normalisation.normalise`.
    train : int array or None
        Rows of the training part, for ``"global"``.

    Returns
    -------
    ndarray of shape (utterances, functionals)
        float32; 0 where a functional is the same in the whole group.
    """
    scaled = normalise(np.asarray(values)[:, None], manifest, kind, train)
    # Of a constant the deviation is rounding, and dividing by it would make noise of it.
    constant = (scaled.scale > 2.0**29) | (scaled.scale * np.abs(scaled.mean) > 1e6)
    return np.where(constant[scaled.group], np.float32(0), scaled[:][:, 0])


def _run_baseline(job, folder):
    started, split, emotions = time.time(), job.split, job.spec["emotions"]
    manifest = job.features.manifest
    truth = manifest["emotion"].map(emotions.index).to_numpy()
    if len(np.unique(truth[split.train])) < 2:
        raise StudyError(
            f"{job.spec['method']}, {split.name}: expected two emotions or more to train on, got "
            f"one in {len(split.train)} utterances"
        )
    with threadpool_limits(1):  # more threads are slower on so little, and round otherwise
        kind = job.recipe["normalisation"]
        inputs = standardise(job.features.values, manifest, kind, split.train)
        model = _classifier(job.recipe).fit(inputs[split.train], truth[split.train])
        probabilities = _probabilities(model, inputs[split.test], len(emotions))
    metrics = {
        "last": scores(truth[split.test], probabilities.argmax(axis=1)),
        "best_test": None,
        "validation": None,
        "utterances": {"train": len(split.train), "validation": 0, "test": len(split.test)},
        "calibrated": False,
        "seconds": time.time() - started,
        "peak_memory_mb": peak_memory(),
    }
    write_predictions(folder / "predictions.csv", manifest, split.test, emotions, probabilities)
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "environment.json", _environment())


def _classifier(recipe):
    if recipe["kind"] == "logistic":
        return LogisticRegression(C=recipe["C"], max_iter=5000)
    return SVC(kernel=recipe["kernel"], C=recipe["C"])


def _probabilities(model, inputs, classes):
    """Probabilities of all classes, 0 for those that the training part does not hold.

    Those of a support vector machine are the softmax of its decision function.
    """
    if isinstance(model, LogisticRegression):
        known = model.predict_proba(inputs)
    else:
        decision = model.decision_function(inputs)
        if decision.ndim == 1:
            decision = np.stack([-decision, decision], axis=1)
        known = softmax(decision, axis=1)
    probabilities = np.zeros((len(inputs), classes))
    probabilities[:, model.classes_] = known
    return probabilities


def _environment():
    """Describe what a number was computed with, as `experiments.environment` does with Keras."""
    packages = ("scikit-learn", "opensmile", "numpy", "scipy", "librosa", "soxr", "soundfile")
    packages += ("pandas", "joblib")
    return {
        "python": platform.python_version(),
        "packages": {name: version for name in packages if (version := _installed(name))},
        "commit": _commit(),
        "backend": "scikit-learn",
        "device": f"CPU {platform.machine()}",
        "cores": cores(),
        "threads": 1,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
