"""Features of speech that nobody spoke, small enough to be trained on in a test."""

import numpy as np
import pandas as pd

from ctl_helpers.features.mfcc import Features, FeatureSettings


def speech_features(utterances=24, emotions=("angry", "sad"), speakers=4, frames=40, seed=0):
    """Noise around a level that tells the emotion, of a corpus called "toy"."""
    rows = np.arange(utterances)
    emotion = rows % len(emotions)
    speaker = rows // len(emotions) % speakers
    manifest = pd.DataFrame(
        {
            "path": [f"/data/toy/take {row // 10}/{row:03d}.wav" for row in rows],
            "corpus": "toy",
            "emotion": [emotions[one] for one in emotion],
            "speaker": [f"{one:02d}" for one in speaker],
            "sex": ["mf"[one % 2] for one in speaker],
            "text": "",
            "duration": 1.0,
            "sampling_rate": 16_000,
        }
    )
    values = np.random.default_rng(seed).normal(size=(utterances, frames, 39))
    values = (values + emotion[:, None, None]).astype(np.float32)
    speech = np.tile([0, frames], (utterances, 1))
    return Features(values, manifest, FeatureSettings(samples=96_000), f"key {seed}", speech)
