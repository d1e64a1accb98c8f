"""Published counts, and the names of all files of a corpus in its native layout."""

from collections import Counter

import numpy as np

# Table S2 of the paper's appendix, and for EMOVO 14 sentences x 6 speakers for 7 emotions.
PUBLISHED = {
    "casia": dict.fromkeys(("angry", "fear", "happy", "neutral", "sad", "surprise"), 200),
    "emodb": {
        "angry": 127,
        "boredom": 81,
        "disgust": 46,
        "fear": 69,
        "happy": 71,
        "neutral": 79,
        "sad": 62,
    },
    "savee": dict.fromkeys(("angry", "disgust", "fear", "happy", "sad", "surprise"), 60)
    | {"neutral": 120},
    "ravdess": dict.fromkeys(("angry", "calm", "disgust", "fear", "happy", "sad", "surprise"), 192)
    | {"neutral": 96},
    "emovo": dict.fromkeys(("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"), 84),
}


def ravdess_names():
    return [
        f"Actor_{actor:02d}/03-01-{code:02d}-{intensity:02d}-{statement:02d}-{take:02d}-{actor:02d}.wav"
        for actor in range(1, 25)
        for code in range(1, 9)
        for intensity in (1, 2)
        for statement in (1, 2)
        for take in (1, 2)
        if (code, intensity) != (1, 2)
    ]


def savee_names(pattern="{speaker}/{text}.wav"):
    texts = [
        f"{code}{number:02d}"
        for code in ("a", "d", "f", "h", "sa", "su")
        for number in range(1, 16)
    ]
    texts += [f"n{number:02d}" for number in range(1, 31)]
    return [pattern.format(speaker=s, text=t) for s in ("DC", "JE", "JK", "KL") for t in texts]


def casia_names(pattern="{speaker}/{emotion}/{number}.wav"):
    return [
        pattern.format(speaker=speaker, emotion=emotion, number=number)
        for speaker in ("liuchanhg", "zhaoquanyin", "wangzhe", "ZhaoZuoxiang")
        for emotion in ("angry", "fear", "happy", "neutral", "sad", "surprise")
        for number in range(201, 251)
    ]


def emovo_names():
    texts = ("b1", "b2", "b3", "d1", "d2", "l1", "l2", "l3", "l4", "n1", "n2", "n3", "n4", "n5")
    return [
        f"{speaker}/{emotion}-{speaker}-{text}.wav"
        for speaker in ("f1", "f2", "f3", "m1", "m2", "m3")
        for emotion in ("dis", "gio", "neu", "pau", "rab", "sor", "tri")
        for text in texts
    ]


def counts(manifest):
    return dict(Counter(manifest["emotion"]))


def speech(seconds: float = 2.0, rate: int = 16_000, seed: int = 0) -> np.ndarray:
    """Syllables of gliding tones with harmonics, others for every seed: shape (samples,)."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    knots = np.arange(0, seconds + 0.2, 0.1)
    pitch = np.interp(time, knots, rng.uniform(100, 300, len(knots)))
    envelope = np.interp(time, knots, rng.choice([0, 0.2, 1], len(knots)))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    strengths = rng.uniform(0, 1, (10, len(knots)))
    harmonics = [
        np.interp(time, knots, strength) * np.sin(order * phase)
        for order, strength in enumerate(strengths, start=1)
    ]
    return 0.05 * envelope * np.sum(harmonics, axis=0)
