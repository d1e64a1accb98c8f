"""A run store filled with invented numbers, for the tests of results, tables and figures."""

import zlib

import numpy as np
import pandas as pd

from ctl_helpers.results import statistics
from ctl_helpers.runs.store import RunStore, write_json

EMOTIONS = {
    "emodb": ["angry", "boredom", "disgust", "fear", "happy", "neutral", "sad"],
    "casia": ["angry", "fear", "happy", "neutral", "sad", "surprise"],
}
SHARED = ["angry", "fear", "happy", "neutral", "sad"]
SPEAKERS = {
    "emodb": ["03", "08", "09", "10", "11", "12", "13", "14", "15", "16"],
    "casia": ["ZhaoZuoxiang", "liuchanhg", "wangzhe", "zhaoquanyin"],
}


def predictions(corpus, emotions, utterances, accuracy, seed, speakers=None):
    """Invent predictions: mostly right, wrong more often between angry and happy."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(len(emotions), size=utterances)
    logits = generator.normal(0, 1, (utterances, len(emotions)))
    logits[np.arange(utterances), truth] += 4 * accuracy
    angry, happy = emotions.index("angry"), emotions.index("happy")
    logits[truth == happy, angry] += 1.2
    p = np.exp(1.5 * logits)
    p /= p.sum(axis=1, keepdims=True)
    names = np.array(emotions)
    frame = pd.DataFrame(
        {
            "utterance": [f"wav/{seed}_{i:04d}.wav" for i in range(utterances)],
            "corpus": corpus,
            "speaker": generator.choice(speakers or SPEAKERS[corpus], utterances),
            "sex": "f",
            "emotion": names[truth],
            "predicted": names[p.argmax(axis=1)],
        }
    )
    return frame.join(pd.DataFrame(p, columns=[f"p_{name}" for name in emotions]))


def history(epochs, accuracy, seed):
    """Invent learning curves that saturate, with noise on the test part."""
    generator = np.random.default_rng(seed)
    epoch = np.arange(1, epochs + 1)
    rise = 1 - np.exp(-epoch / (epochs / 5))
    return pd.DataFrame(
        {
            "epoch": epoch,
            "loss": 0.6 * (1 - 0.9 * rise) + generator.normal(0, 0.01, epochs),
            "accuracy": 0.15 + 0.84 * rise + generator.normal(0, 0.01, epochs),
            "test_war": 0.15 + (accuracy - 0.15) * rise + generator.normal(0, 0.02, epochs),
            "test_uar": 0.13 + (accuracy - 0.15) * rise + generator.normal(0, 0.02, epochs),
        }
    )


def add_run(store, *, split, seed=0, selection="last", accuracy=0.8, epochs=30, **spec):
    """Put one run into the store."""
    corpus = spec.get("corpus") or spec["target"]
    emotions = EMOTIONS[corpus] if spec["task"] != "transfer" else SHARED
    place = [spec.get(name, "") for name in ("corpus", "source", "target", "protocol")]
    noise = zlib.crc32(" ".join([*place, split, str(seed)]).encode())  # paired between methods
    speakers = [split.removeprefix("speaker ")] if split.startswith("speaker") else None
    frame = predictions(corpus, emotions, 54, accuracy, noise, speakers)
    last = statistics.scores(frame["emotion"], frame["predicted"])
    metrics = {
        "last": last,
        "best_test": None,
        "validation": None,
        "utterances": {"train": 9 * len(frame), "validation": 0, "test": len(frame)},
        **{"epochs": epochs, "seconds": 60.0, "peak_memory_mb": 900.0, "parameters": 321_799},
    }
    place = np.random.default_rng(noise).normal(size=(100 + len(frame), 8))
    place[:100] += 3.0 if spec.get("method") == "source-only" else 0.5  # source away from target
    if selection == "best_test":
        metrics["best_test"] = {key: min(1.0, value + 0.04) for key, value in last.items()}
    full = {"split": split, "seed": seed, "selection": selection, "emotions": emotions, **spec}

    def function(folder):
        write_json(folder / "metrics.json", metrics)
        frame.to_csv(folder / "predictions.csv", index=False)
        history(epochs, accuracy, noise).to_csv(folder / "history.csv", index=False)
        if spec["task"] == "transfer":
            spoken = np.resize(emotions, 100)
            z = {"source_embeddings": place[:100], "embeddings": place[100:]}
            np.savez(folder / "embeddings.npz", source_emotions=spoken, **z)

    return store.compute(full, function)


def recipe(name, normalisation="none"):
    return {"name": name, "normalisation": normalisation, "epochs": 30}


def fill(root, folds=10, seeds=(0,)):
    """Fill a store with k-fold and leave-one-speaker-out runs of both corpora, and one pair."""
    store = RunStore(root)
    common = {"task": "cpac", "method": "cpac"}
    for corpus in EMOTIONS:
        for seed in seeds:
            for fold in range(folds):
                run = {**common, "corpus": corpus, "protocol": "kfold", "split": f"fold {fold}"}
                released = {"recipe": recipe("released"), "selection": "best_test"}
                add_run(store, seed=seed, accuracy=0.7, **released, **run)
                add_run(store, seed=seed, accuracy=0.9, recipe=recipe("modern", "global"), **run)
        for speaker in SPEAKERS[corpus]:
            run = {**common, "corpus": corpus, "protocol": "loso", "split": f"speaker {speaker}"}
            add_run(store, accuracy=0.6, recipe=recipe("modern", "global"), **run)
    for source, target in (("emodb", "casia"), ("casia", "emodb")):
        for method, accuracy in (("source-only", 0.2), ("caam-released", 0.25), ("caam-mdd", 0.3)):
            for seed in range(3):
                run = {"task": "transfer", "source": source, "target": target, "split": "all"}
                run |= {"protocol": "transductive", "method": method, "recipe": recipe("released")}
                add_run(store, seed=seed, accuracy=accuracy, **run)
    return store


def fill_conditions(root):
    """Fill a store with a network and a shallow method, each under two normalisations."""
    store = RunStore(root)
    for kind in ("global", "speaker"):
        common = {"corpus": "emodb", "protocol": "kfold"}
        for fold in range(3):
            common["split"] = f"fold {fold}"
            network = {"task": "cpac", "method": "cpac", "recipe": recipe("modern", kind)}
            shallow = {"task": "baseline", "method": "egemaps+rbf", "recipe": recipe("", kind)}
            add_run(store, accuracy=0.9, **network, **common)
            add_run(store, accuracy=0.4, **shallow, **common)
    return store


def one_condition(runs, predictions, **values):
    """Keep the predictions of the runs with these values."""
    for column, value in values.items():
        runs = runs[runs[column] == value]
    return predictions[predictions["run"].isin(runs["run"])]
