"""Features: settings of MFCC, pitch and moments, extraction in parallel, cache."""

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import scipy.fft

from ctl_helpers.corpora import read_audio, signal_length
from ctl_helpers.errors import StudyError
from ctl_helpers.features.cache import add_array, array_key, content_hashes, digest, open_array
from ctl_helpers.features.moments import local_moments
from ctl_helpers.features.pitch import TRACKS, pitch_tracks
from ctl_helpers.parallel import cache_folder

logger = logging.getLogger("ctl_helpers")

_FORMAT = 1  # part of every key: raise it when the same settings give other numbers
_MEL_BANDS = 128
_RANGE_DB = 80.0
_SILENCE = 1e-10  # power below which nothing is heard
_UNVOICED = 1e-3  # added to the voicing, by which frames count in moments
_BLOCK = 32  # frames transformed together, few enough to stay in the processor's cache


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
        Whether three tracks of pitch come before the coefficients; see `ctl_helpers.features.pitch`.
    moments : int or None
        Frames over which the moments of every track are taken, three of each in the tracks' place,
        with pitch weighted by how voiced each is, the level, the first coefficient, held against
        the utterance's own; ``None`` for the tracks themselves. See `ctl_helpers.features.moments`.
    trim : float or None
        Silence at both ends, more than so many dB below the loudest, is cut off before all else.
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
        """Check the numbers at the door."""
        for name in ("n_mfcc", "sampling_rate", "n_fft", "win_length", "hop_length"):
            _check_positive(name, getattr(self, name))
        for name in ("samples", "moments"):
            if getattr(self, name) is not None:
                _check_positive(name, getattr(self, name))
        if not 0.5 <= self.factor <= 2:
            raise StudyError(
                f"feature setting factor: expected a number from 0.5 to 2, got {self.factor!r}"
            )
        if self.trim is not None and not self.trim > 0:
            raise StudyError(f"feature setting trim: expected more than 0 dB, got {self.trim!r}")
        if self.win_length > self.n_fft:
            raise StudyError(
                f"feature setting win_length: expected at most n_fft = {self.n_fft}, "
                f"got {self.win_length}"
            )
        if self.n_mfcc > _MEL_BANDS:
            raise StudyError(
                f"feature setting n_mfcc: expected at most {_MEL_BANDS}, got {self.n_mfcc}"
            )

    @property
    def coefficients(self) -> int:
        """Values per frame."""
        tracks = self.n_mfcc + (TRACKS if self.pitch else 0)
        return 3 * tracks if self.moments else tracks

    @property
    def frames(self) -> int:
        """Frames per utterance, once `samples` is known."""
        return 1 + self.samples // self.hop_length


def _check_positive(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise StudyError(f"feature setting {name}: expected a whole number from 1, got {value!r}")


PRESETS = {
    # 50 ms and 12.5 ms at 22 050 Hz, as the paper says.
    "paper": FeatureSettings(win_length=1102, hop_length=276, window="hamming"),
    # librosa's defaults, with which the shared feature files were made.
    "released": FeatureSettings(),
    # The same frames, the last three coefficients given up for the pitch.
    "pitch": FeatureSettings(n_mfcc=36, pitch=True),
    # Moments of the pitch and the first ten coefficients over 2.8 s, as long as most utterances.
    "moments": FeatureSettings(n_mfcc=10, pitch=True, moments=121, trim=40.0),
}


@dataclass(frozen=True, eq=False)
class Features:
    """MFCC of a list of utterances.

    Parameters
    ----------
    values : ndarray of shape (utterances, frames, coefficients)
        float32, read-only; a memory map where it comes from the cache.
    manifest : DataFrame
        A row per utterance.
    settings : FeatureSettings
        With `samples` filled in.
    key : str
        Hash of the audio's content and the settings.
    speech : ndarray of shape (utterances, 2)
        First and one-past-last frame whose window holds signal; the others hold only padding.
    """

    values: np.ndarray
    manifest: pd.DataFrame
    settings: FeatureSettings
    key: str
    speech: np.ndarray

    def select(self, index) -> "Features":
        """Keep some utterances.

        Parameters
        ----------
        index : slice, int array or bool array
            Rows to keep, in this order.

        Returns
        -------
        Features
            With a manifest numbered anew and a key of its own, the same for the same rows.
        """
        rows = np.arange(len(self.manifest))[index]
        if np.array_equal(rows, np.arange(len(self.manifest))):
            return self
        return replace(
            self,
            values=np.asarray(self.values)[rows],
            manifest=self.manifest.iloc[rows].reset_index(drop=True),
            key=digest(self.key.encode() + rows.astype("<i8").tobytes()),
            speech=self.speech[rows],
        )


def extract(
    manifest: pd.DataFrame,
    settings: FeatureSettings | str = "released",
    jobs: int | None = None,
    cache: str | os.PathLike | None = None,
) -> Features:
    """Compute the MFCC of every utterance, or read them where they were computed before.

    The array lies in the cache under a hash of the audio files' content and the settings. Of a
    list of files that was not seen before, only the files that are new with these settings are
    computed. A file that cannot be read is left out with a warning.

    Parameters
    ----------
    manifest : DataFrame
        As `ctl_helpers.corpora.load_manifest` returns; several corpora where they share a length.
    settings : FeatureSettings or str
        Or the name of a preset: ``"paper"``, ``"released"``, ``"pitch"``, ``"moments"``.
    jobs : int or None
        Processes; ``None`` for one per core.
    cache : path or None
        Folder of the cache; ``None`` for `ctl_helpers.parallel.cache_folder`.

    Returns
    -------
    Features
        Values of shape (utterances, 1 + samples // hop_length, 39) with every preset.

    Raises
    ------
    StudyError
        When the manifest is empty, mixes signal lengths, or nothing in it can be read; when the
        cache cannot be written.

    Examples
    --------
    >>> from ctl_helpers.corpora import load_manifest
    >>> features = extract(load_manifest("/data/ser", "emodb"), "released")  # doctest: +SKIP
    >>> features.values.shape  # doctest: +SKIP
    (535, 188, 39)
    """
    settings = _resolve(settings, manifest)
    base = (Path(cache).expanduser().absolute() if cache else cache_folder()) / "features"
    told = json.dumps([_FORMAT, _told(settings)])
    folder = base / digest(told.encode())
    shape = (settings.frames, settings.coefficients)
    try:
        contents, failures = content_hashes(list(manifest["path"]), base / "contents.json", jobs)
        manifest, contents = _leave_out(manifest, contents, failures)
        if open_array(folder, contents) is None:
            compute = partial(_read_mfcc, settings=settings)
            failures = add_array(folder, list(manifest["path"]), contents, compute, shape, jobs)
            manifest, contents = _leave_out(manifest, contents, failures)
        values, speech = open_array(folder, contents)
    except OSError as error:
        raise StudyError(f"features: expected a cache folder to write to, got: {error}") from error
    return Features(values, manifest, settings, array_key(folder, contents), speech)


def resampled(
    features: Features, factors: Iterable[float], jobs: int | None = None
) -> tuple[Features, ...]:
    """Compute the features of the same recordings, played faster or slower.

    Parameters
    ----------
    features : Features
        Of recordings that can still be read.
    factors : iterable of float
        How many times as fast; what is heard is as many times as high, as from a speaker of a
        shorter vocal tract.
    jobs : int or None
        See `extract`; the cache is that of :func:`ctl_helpers.parallel.cache_folder`.

    Returns
    -------
    tuple of Features
        One per factor, its rows those of `features`.

    Raises
    ------
    StudyError
        When a recording can not be read any more.

    References
    ----------
    Ko et al., "Audio augmentation for speech recognition", Interspeech 2015.
    """
    found = []
    for factor in factors:
        version = extract(features.manifest, replace(features.settings, factor=factor), jobs)
        if len(version.values) < len(features.values):
            raise StudyError(
                f"resampled features: expected {len(features.values)} recordings that can be read, "
                f"as before, got {len(version.values)}"
            )
        found.append(version)
    return tuple(found)


def _told(settings: FeatureSettings) -> dict:
    """Give what a key is made of: later settings only where they are used; older keys hold."""
    later = {"moments": None, "trim": None, "factor": 1.0}
    told = asdict(settings)
    return {name: told[name] for name in told if name not in later or told[name] != later[name]}


def _read_mfcc(path: str, settings: FeatureSettings) -> tuple[np.ndarray, np.ndarray]:
    rate = round(settings.sampling_rate / settings.factor)
    return mfcc(read_audio(path, rate), settings)


def mfcc(signal: np.ndarray, settings: FeatureSettings) -> tuple[np.ndarray, np.ndarray]:
    """Compute the features of one signal; the MFCC equal librosa's on the padded or cropped signal.

    Parameters
    ----------
    signal : ndarray of shape (n,)
        At `settings.sampling_rate`.
    settings : FeatureSettings
        With `samples` ``None`` the signal keeps its length.

    Returns
    -------
    values : ndarray of shape (frames, coefficients)
        float32; with `settings.pitch` its tracks come first, with `settings.moments` all means,
        then all deviations, then those of the slopes.
    speech : ndarray of shape (2,)
        First and one-past-last frame whose window holds signal.
    """
    hop, n_fft = settings.hop_length, settings.n_fft
    if settings.trim is not None and len(signal):
        signal, _ = librosa.effects.trim(signal, top_db=settings.trim)
    samples = settings.samples or len(signal)
    crop = max(0, len(signal) - samples) // 2
    signal = signal[crop : crop + samples]
    before = (samples - len(signal)) // 2
    padded = np.zeros(samples + 2 * (n_fft // 2), np.float32)
    padded[n_fft // 2 + before :][: len(signal)] = signal

    window, mel, dct = _bases(replace(settings, samples=None))
    # Frame t's window covers the samples [t * hop - reach, t * hop + reach).
    frames, reach = 1 + samples // hop, (settings.win_length + 1) // 2
    first = max(0, (before - reach) // hop + 1)
    end = min(frames, -(-(before + len(signal) + reach) // hop))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    power = np.empty((end - first, _MEL_BANDS), np.float32)
    for start in range(first, end, _BLOCK):
        spectrum = scipy.fft.rfft(pieces[start : min(start + _BLOCK, end)] * window)
        squared = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        power[start - first :][: len(squared)] = squared @ mel
    decibels = 10 * np.log10(np.maximum(power, _SILENCE))
    floor = max(decibels.max() - _RANGE_DB, 10 * np.log10(_SILENCE))
    values = np.empty((frames, settings.n_mfcc), np.float32)
    values[:] = np.full(_MEL_BANDS, floor, np.float32) @ dct  # padding, all of it alike
    values[first:end] = np.maximum(decibels, floor) @ dct
    if settings.pitch:
        spoken = pitch_tracks(pieces[first:end], window, settings.sampling_rate)
        tracks = np.empty((frames, TRACKS), np.float32)
        tracks[:] = 0, spoken[0, 1] - spoken[0, 2], 0  # padding: no voice, at the middle pitch
        tracks[first:end] = spoken
        values = np.concatenate([tracks, values], axis=1)
    if settings.moments:
        tracks = values
        weights = tracks[first:end, 0] + _UNVOICED if settings.pitch else np.ones(end - first)
        level = tracks[:, TRACKS if settings.pitch else 0]
        level -= np.average(level[first:end], weights=weights)
        values = np.pad(tracks, ((0, 0), (0, 2 * tracks.shape[1])))  # padding does not move
        values[first:end] = local_moments(tracks[first:end], settings.moments, weights)
    return values, np.array([first, end])


@lru_cache(maxsize=8)
def _bases(settings: FeatureSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    window = librosa.filters.get_window(settings.window, settings.win_length)
    window = librosa.util.pad_center(window, size=settings.n_fft)
    mel = librosa.filters.mel(
        sr=settings.sampling_rate, n_fft=settings.n_fft, n_mels=_MEL_BANDS
    ).T.copy()
    dct = scipy.fft.dct(np.eye(_MEL_BANDS), norm="ortho")[:, : settings.n_mfcc]
    return window, mel, dct.astype(np.float32)


def settings_of(settings: FeatureSettings | str) -> FeatureSettings:
    """Look a preset up by its name; settings are given back as they are."""
    if isinstance(settings, FeatureSettings):
        return settings
    if settings not in PRESETS:
        allowed = ", ".join(PRESETS)
        raise StudyError(f"feature preset: expected one of {allowed}, got {settings!r}")
    return PRESETS[settings]


def _resolve(settings: FeatureSettings | str, manifest: pd.DataFrame) -> FeatureSettings:
    settings = settings_of(settings)
    if not len(manifest):
        raise StudyError("features: expected at least one utterance, got an empty manifest")
    if settings.samples is not None:
        return settings
    lengths = {name: signal_length(name) for name in manifest["corpus"].unique()}
    if len(set(lengths.values())) > 1:
        raise StudyError(
            "feature setting samples: expected a number, as the corpora differ in length, got None "
            f"for {', '.join(f'{name} ({n})' for name, n in lengths.items())}"
        )
    return replace(settings, samples=next(iter(lengths.values())))


def _leave_out(
    manifest: pd.DataFrame, contents: list[str], failures: dict[int, str]
) -> tuple[pd.DataFrame, list[str]]:
    if not failures:
        return manifest, contents
    told = "; ".join(f"{manifest['path'].iloc[row]}: {why}" for row, why in failures.items())
    if len(failures) == len(manifest):
        raise StudyError(f"features: expected audio that can be read, got {told}")
    logger.warning("features: left out %d of %d: %s", len(failures), len(manifest), told)
    kept = [row for row in range(len(manifest)) if row not in failures]
    return manifest.iloc[kept].reset_index(drop=True), [contents[row] for row in kept]
