"""Shallow baselines: functionals of an utterance and a linear or kernel classifier.

They stand on the same splits and in the same tables as the networks, and need no Keras.
"""

import platform
import time
from importlib import metadata

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from ctl_helpers.corpora import shared_emotions
from ctl_helpers.errors import StudyError
from ctl_helpers.features.functionals import (
    FEATURE_SETS,
    FORMAT,
    Functionals,
    check_opensmile,
    describe,
)
from ctl_helpers.features.normalisation import normalise
from ctl_helpers.methods.experiments import (
    Job,
    _commit,
    _installed,
    compute,
    emotions_of,
    peak_memory,
    write_predictions,
)
from ctl_helpers.parallel import cores
from ctl_helpers.protocols.inside import K_FOLDS, Split, make_splits, pick_splits
from ctl_helpers.runs.store import RunStore, write_json
from ctl_helpers.scores import scores

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
        :func:`ctl_helpers.features.functionals.mfcc_statistics`), a plus sign and a classifier
        (``linear`` and ``rbf`` support vector machines, ``logistic`` regression).
    features : Features, optional
        MFCC that are at hand, for the ``mfcc`` methods; by default the ``released`` preset.
    protocol : str
        See :func:`ctl_helpers.protocols.inside.make_splits`.
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
        The runs, as :func:`ctl_helpers.results.runs.load_runs` gives them, of the task ``baseline``.
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
    found = describe(manifest, METHODS[method][0], features, jobs)
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
        One run, as :func:`ctl_helpers.results.runs.load_runs` gives it, of the task ``transfer`` and the
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
        describe(side, METHODS[method][0], jobs=jobs, across=True)
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
        check_opensmile(method)
        packages.append("opensmile")
    return {
        "method": method,
        "recipe": {"name": "", "normalisation": normalisation, **CLASSIFIERS[classifier]},
        "seed": 0,  # nothing is drawn
        "selection": "last",
        "versions": {name: metadata.version(name) for name in packages} | {"format": FORMAT},
    }


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
        See :func:`ctl_helpers.features.normalisation.normalise`.
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
