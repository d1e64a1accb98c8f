"""Small corpora, features, networks, classifiers and protocols, as somebody outside brings them."""

from pathlib import Path

import numpy as np
import pandas as pd
from conftest import write_wav

from ctl_helpers.features import Features

NETWORK = '''
from keras import Input, Model, layers

def network(frames, coefficients, classes, dropout=0.0):
    inputs = x = Input((frames, coefficients))
    x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dense(6, "relu", name="embedding")(layers.Dropout(dropout)(x))
    return Model(inputs, layers.Dense(classes, "softmax")(x))
'''
CLASSIFIER = """
from sklearn.naive_bayes import GaussianNB

def classifier():
    return GaussianNB()
"""
PROTOCOL = """
import numpy as np
from ctl_helpers.protocols import Split

def halves(manifest, folds, seed):
    rows = np.random.default_rng(seed).permutation(len(manifest))
    one, two = np.sort(rows[::2]), np.sort(rows[1::2])
    return [Split("first half", one, two), Split("second half", two, one)]
"""


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
            "digest": [f"{corpus}{row}" for row in rows],
        }
    )


def toy_features(manifest, frames=6, coefficients=4, seed=0, level=1.0):
    """Noise around a level that tells the emotion; a vector an utterance where frames is None."""
    shape = (coefficients,) if frames is None else (frames, coefficients)
    classes = sorted(set(manifest["emotion"]))
    place = manifest["emotion"].map(classes.index).to_numpy() * level
    values = np.random.default_rng(seed).normal(size=(len(manifest), *shape))
    values = (values + place.reshape(-1, *[1] * len(shape))).astype(np.float32)
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
