"""Settings of MFCC, the named presets, and what an extraction returns."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ctl_helpers.errors import StudyError

TRACKS = 3  # of pitch: voicing, pitch, pitch relative to the utterance's median
MEL_BANDS = 128
LARGEST = 1e15  # magnitude from which a feature is no feature any more


@dataclass(frozen=True)
class FeatureSettings:
    """How MFCC are computed, in the words of `librosa.feature.mfcc`.

    Parameters
    ----------
    n_mfcc : int
        Cepstral coefficients per frame.
    sampling_rate : int
        Every signal is resampled to it, in Hz.
    n_fft, win_length, hop_length : int
        Length of the Fourier transform, of the window inside it and of the step, in samples.
    window : str
        Name of the window.
    pitch : bool
        Whether three tracks come before the coefficients; see `ctl_helpers.features.pitch`.
    moments : int or None
        Replace every track by its mean, its deviation and the deviation of its slope over so many
        frames around each frame. Frames count by how voiced they are if there is pitch. The first
        coefficient, the level, is taken relative to the utterance's mean. ``None`` keeps the tracks
        as they are. See `ctl_helpers.features.moments`.
    trim : float or None
        First cut off silence at both ends: what is more than so many dB below the loudest frame.
    factor : float
        Recordings are played so many times as fast, and as high.
    samples : int or None
        Signals are cropped or zero-padded on both sides to this length; ``None`` for the length
        that the catalogue gives the corpus.
    """

    n_mfcc: int = 39
    sampling_rate: int = 22_050
    n_fft: int = 2048
    win_length: int = 2048
    hop_length: int = 512
    window: str = "hann"
    pitch: bool = False
    moments: int | None = None
    trim: float | None = None
    factor: float = 1.0
    samples: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        whole = ("n_mfcc", "sampling_rate", "n_fft", "win_length", "hop_length")
        given = [name for name in ("samples", "moments") if getattr(self, name) is not None]
        for name in (*whole, *given):
            value = getattr(self, name)
            self._check(name, type(value) is int and value >= 1, "a whole number from 1")
        self._check("factor", 0.5 <= self.factor <= 2, "a number from 0.5 to 2")
        self._check("trim", self.trim is None or self.trim > 0, "more than 0 dB")
        self._check("win_length", self.win_length <= self.n_fft, f"at most {self.n_fft}")
        self._check("n_mfcc", self.n_mfcc <= MEL_BANDS, f"at most {MEL_BANDS}")

    def _check(self, name: str, valid: bool, expected: str) -> None:
        if not valid:
            got = getattr(self, name)
            raise StudyError(f"feature setting {name}: expected {expected}, got {got!r}")

    @property
    def coefficients(self) -> int:
        """Values per frame."""
        tracks = self.n_mfcc + (TRACKS if self.pitch else 0)
        return 3 * tracks if self.moments else tracks

    def column_of(self, coefficient: int) -> int:
        """Column of an MFCC, or of its mean where there are moments."""
        return coefficient + (TRACKS if self.pitch else 0)

    @property
    def frames(self) -> int:
        """Frames per utterance, once `samples` is known."""
        return 1 + self.samples // self.hop_length


FeatureChoice = FeatureSettings | str | Path  # settings of MFCC, a name, a file or a function
_FACTS = tomllib.loads(Path(__file__).with_name("presets.toml").read_text(encoding="utf-8"))
# Every name that `extract` knows, and what it stands for.
FEATURES = {name: facts.pop("about") for name, facts in _FACTS["mfcc"].items()} | _FACTS["vectors"]
# What is left of their facts are settings.
PRESETS = {name: FeatureSettings(**facts) for name, facts in _FACTS["mfcc"].items()}


@dataclass(frozen=True, eq=False)
class Features:
    """What methods see of a list of utterances.

    Parameters
    ----------
    values : ndarray of shape (utterances, frames, coefficients) or (utterances, functionals)
        float32, read-only; a memory map where it comes from the cache. Not a number where they
        failed.
    manifest : DataFrame
        A row per utterance.
    key : str
        Hash of the sounds, in their order, and of how the features are computed.
    speech : int array of shape (utterances, 2) or None
        First and one-past-last frame whose window holds signal; the others hold only padding.
        ``None`` where nothing is padded.
    settings : FeatureSettings or None
        Those of MFCC, with `samples` filled in.
    failed : dict
        Rows that have no features, and why.
    """

    values: np.ndarray
    manifest: pd.DataFrame
    key: str
    speech: np.ndarray | None = None
    settings: FeatureSettings | None = None
    failed: Mapping[int, str] = field(default_factory=dict)


def short_hash(data: bytes | str) -> str:
    """Hash bytes or text to 24 hexadecimal digits."""
    data = data.encode() if isinstance(data, str) else data
    return hashlib.blake2b(data, digest_size=12).hexdigest()
