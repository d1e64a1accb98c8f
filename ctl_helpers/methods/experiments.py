"""Experiments: from features and a recipe to runs in a store."""

import os
import resource
import subprocess
import time
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from ctl_helpers.corpora import EMOTIONS
from ctl_helpers.errors import StudyError
from ctl_helpers.features.mfcc import Features, resampled
from ctl_helpers.features.normalisation import normalise, with_versions
from ctl_helpers.networks.recipes import Recipe
from ctl_helpers.parallel import cores, parallel_map
from ctl_helpers.protocols.inside import K_FOLDS, Split, make_splits, pick_splits, validation_part
from ctl_helpers.results.runs import load_runs
from ctl_helpers.runs.store import RunStore, write_json
from ctl_helpers.scores import scores

SELECTIONS = ("last", "validation", "best_test")
_FORMAT = 2  # part of every specification: raise it when the same one gives other numbers


@dataclass(frozen=True)
class Job:
    """One run, ready to be sent to a process: its specification and its data."""

    spec: dict
    features: Features
    split: Split
    recipe: Recipe
    store: RunStore
    threads: int
    versions: tuple[Features, ...] = ()


def cross_validate(
    features,
    recipe,
    *,
    protocol="kfold",
    folds=10,
    seeds=(0,),
    selection="last",
    store,
    jobs=None,
    only=None,
):
    """Train and score CPAC on every split of a protocol.

    Parameters
    ----------
    features : Features
        Of one corpus.
    recipe : Recipe
        How to train.
    protocol : str
        See :func:`ctl_helpers.protocols.inside.make_splits`.
    folds : int
        Of the k-fold protocols.
    seeds : iterable of int
        A run for each, on every split.
    selection : {"last", "validation", "best_test"}
        The epoch that is scored: the last; the best on a tenth of the training part (whole speakers
        where the protocol holds speakers out); or the best on the test part, which is the released
        procedure and optimistic.
    store : RunStore or path
        What is there is not computed again.
    jobs : int, optional
        Runs side by side, each on its share of the cores; by default one per core.
    only : iterable of int, optional
        Indices of the splits to run, in place of all.

    Returns
    -------
    pandas.DataFrame
        The runs, as :func:`ctl_helpers.results.runs.load_runs` gives them.

    Raises
    ------
    StudyError
        Where the corpus does not allow the protocol, or a parameter is unknown.

    References
    ----------
    Wen, Ye et al., "CTL-MTNet", IJCAI 2022, section 4.
    """
    if selection not in SELECTIONS:
        raise StudyError(f"selection: expected one of {', '.join(SELECTIONS)}, got {selection!r}")
    emotions = emotions_of(features.manifest)
    splits = pick_splits(make_splits(features.manifest, protocol, folds), only)
    store = store if isinstance(store, RunStore) else RunStore(store)
    threads = max(1, cores() // (jobs or cores()))
    corpus = "+".join(features.manifest["corpus"].unique())
    versions, todo = resampled(features, recipe.resampled, jobs), []
    for seed in seeds:
        for split in splits:
            spec = {
                "task": "cpac",
                "corpus": corpus,
                "protocol": protocol,
                "split": split.name,
                "test": sorted(map(int, split.test)),
                "method": "cpac",
            }
            if protocol in K_FOLDS:
                spec["folds"] = folds
            spec |= common_spec(recipe, seed, selection, features.key, emotions)
            todo.append(Job(spec, features, split, recipe, store, threads, versions))
    return compute(todo, _run_cpac, store, jobs, f"{corpus} {protocol} {recipe.name}")


def emotions_of(manifest):
    """Emotions of a manifest in the study's order.

    Raises
    ------
    StudyError
        When there is but one: nothing to tell apart.
    """
    present = set(manifest["emotion"])
    if len(present) < 2:
        raise StudyError(
            f"corpus {manifest['corpus'].iloc[0]!r}: expected two emotions or more, "
            f"found {', '.join(present)}"
        )
    known = [emotion for emotion in EMOTIONS if emotion in present]
    return known + sorted(present - set(known))


def common_spec(recipe, seed, selection, features, emotions):
    """Give the part of a specification that all kinds of runs share."""
    from ctl_helpers.networks import backend

    return {
        "recipe": _told(recipe),
        "seed": int(seed),
        "selection": selection,
        "features": features,
        "emotions": list(emotions),
        "versions": backend.versions() | {"format": _FORMAT},
    }


def _told(recipe):
    """Give a recipe's fields, later ones only where they are used; older runs keep their names."""
    told = asdict(recipe)
    return told if told["resampled"] else {k: v for k, v in told.items() if k != "resampled"}


def compute(todo, function, store, jobs, description):
    """Compute what is missing of a list of jobs, in parallel; return all of them as rows."""
    missing = [job for job in todo if not store.has(job.spec)]
    parallel_map(partial(_compute_one, function), missing, jobs, description, unit="run")
    wanted = {store.folder(job.spec).name for job in todo}
    runs = load_runs(store)
    return runs[runs["run"].isin(wanted)].reset_index(drop=True)


def _compute_one(function, job):
    job.store.compute(job.spec, partial(function, job))


def _run_cpac(job, folder):
    from ctl_helpers.networks import backend, cpac, training
    from ctl_helpers.networks.losses import one_hot

    started, recipe, split, manifest = time.time(), job.recipe, job.split, job.features.manifest
    backend.prepare(job.spec["seed"], job.threads)
    emotions, selection = job.spec["emotions"], job.spec["selection"]
    truth = manifest["emotion"].map(emotions.index).to_numpy()
    train, watch = split.train, None
    if selection == "validation":
        train, validation = validation_part(split, manifest, seed=job.spec["seed"])
        watch = ("validation", validation)
    elif selection == "best_test":
        watch = ("test", split.test)
    speech = job.features.speech if recipe.padding == "zeroed" else None
    features = normalise(job.features.values, manifest, recipe.normalisation, train, speech)
    features = with_versions(features, job.versions, manifest)

    model = cpac.cpac(*job.features.values.shape[1:], len(emotions), **training.network(recipe))
    training.compile_model(model, recipe, len(train))
    labels = one_hot(truth, len(emotions), recipe.smoothing)
    follow = training.fit(
        model,
        features,
        labels,
        train,
        recipe,
        seed=job.spec["seed"],
        watch=watch,
        truth=truth,
        folder=folder,
    )
    if selection == "validation":
        model.set_weights(follow.best["weights"])
    told = cpac.with_embedding(model)
    probabilities, embeddings = training.predict(told, features, split.test, recipe)
    metrics = {"last": None, "best_test": None, "validation": None}
    found = scores(truth[split.test], probabilities.argmax(axis=1))
    if selection == "best_test":
        write_predictions(
            folder / "predictions_last.csv", manifest, split.test, emotions, probabilities
        )
        metrics["last"] = found
        probabilities = follow.best["probabilities"]
        found = scores(truth[split.test], probabilities.argmax(axis=1))
    metrics[selection] = found if selection == "last" else found | {"epoch": follow.best["epoch"]}
    metrics |= {
        "utterances": {
            "train": len(train),
            "validation": len(split.train) - len(train),
            "test": len(split.test),
        },
        "epochs": recipe.epochs,
        "parameters": model.count_params(),
        "seconds": time.time() - started,
        "peak_memory_mb": peak_memory(),
    }
    write_predictions(folder / "predictions.csv", manifest, split.test, emotions, probabilities)
    np.savez_compressed(folder / "embeddings.npz", embeddings=embeddings.astype(np.float32))
    pd.DataFrame(follow.history).to_csv(folder / "history.csv", index=False, float_format="%.6g")
    save_model(model, features, folder)
    finish(folder, metrics, job.threads)


def save_model(model, features, folder):
    """Save the network as ``model.keras``, and the statistics that its input was scaled by."""
    model.save(folder / "model.keras")
    if features.kind == "global":
        np.savez(folder / "normalisation.npz", mean=features.mean, scale=features.scale)


def write_predictions(path, manifest, rows, emotions, probabilities):
    """Write a row per tested utterance: who, what was said, what was heard, how surely."""
    part = manifest.iloc[rows]
    frame = pd.DataFrame({"utterance": utterance_names(manifest)[rows]})
    for column in ("corpus", "speaker", "sex", "emotion"):
        frame[column] = part[column].to_numpy()
    frame["predicted"] = np.array(emotions)[probabilities.argmax(axis=1)]
    for position, emotion in enumerate(emotions):
        frame[f"p_{emotion}"] = probabilities[:, position]
    frame.to_csv(path, index=False, float_format="%.6g")


def utterance_names(manifest):
    """Paths from the folder that a corpus's recordings have in common, whatever the machine."""
    names = np.empty(len(manifest), object)
    for rows in manifest.groupby("corpus").indices.values():
        paths = manifest["path"].to_numpy()[rows]
        base = os.path.commonpath([os.path.dirname(path) for path in paths])
        names[rows] = [Path(path).relative_to(base).as_posix() for path in paths]
    return names


def finish(folder, metrics, threads):
    """Write the metrics and where they were computed; drop the checkpoint."""
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "environment.json", environment(threads))
    for leftover in folder.glob("checkpoint*"):
        leftover.unlink()


def peak_memory():
    """Greatest resident memory of this process so far, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def environment(threads):
    """Describe what a number was computed with: packages, commit, backend, device."""
    import platform

    import keras

    from ctl_helpers.networks import backend

    packages = ("tensorflow", "tensorflow-cpu", "jax", "torch", "keras", "numpy", "scipy")
    packages += ("librosa", "soxr", "soundfile", "scikit-learn", "pandas", "joblib")
    return {
        "python": platform.python_version(),
        "packages": {name: version for name in packages if (version := _installed(name))},
        "commit": _commit(),
        "backend": keras.backend.backend(),
        "device": backend.device(),
        "cores": cores(),
        "threads": threads,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _installed(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit():
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    here = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
