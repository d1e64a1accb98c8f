"""A whole cross-validation: ours against one written as the released code does it.

Every repetition is a process of its own, timed from start to end, imports and all.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.measure import interleave, ratios, seconds, spread, table
from ctl_helpers.corpora import load_manifest
from ctl_helpers.features.mfcc import Features, FeatureSettings, extract
from ctl_helpers.networks.recipes import recipe
from ctl_helpers.protocols.inside import make_splits

EMODB = {
    "angry": 127,
    "boredom": 81,
    "disgust": 46,
    "fear": 69,
    "happy": 71,
    "neutral": 79,
    "sad": 62,
}
CASIA = dict.fromkeys(("angry", "fear", "happy", "neutral", "sad", "surprise"), 200)
WAYS = {
    "plain": "as released: fit one epoch, evaluate, predict, again",
    "best_test": "ours, scored at every epoch as released",
    "last": "ours, scored once",
    "bfloat16": "ours in bfloat16, scored once",
}


def report(repetitions, folds, epochs, corpora=None):
    """Measure and write the table of cross-validations; return it and the numbers."""
    with tempfile.TemporaryDirectory() as folder:
        features = corpus_features("emodb", corpora)
        np.save(Path(folder) / "values.npy", features.values)
        features.manifest.to_csv(Path(folder) / "manifest.csv", index=False)

        def run(way):
            command = [sys.executable, "-m", "benchmarks.folds", way, folder]
            subprocess.run([*command, str(folds), str(epochs)], check=True)

        functions = {way: lambda way=way: seconds(lambda: run(way)) for way in WAYS}
        found = interleave(functions, repetitions)
    rows = [
        [told, spread(found[way]), spread(ratios(found["plain"], found[way]))]
        for way, told in WAYS.items()
    ]
    size = " x ".join(map(str, features.values.shape))
    head = ["cross-validation", "seconds", "times as fast"]
    return f"{folds} folds, {epochs} epochs, EmoDB's size ({size}).\n\n" + table(head, rows), found


def corpus_features(name, corpora=None):
    """Features of EmoDB or CASIA, or noise of the same size where the corpus is not at hand."""
    if corpora:
        return extract(load_manifest(corpora, name), "released")
    counts, frames, speakers = {"emodb": (EMODB, 188, 10), "casia": (CASIA, 172, 4)}[name]
    emotions = [emotion for emotion, count in counts.items() for _ in range(count)]
    values = np.random.default_rng(0).normal(size=(len(emotions), frames, 39))
    manifest = pd.DataFrame(
        {
            "path": [f"/{name}/{row}.wav" for row in range(len(emotions))],
            "corpus": name,
            "emotion": emotions,
            "speaker": [str(row % speakers) for row in range(len(emotions))],
            "sex": "",
        }
    )
    return features_of(values.astype(np.float32), manifest)


def features_of(values, manifest):
    """Make features of values that come from elsewhere."""
    speech = np.tile([0, values.shape[1]], (len(values), 1))
    return Features(values, manifest, FeatureSettings(), "benchmark", speech)


def main(way, folder, folds, epochs):
    """Run one cross-validation on what lies in a folder."""
    manifest = pd.read_csv(Path(folder) / "manifest.csv", dtype=str, keep_default_na=False)
    values = np.load(Path(folder) / "values.npy", mmap_mode="r", allow_pickle=False)
    if way == "plain":
        from benchmarks.plain import released_cross_validation

        truth = pd.factorize(manifest["emotion"], sort=True)[0]
        splits = make_splits(manifest, "kfold", int(folds))
        released_cross_validation(values, truth, splits, int(epochs))
        return
    from ctl_helpers.methods.experiments import cross_validate

    precision = "bfloat16" if way == "bfloat16" else "float32"
    with tempfile.TemporaryDirectory() as store:
        cross_validate(
            features_of(values, manifest),
            recipe("released", epochs=int(epochs), precision=precision),
            folds=int(folds),
            selection="best_test" if way == "best_test" else "last",
            store=store,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
