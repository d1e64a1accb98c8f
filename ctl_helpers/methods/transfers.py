"""Across corpora: train on a labelled source, adapt to an unlabelled target, score on that."""

import time
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ctl_helpers.corpora import shared_emotions
from ctl_helpers.corpora.catalogue import CROSS_CORPUS_SAMPLES
from ctl_helpers.errors import StudyError
from ctl_helpers.features.mfcc import Features, extract, resampled, settings_of
from ctl_helpers.features.normalisation import normalise, with_versions
from ctl_helpers.methods.experiments import (
    common_spec,
    compute,
    finish,
    peak_memory,
    save_model,
    write_predictions,
)
from ctl_helpers.networks.recipes import TransferRecipe
from ctl_helpers.parallel import cores
from ctl_helpers.runs.store import RunStore
from ctl_helpers.scores import scores

SPLITS = {"random": ShuffleSplit, "speaker": GroupShuffleSplit}
SCORINGS = ("transductive", "inductive")
GAMMAS = {("casia", "emodb"): 1.5, ("emodb", "casia"): 1.6, ("emodb", "savee"): 1.3}
_GAMMA = 1.5

# Halves of the plane of arousal and valence. To cluster a corpus's emotions into two halves of each
# is the way of Schuller et al., "Acoustic emotion recognition: a benchmark comparison of
# performances", ASRU 2009. Which half each emotion is in is this study's own choice; neutral and
# calm (here positive), surprise (positive) and disgust (low) lie near a border, and others may put
# them on its other side.
LABELS = {
    "emotion": None,
    "arousal": {
        **dict.fromkeys(("angry", "fear", "happy", "surprise"), "high"),
        **dict.fromkeys(("boredom", "calm", "disgust", "neutral", "sad"), "low"),
    },
    "valence": {
        **dict.fromkeys(("calm", "happy", "neutral", "surprise"), "positive"),
        **dict.fromkeys(("angry", "boredom", "disgust", "fear", "sad"), "negative"),
    },
}


@dataclass(frozen=True)
class TransferJob:
    """One run, ready to be sent to a process: its specification and its data.

    ``adapt`` and ``test`` are rows of the target: what is adapted to, and what is scored.
    """

    spec: dict
    source: Features
    target: Features
    adapt: np.ndarray
    test: np.ndarray
    recipe: TransferRecipe
    store: RunStore
    threads: int
    versions: tuple[tuple[Features, ...], tuple[Features, ...]] = ((), ())


def pairs(names):
    """All ordered pairs of corpora.

    Examples
    --------
    >>> pairs(["casia", "emodb"])
    [('casia', 'emodb'), ('emodb', 'casia')]
    """
    return list(permutations(names, 2))


def transfer_features(manifest, settings="released", jobs=None, cache=None):
    """Extract features of the length that all corpora share: 96 000 samples, 4.35 s.

    Parameters
    ----------
    manifest : DataFrame
        As :func:`ctl_helpers.corpora.load_manifest` gives it.
    settings : FeatureSettings or {"released", "paper", "pitch", "moments"}
        See :data:`ctl_helpers.features.mfcc.PRESETS`; a recipe names its own in ``features``. Its
        `samples` gives way to the shared length.
    jobs, cache
        See :func:`ctl_helpers.features.mfcc.extract`.

    Returns
    -------
    Features
    """
    settings = replace(settings_of(settings), samples=CROSS_CORPUS_SAMPLES)
    return extract(manifest, settings, jobs=jobs, cache=cache)


def transfer(
    source,
    target,
    recipe,
    *,
    method="caam-released",
    seeds=(0,),
    scoring="transductive",
    labels="emotion",
    store,
    jobs=None,
):
    """Train on one corpus, adapt to another without its labels, and score there.

    The last epoch is scored: without labels of the target there is nothing to pick another by.

    Parameters
    ----------
    source, target : Features
        Of different corpora, with the same settings; see :func:`transfer_features`. Utterances
        whose emotion the other corpus does not have are left out.
    recipe : TransferRecipe
        How to train. Its normalisation is applied to both corpora; ``"global"`` takes the source's
        statistics.
    method : str
        One of :data:`ctl_helpers.networks.adaptation.METHODS`.
    seeds : iterable of int
        A run for each.
    scoring : {"transductive", "inductive"}
        ``"transductive"``, as published: adapt to all of the target, score all of it.
        ``"inductive"``: adapt to one half of the target's speakers, drawn by the seed, and score
        the other half; and the other way round, in a second run.
    labels : {"emotion", "arousal", "valence"}
        What is told apart: the emotions, or the halves they lie in; see ``LABELS``.
    store : RunStore or path
        What is there is not computed again.
    jobs : int, optional
        Runs side by side, each on its share of the cores; by default one per core.

    Returns
    -------
    pandas.DataFrame
        The runs, as :func:`ctl_helpers.results.runs.load_runs` gives them; ``protocol`` is the scoring.

    Raises
    ------
    StudyError
        Where the corpora do not fit together, or a parameter is unknown.

    References
    ----------
    Wen, Ye et al., "CTL-MTNet", IJCAI 2022, sections 3.2 and 4.
    """
    from ctl_helpers.networks.adaptation import METHODS

    for name, value, allowed in (
        ("method", method, METHODS),
        ("scoring", scoring, SCORINGS),
        ("labels", labels, LABELS),
    ):
        if value not in allowed:
            raise StudyError(f"{name}: expected one of {', '.join(allowed)}, got {value!r}")
    if not isinstance(recipe, TransferRecipe):
        raise StudyError(f"recipe: expected a TransferRecipe, got {type(recipe).__name__}")
    source, target = shared(source, target, labels)
    classes = shared_emotions(source.manifest, target.manifest)
    names = [_name(source), _name(target)]
    if recipe.gamma is None:
        recipe = replace(recipe, gamma=GAMMAS.get(tuple(names), _GAMMA))
    store = store if isinstance(store, RunStore) else RunStore(store)
    threads = max(1, cores() // (jobs or cores()))
    versions = tuple(resampled(side, recipe.resampled, jobs) for side in (source, target))
    todo = []
    for seed in seeds:
        for split, adapt, test in _splits(target.manifest, scoring, seed):
            spec = {
                "task": "transfer",
                "source": names[0],
                "target": names[1],
                "protocol": scoring,
                "split": split,
                "test": sorted(map(int, test)),
                "method": method,
                "labels": labels,
            }
            spec |= common_spec(recipe, seed, "last", [source.key, target.key], classes)
            sides = (source, target, adapt, test)
            todo.append(TransferJob(spec, *sides, recipe, store, threads, versions))
    title = f"{names[0]} to {names[1]} {method} {recipe.name}"
    return compute(todo, _run_transfer, store, jobs, title)


def shared(source, target, labels="emotion"):
    """Keep what both corpora have in common, under the labels asked for; see :func:`transfer`."""
    shapes = [features.values.shape[1:] for features in (source, target)]
    if source.settings != target.settings or shapes[0] != shapes[1]:
        raise StudyError(
            "transfer: expected features of both corpora with the same settings, as "
            f"transfer_features gives them, got {source.settings} and {target.settings}"
        )
    if both := set(source.manifest["corpus"]) & set(target.manifest["corpus"]):
        raise StudyError(f"transfer: expected two corpora, got {min(both)!r} as source and target")
    source, target = (_relabelled(features, LABELS[labels]) for features in (source, target))
    classes = shared_emotions(source.manifest, target.manifest)
    if len(classes) < 2:
        raise StudyError(
            f"transfer: expected two emotions or more that {_name(source)} and {_name(target)} "
            f"share; shared emotions found: {', '.join(classes) or 'none'}"
        )
    kept = [
        features.select(np.flatnonzero(features.manifest["emotion"].isin(classes)))
        for features in (source, target)
    ]
    return kept


def _relabelled(features, mapping):
    if mapping is None:
        return features
    mapped = features.manifest["emotion"].map(mapping)
    known = features.select(np.flatnonzero(mapped.notna()))
    return replace(known, manifest=known.manifest.assign(emotion=mapped.dropna().to_numpy()))


def _name(features):
    return "+".join(features.manifest["corpus"].unique())


def _splits(manifest, scoring, seed):
    """Name, adapted and scored rows of the target, for each run of a seed."""
    rows = np.arange(len(manifest))
    if scoring == "transductive":
        return [("all", rows, rows)]
    speakers = (manifest["corpus"] + " " + manifest["speaker"]).to_numpy(object)
    names = np.random.default_rng(seed).permutation(np.unique(speakers))
    if (manifest["speaker"] == "").any() or len(names) < 2:
        raise StudyError(
            "scoring 'inductive': expected a target of two speakers or more, each utterance's "
            f"known, got {len(names)} in {manifest['corpus'].iloc[0]!r}"
        )
    first = np.isin(speakers, names[: len(names) // 2])
    return [("half 0", rows[first], rows[~first]), ("half 1", rows[~first], rows[first])]


def _normalised(job):
    """Normalise both corpora and their versions."""
    # A corpus's versions have statistics of their own, also where the target's are of some rows.
    own = job.adapt if job.recipe.normalisation == "corpus" else None
    x_source, x_target = _recordings_normalised(job)
    x_source = with_versions(x_source, job.versions[0], job.source.manifest)
    return x_source, with_versions(x_target, job.versions[1], job.target.manifest, own)


def _recordings_normalised(job):
    """Normalise both corpora; nothing is learned from target speakers that are but scored."""
    kind, source, target = job.recipe.normalisation, job.source, job.target
    frames = [side.speech if job.recipe.padding == "zeroed" else None for side in (source, target)]
    every = np.arange(len(source.manifest))
    x_source = normalise(source.values, source.manifest, kind, every, frames[0])
    if kind == "global":
        return x_source, replace(
            x_source,
            values=target.values,
            group=np.zeros(len(target.manifest), int),
            speech=frames[1],
        )
    if kind == "corpus" and target.manifest["corpus"].nunique() == 1:
        x_target = normalise(target.values, target.manifest, "global", job.adapt, frames[1])
        return x_source, x_target
    return x_source, normalise(target.values, target.manifest, kind, speech=frames[1])


def _run_transfer(job, folder):
    from ctl_helpers.networks import adaptation, backend, cpac, training
    from ctl_helpers.networks.losses import one_hot

    started, recipe, spec = time.time(), job.recipe, job.spec
    backend.prepare(spec["seed"], job.threads)
    classes, manifests = spec["emotions"], (job.source.manifest, job.target.manifest)
    truth = [manifest["emotion"].map(classes.index).to_numpy() for manifest in manifests]
    x_source, x_target = _normalised(job)
    rows = np.arange(len(manifests[0]))

    shape = job.source.values.shape[1:]
    model = adaptation.predictor(*shape, len(classes), **training.network(recipe))
    trained = adaptation.training_model(model, spec["method"], recipe)
    length = max(len(rows), len(job.adapt))
    training.compile_model(trained, recipe, length)
    labels = one_hot(truth[0], len(classes), recipe.smoothing)
    batches = training.Pairs(
        (x_source, rows), (x_target, job.adapt), labels, recipe=recipe, seed=spec["seed"]
    )
    if adaptation.METHODS[spec["method"]] is None:
        batches = batches.source
    follow = training.Follow(trained, None, recipe, None, None, folder)
    training.fit_batches(trained, batches, follow)

    told = cpac.with_embedding(model)
    probabilities, embeddings = training.predict(told, x_target, job.test, recipe)
    metrics = {
        "last": scores(truth[1][job.test], probabilities.argmax(axis=1)),
        "best_test": None,
        "validation": None,
        "utterances": {"train": len(rows), "adapt": len(job.adapt), "test": len(job.test)},
        "epochs": recipe.epochs,
        "parameters": model.count_params(),
        "seconds": time.time() - started,
        "peak_memory_mb": peak_memory(),
    }
    write_predictions(folder / "predictions.csv", manifests[1], job.test, classes, probabilities)
    np.savez_compressed(
        folder / "embeddings.npz",
        embeddings=embeddings,
        source_embeddings=training.predict(told, x_source, rows, recipe)[1],
        source_emotions=manifests[0]["emotion"].to_numpy(str),
    )
    pd.DataFrame(follow.history).to_csv(folder / "history.csv", index=False, float_format="%.6g")
    save_model(model, x_target, folder)
    finish(folder, metrics, job.threads)


def svm_on_features(run, split="random", repeats=10, seed=0):
    """Score a linear SVM on a run's embeddings of the target: table S5 of the paper's appendix.

    Unlike :func:`transfer` this needs labels of the target: 80 % of it trains the SVM, 20 % tests.

    Parameters
    ----------
    run : path
        A run's folder.
    split : {"random", "speaker"}
        ``"random"`` draws utterances, as published; ``"speaker"`` draws whole speakers.
    repeats : int
        Draws.
    seed : int
        Of the draws.

    Returns
    -------
    pandas.DataFrame
        A row per draw: split, repeat, uar, war (fractions), train and test (utterances).

    Raises
    ------
    StudyError
        For an unknown split, a run without embeddings, or a target of a single speaker.

    References
    ----------
    Wen, Ye et al., "CTL-MTNet", IJCAI 2022, table S5.
    """
    if split not in SPLITS:
        raise StudyError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    embeddings, table = _embedded(Path(run))
    speakers = table["speaker"].to_numpy()
    if split == "speaker" and len(set(speakers)) < 2:
        raise StudyError(f"{run}: expected two speakers or more, got {len(set(speakers))}")
    draws = SPLITS[split](repeats, test_size=0.2, random_state=seed)
    truth, rows = table["emotion"].to_numpy(), []
    groups = speakers if split == "speaker" else None
    for repeat, (train, test) in enumerate(draws.split(embeddings, truth, groups)):
        machine = make_pipeline(StandardScaler(), SVC(kernel="linear"))
        machine.fit(embeddings[train], truth[train])
        found = scores(truth[test], machine.predict(embeddings[test]))
        row = {"split": split, "repeat": repeat, "uar": found["uar"], "war": found["war"]}
        rows.append(row | {"train": len(train), "test": len(test)})
    return pd.DataFrame(rows)


def _embedded(run):
    try:
        with np.load(run / "embeddings.npz", allow_pickle=False) as arrays:
            embeddings = arrays["embeddings"]
        table = pd.read_csv(run / "predictions.csv", dtype=str, keep_default_na=False)
    except (OSError, KeyError, ValueError) as error:
        raise StudyError(
            f"{run}: expected a run with embeddings.npz and predictions.csv, got: {error}"
        ) from error
    return embeddings, table
