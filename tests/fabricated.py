"""A run store filled with invented numbers, for the tests of results, tables and figures."""

import zlib

import numpy as np
import pandas as pd

from ctl_helpers.networks.recipes import RECIPES, TRANSFER_RECIPES
from ctl_helpers.runs import FORMAT
from ctl_helpers.runs.store import RunStore, file_hash, write_json
from ctl_helpers.scores import scores

EMOTIONS = {
    "emodb": ["angry", "boredom", "disgust", "fear", "happy", "neutral", "sad"],
    "casia": ["angry", "fear", "happy", "neutral", "sad", "surprise"],
}
SHARED = ["angry", "fear", "happy", "neutral", "sad"]
SPEAKERS = {
    "emodb": ["03", "08", "09", "10", "11", "12", "13", "14", "15", "16"],
    "casia": ["ZhaoZuoxiang", "liuchanhg", "wangzhe", "zhaoquanyin"],
}
UTTERANCES = {"casia": 120}  # of a fold; 54 of other corpora
KINDS = {"source-only": "adaptation", "caam-released": "adaptation", "caam-mdd": "adaptation"}
KINDS |= {"cpac": "network", "timnet": "network"}


def predictions(corpus, emotions, utterances, accuracy, part, speakers=None, seed=0):
    """Invent predictions of a test part: mostly right, wrong more often between angry and happy."""
    generator = np.random.default_rng(part)
    truth = generator.integers(len(emotions), size=utterances)
    who = generator.choice(speakers or SPEAKERS.get(corpus, ["1", "2"]), utterances)
    logits = np.random.default_rng([part, seed]).normal(0, 1, (utterances, len(emotions)))
    logits[np.arange(utterances), truth] += 4 * accuracy
    if {"angry", "happy"} <= set(emotions):
        logits[truth == emotions.index("happy"), emotions.index("angry")] += 1.2
    p = np.exp(1.5 * logits)
    p /= p.sum(axis=1, keepdims=True)
    names = np.array(emotions)
    frame = pd.DataFrame(
        {
            "utterance": [f"wav/{part}_{i:04d}.wav" for i in range(utterances)],
            "corpus": corpus,
            "speaker": who,
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


def add_run(
    store,
    *,
    split,
    corpus="",
    source="",
    target="",
    protocol="kfold",
    method="cpac",
    recipe=None,
    seed=0,
    selection="last",
    accuracy=0.8,
    epochs=30,
    labels="emotion",
    classes=None,
    folds=None,
    of_folds=None,
    utterances=None,
    division=98,
    speakers=None,
    synthetic=False,
    finished="2026-01-01T00:00:00Z",
    rows="",
    features="abc",
    more=None,
    data="",
    corpora=(),
):
    """Put one run into the store."""
    tested = corpus or target
    utterances = utterances or UTTERANCES.get(corpus, 54)
    classes = classes or (SHARED if source else EMOTIONS[corpus])
    place = [corpus, source, target, protocol, split]
    noise = zlib.crc32(" ".join(place).encode())  # paired between methods
    if split.startswith("speaker"):
        speakers = [split.removeprefix("speaker ")]
    last = predictions(tested, classes, utterances, accuracy, noise, speakers, seed)
    blocks = {"validation" if selection == "validation" else "last": last}
    if selection == "best_test":
        better = last.copy()
        wrong = better.index[better["emotion"] != better["predicted"]][:3]
        better.loc[wrong, "predicted"] = better.loc[wrong, "emotion"]
        blocks["best_test"] = better
    frame = pd.concat(blocks, names=["selection"]).reset_index("selection")
    kind = "fusion" if method.startswith("mean(") else KINDS.get(method, "shallow")
    spec = {
        "format": FORMAT,
        "problem": {
            **{"corpus": corpus, "source": source, "target": target, "protocol": protocol},
            **{"folds": folds, "split": split, "labels": labels, "classes": classes},
            **{"rows": rows or f"{noise:08x}", "division": division},
        },
        "method": {
            **{"name": method, "kind": kind, "features": features},
            "recipe": recipe or {"name": "", "normalisation": "global"},
            **(more or {}),
        },
        **{"seed": seed, "selection": selection, "versions": {}},
    }
    record = {
        "scores": {name: scores(b["emotion"], b["predicted"]) for name, b in blocks.items()},
        "utterances": {"train": 9 * utterances, "validation": 0, "test": utterances},
        "of_folds": None if source else (of_folds or folds),
        "of_utterances": None if source else (of_folds or folds or 10) * utterances,
        **{"epochs": epochs, "seconds": 60.0, "peak_memory_mb": 900.0, "parameters": 321_799},
        **({"data": data, "corpora": {tested: data.split()[0], **dict(corpora)}} if data else {}),
        **{"synthetic": synthetic, "environment": {"commit": "0" * 40, "finished": finished}},
    }
    points = np.random.default_rng([noise, seed]).normal(size=(100 + len(last), 8))
    points[:100] += 3.0 if method == "source-only" else 0.5  # source away from target

    def function(folder):
        frame.to_csv(folder / "predictions.csv", index=False)
        if kind in ("network", "adaptation"):
            history(epochs, accuracy, noise).to_csv(folder / "history.csv", index=False)
            z = {"embeddings": points[100:]}
            if source:
                z |= {"source_embeddings": points[:100]}
                z |= {"source_emotions": np.resize(classes, 100)}
            np.savez(folder / "embeddings.npz", **z)
        files = [path for path in folder.iterdir() if path.suffix == ".csv"]
        named = {path.name: file_hash(path) for path in files}
        write_json(folder / "record.json", record | {"files": named})

    return store.compute(spec, function)


def recipe(name, normalisation="none", recipes=RECIPES):
    own = recipes[name].spec() if name in recipes else {"epochs": 30}
    return own | {"name": name, "normalisation": normalisation}


def fill(root, folds=10, seeds=(0,)):
    """Fill a store with k-fold and leave-one-speaker-out runs of both corpora, and one pair."""
    store = RunStore(root)
    for corpus in EMOTIONS:
        for seed in seeds:
            for fold in range(folds):
                run = {"corpus": corpus, "split": f"fold {fold}", "folds": 10, "seed": seed}
                released = {"recipe": recipe("released"), "selection": "best_test"}
                add_run(store, accuracy=0.7, **released, **run)
                add_run(store, accuracy=0.9, recipe=recipe("modern", "global"), **run)
        for speaker in SPEAKERS[corpus]:
            run = {"corpus": corpus, "protocol": "loso", "split": f"speaker {speaker}"}
            run |= {"of_folds": len(SPEAKERS[corpus])}
            add_run(store, accuracy=0.6, recipe=recipe("modern", "global"), **run)
    for source, target in (("emodb", "casia"), ("casia", "emodb")):
        for method, accuracy in (("source-only", 0.2), ("caam-released", 0.25), ("caam-mdd", 0.3)):
            for seed in range(3):
                run = {"source": source, "target": target, "split": "all"}
                run |= {"protocol": "transductive", "method": method}
                run["recipe"] = recipe("released", recipes=TRANSFER_RECIPES)
                add_run(store, seed=seed, accuracy=accuracy, **run)
    return store


def fill_conditions(root):
    """Fill a store with a network and a shallow method, each under two normalisations."""
    store = RunStore(root)
    for kind in ("global", "speaker"):
        for fold in range(3):
            common = {"corpus": "emodb", "split": f"fold {fold}", "folds": 3}
            add_run(store, accuracy=0.9, recipe=recipe("modern", kind), **common)
            shallow = {"method": "egemaps+rbf", "recipe": recipe("", kind)}
            add_run(store, accuracy=0.4, **shallow, **common)
    return store


def one_condition(runs, predictions, **values):
    """Keep the predictions of the runs with these values, of their first scored epoch."""
    for column, value in values.items():
        runs = runs[runs[column] == value]
    return predictions[predictions["run"].isin(runs["run"])]
