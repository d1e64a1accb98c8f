"""Features: ours against plain librosa in a loop, on the same recordings."""

import tempfile
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import soundfile

from benchmarks.measure import interleave, ratios, seconds, spread, table
from ctl_helpers.corpora import load_manifest
from ctl_helpers.features.mfcc import PRESETS, extract
from ctl_helpers.parallel import cores

SAMPLES = 96_000  # EmoDB's, at 22 050 Hz


def report(repetitions, utterances, corpora=None):
    """Measure and write the table of features; return it and the numbers."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = recordings(Path(folder), utterances, corpora)
        found = interleave(
            {
                "librosa in a loop": lambda: seconds(lambda: plain(manifest)),
                "ours, one process": lambda: seconds(lambda: ours(manifest, 1)),
                f"ours, {cores()} processes": lambda: seconds(lambda: ours(manifest, None)),
            },
            repetitions,
        )
    base = found["librosa in a loop"]
    rows = [
        [name, spread([len(manifest) / one for one in taken]), spread(ratios(base, taken))]
        for name, taken in found.items()
    ]
    head = ["features", "utterances/s", "times librosa"]
    where = "EmoDB" if corpora else "synthetic recordings as long as EmoDB's"
    return f"{len(manifest)} utterances of {where}.\n\n" + table(head, rows), found


def recordings(folder, utterances, corpora=None):
    """Manifest of some recordings of EmoDB, or of as many synthetic ones."""
    if corpora:
        manifest = load_manifest(corpora, "emodb")
        rows = np.linspace(0, len(manifest) - 1, min(utterances, len(manifest))).astype(int)
        return manifest.iloc[rows].reset_index(drop=True)
    generator = np.random.default_rng(0)
    paths = [folder / f"{number}.wav" for number in range(utterances)]
    for path in paths:
        length = generator.integers(24_000, 64_000)
        soundfile.write(path, 0.1 * generator.normal(size=length), 16_000)
    return pd.DataFrame({"path": map(str, paths), "corpus": "emodb", "emotion": "sad"})


def plain(manifest):
    """Load, pad or crop, transform, one file after the other."""
    chosen = PRESETS["released"]
    output = []
    for path in manifest["path"]:
        signal, rate = librosa.load(path, sr=chosen.sampling_rate)
        missing = max(0, SAMPLES - len(signal))
        signal = np.pad(signal, (missing // 2, missing - missing // 2))
        start = (len(signal) - SAMPLES) // 2
        signal = signal[start : start + SAMPLES]
        output.append(librosa.feature.mfcc(y=signal, sr=rate, n_mfcc=chosen.n_mfcc).T)
    return np.array(output)


def ours(manifest, jobs):
    """Extract into an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        return np.array(extract(manifest, "released", jobs=jobs, cache=cache).values)
