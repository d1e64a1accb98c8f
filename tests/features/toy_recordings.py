"""Short recordings of noise, for tests that need audio files and their manifest."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from ctl_helpers.features import FeatureSettings

SHORT = FeatureSettings(samples=16_000)


def write_recordings(folder: Path, count: int, corpus: str = "toy") -> pd.DataFrame:
    """Write recordings of two speakers, of which no two are alike; return their manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(count)
    paths = [folder / f"{number}.wav" for number in range(count)]
    for path in paths:
        soundfile.write(path, 0.1 * rng.normal(size=rng.integers(4000, 9000)), 16_000)
    manifest = pd.DataFrame(
        {
            "path": [str(path) for path in paths],
            "corpus": corpus,
            "emotion": ["sad", "happy"] * (count // 2) + ["sad"] * (count % 2),
            "speaker": [str(number % 2) for number in range(count)],
            "utterance": [path.name for path in paths],
        }
    )
    return with_digests(manifest)


def with_digests(manifest: pd.DataFrame) -> pd.DataFrame:
    """Give every row the hash of its sound, as `load_manifest` does."""
    samples = [soundfile.read(path)[0].tobytes() for path in manifest["path"]]
    return manifest.assign(digest=[hashlib.blake2b(data).hexdigest()[:32] for data in samples])
