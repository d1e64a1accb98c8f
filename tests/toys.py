"""Small corpora, features, networks, classifiers and protocols, as somebody outside brings them."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from conftest import write_wav

from ctl_helpers.features import Features
from ctl_helpers.methods import parse
from ctl_helpers.networks.recipes import RECIPES
from ctl_helpers.protocols import problems_inside
from ctl_helpers.runs.run import seeded
from ctl_helpers.runs.store import canonical

NETWORK = """
from keras import Input, Model, layers

def network(frames, coefficients, classes, dropout=0.0):
    inputs = x = Input((frames, coefficients))
    x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dense(6, "relu", name="embedding")(layers.Dropout(dropout)(x))
    return Model(inputs, layers.Dense(classes, "softmax")(x))
"""
CLASSIFIER = """
from sklearn.neighbors import KNeighborsClassifier

def classifier():
    return KNeighborsClassifier(1)
"""
PROTOCOL = """
import numpy as np
from ctl_helpers.protocols import Split

def halves(manifest, folds, seed):
    rows = np.random.default_rng(seed).permutation(len(manifest))
    one, two = np.sort(rows[::2]), np.sort(rows[1::2])
    return [Split("first half", one, two), Split("second half", two, one)]
"""


def variant(recipe, division=98, **changes):
    """The settings of a run, as a row of runs has them."""
    fields = RECIPES[recipe].spec() if recipe in RECIPES else {}
    return json.dumps(canonical(fields | {"division": division} | changes), sort_keys=True)


def write_code(folder: Path, name: str, text: str) -> Path:
    """Write a file of somebody's own code."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text)
    return file


def toy_manifest(emotions=("angry", "sad"), utterances=24, speakers=4, corpus="toy"):
    """Rows of a corpus in which every speaker says everything, emotions in turn."""
    rows = np.arange(utterances)
    names = [f"{row:03d}.wav" for row in rows]
    speaker = rows // len(emotions) % speakers
    return pd.DataFrame(
        {
            "path": [f"/data/{corpus}/{name}" for name in names],
            "corpus": corpus,
            "emotion": np.array(emotions)[rows % len(emotions)],
            "speaker": [f"{one:02d}" for one in speaker],
            "sex": np.array(["m", "f"])[speaker % 2],
            "text": (rows // len(emotions) // speakers).astype(str),
            "duration": 1.0,
            "sampling_rate": 16_000,
            "utterance": names,
            "start": np.nan,
            "end": np.nan,
            "digest": [f"{corpus}{row}" for row in rows],
            "fingerprint": b"",
        }
    )


def toy_features(manifest, frames=6, coefficients=4, seed=0, level=1.0):
    """Noise, and a coefficient an emotion that is raised; vectors where frames is None."""
    shape = (coefficients,) if frames is None else (frames, coefficients)
    classes = sorted(set(manifest["emotion"]))
    raised = np.eye(len(classes), coefficients)[manifest["emotion"].map(classes.index)] * level
    values = np.random.default_rng(seed).normal(size=(len(manifest), *shape))
    values = (values + (raised if frames is None else raised[:, None])).astype(np.float32)
    speech = None if frames is None else np.tile([0, frames], (len(manifest), 1))
    return Features(values=values, manifest=manifest, key="toy", speech=speech, settings=None)


def write_array(file: Path, manifest, values) -> Path:
    """Write an array of somebody's own, a row an utterance."""
    np.savez(file, utterance=manifest["utterance"].to_numpy(str), values=values)
    return file


def toy_corpus(root: Path, name: str, emotions=("angry", "sad"), utterances=16, speakers=4) -> Path:
    """Write recordings of tones in noise, and the table that says who speaks and how."""
    rng = np.random.default_rng(list(name.encode()))
    manifest = toy_manifest(emotions, utterances, speakers, name)
    seconds = np.arange(3200) / 8000
    for row, emotion in enumerate(manifest["emotion"]):
        pitch = 300 * (1 + emotions.index(emotion)) + 3 * row
        tone = 0.2 * np.sin(2 * np.pi * pitch * seconds) * (np.sin(30 * seconds + row) > 0)
        signal = tone + rng.normal(0, 0.05, len(tone))
        write_wav(root / name / manifest["utterance"][row], signal, 8000)
    columns = ["path", "emotion", "speaker", "sex", "text"]
    table = manifest.assign(path=manifest["utterance"])[columns]
    table.to_csv(root / name / "manifest.csv", index=False)
    return root


CHANGES = {"epochs": 2, "batch_size": 8, "learning_rate": 0.05, "settings": {"dropout": 0.3}}
MORTAL = {"epochs": 3, "averaging": 1.0, "settings": {}}


@dataclass(frozen=True)
class Toys:
    """A corpus, arrays of its features, and code of somebody's own."""

    folder: Path

    @cached_property
    def manifest(self):
        return toy_manifest()

    def write(self):
        write_code(self.folder, "network.py", NETWORK)
        write_code(self.folder, "classifier.py", CLASSIFIER)
        for name, frames in (("frames", 6), ("vectors", None)):
            values = toy_features(self.manifest, frames).values
            write_array(self.folder / f"{name}.npz", self.manifest, values)
        return self

    @property
    def network(self):
        return f"{self.folder}/network.py:network/released"

    @property
    def classifier(self):
        return f"{self.folder}/vectors.npz+{self.folder}/classifier.py:classifier"

    def runs(self, method=None, protocol="kfold", only=None, seeds=(0,), selection="last", **more):
        changes = CHANGES | {"features": f"{self.folder}/frames.npz"} | more
        chosen = parse(method or self.network, "global", selection, changes)
        problems = problems_inside(self.manifest, protocol, 2, only=only)
        return [seeded(problem, chosen, seed) for seed in seeds for problem in problems]
