"""Read recordings, and say what is wrong with them."""

import hashlib
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ctl_helpers.corpora.fingerprints import fingerprint
from ctl_helpers.errors import StudyError

READ = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff")
"""Suffixes of the recordings that are read."""
SHORTEST = 0.1
"""Seconds below which a recording is no utterance."""
RATES = (1_000, 768_000)
"""Lowest and highest sampling rate in Hz that is believed."""
WHOLE = (math.nan, math.nan)
"""Start and end of an utterance that is a whole file."""

_ABSURD = 100.0
_SILENCE = 1e-4
_CANCELLED = 0.1
_CLIPPED = 0.9998
_TOLERANCE = 0.05


@dataclass(frozen=True)
class Signal:
    """What reading an utterance says about it.

    Attributes
    ----------
    duration : float
        Seconds.
    sampling_rate : int
        Hz.
    digest : str
        Hash of the decoded samples and the rate.
    fingerprint : bytes
        See :func:`~ctl_helpers.corpora.fingerprints.fingerprint`.
    kind, reason : str
        Why it can not be used; "" where it can.
    notes : tuple of (str, str)
        Kind and reason of what is worth knowing though it is used.
    """

    duration: float = 0.0
    sampling_rate: int = 0
    digest: str = ""
    fingerprint: bytes = b""
    kind: str = ""
    reason: str = ""
    notes: tuple[tuple[str, str], ...] = ()


def _open(path: str | Path) -> soundfile.SoundFile:
    """Open a recording; one kind of error, in one line."""
    try:
        with open(path, "rb") as file:
            if file.read(19) == b"version https://git":
                raise StudyError(
                    f"{path}: a Git LFS pointer in place of the recording; fetch it: git lfs pull"
                )
        sound = soundfile.SoundFile(str(path))
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise _unreadable(path, error) from error
    low, high = RATES
    if not low <= sound.samplerate <= high:
        sound.close()
        raise StudyError(
            f"{path}: its header says {sound.samplerate} Hz, expected {low} to {high} Hz"
        )
    return sound


def _unreadable(path: str | Path, error: Exception) -> StudyError:
    reason = str(error).removeprefix(f"Error opening {str(path)!r}: ").strip()
    return StudyError(f"{path}: not a readable recording ({reason})")


def _samples(sound: soundfile.SoundFile, start: float | None, end: float | None) -> np.ndarray:
    """Read float32 samples, shape (frames, channels), of one segment (or all) of a recording."""
    path, rate, length = sound.name, sound.samplerate, sound.frames
    start = 0.0 if start is None or math.isnan(start) else start
    end = math.inf if end is None or math.isnan(end) else end
    if math.isfinite(end) and not 0 <= start < end <= length / rate + _TOLERANCE:
        raise StudyError(
            f"{path}: no segment from {start:g} to {end:g} s in a recording of {length / rate:g} s"
        )
    if start and start >= length / rate:
        raise StudyError(f"{path}: no segment from {start:g} s in {length / rate:g} s")
    frames = -1 if math.isinf(end) else round(end * rate) - round(start * rate)
    try:
        if sound.seekable():
            sound.seek(round(start * rate))
        return sound.read(frames, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, ValueError) as error:
        raise _unreadable(path, error) from error


def read_samples(
    path: str | Path, start: float | None = None, end: float | None = None
) -> tuple[np.ndarray, int]:
    """Read one channel of float32 samples (of one segment) at their own rate, and that rate."""
    with _open(path) as sound:
        samples, rate = _samples(sound, start, end), sound.samplerate
    if not len(samples):
        raise StudyError(f"{path}: the recording is empty")
    signal = samples.mean(axis=1)
    if not np.isfinite(signal).all():
        raise StudyError(f"{path}: the recording holds values that are not finite (NaN)")
    return signal, rate


def read_audio(
    path: str | Path, sampling_rate: int, start: float | None = None, end: float | None = None
) -> np.ndarray:
    """Read a recording, or one segment of it, as one channel at the rate asked for.

    Parameters
    ----------
    path : str or Path
        A recording that libsndfile reads (see ``READ``). Several channels are averaged.
    sampling_rate : int
        Rate to resample to, in Hz.
    start, end : float or None
        Seconds where the segment starts and ends; None (or NaN) for the file's own start and end.
        Only the segment is read.

    Returns
    -------
    ndarray of float32, shape (samples,)
        The signal, full scale at 1.

    Raises
    ------
    StudyError
        If the file can not be read, is empty, has no such segment, or holds values that are not
        finite.
    """
    import librosa

    signal, rate = read_samples(path, start, end)
    if rate == sampling_rate:
        return signal
    return librosa.resample(signal, orig_sr=rate, target_sr=sampling_rate, res_type="soxr_hq")


def check(samples: np.ndarray, rate: float) -> tuple[str, str]:
    """Say why a signal can not be used.

    Parameters
    ----------
    samples : ndarray, shape (frames,) or (frames, channels)
        The signal as it is in the file, full scale at 1.
    rate : float
        Its sampling rate in Hz.

    Returns
    -------
    kind, reason : str
        Kind is one of empty, nan, absurd, antiphase, silent, short; both are "" for a signal that
        can be used.

    Examples
    --------
    >>> check(np.zeros(16_000), 16_000)
    ('silent', 'no sample rises above -80 dB')
    """
    samples = np.asarray(samples)
    channels = samples[:, None] if samples.ndim == 1 else samples
    if not len(channels):
        return "empty", "it holds no samples"
    peak = max(float(channels.max()), -float(channels.min()))
    if not math.isfinite(peak):
        return "nan", "it holds values that are not finite"
    if peak > _ABSURD:
        return "absurd", f"its peak is {peak:.3g} where full scale is 1"
    signal = channels.mean(axis=1)
    loudness = np.sqrt(np.mean(np.square(channels - channels.mean(axis=0)), dtype=float))
    if channels.shape[1] > 1 and loudness > _SILENCE and signal.std() < _CANCELLED * loudness:
        return "antiphase", "its channels cancel each other when they are averaged"
    middle = float(signal.mean())
    if max(float(signal.max()) - middle, middle - float(signal.min())) < _SILENCE:
        return "silent", "no sample rises above -80 dB"
    if len(channels) / rate < SHORTEST:
        return "short", f"{len(channels) / rate:.3f} s, shorter than {SHORTEST} s"
    return "", ""


def inspect(item: tuple[str, Sequence[tuple[float, float]]]) -> list[Signal]:
    """Read the utterances of one file once, and say of each what it is.

    Parameters
    ----------
    item : tuple of (path, segments)
        The file, and start and end (s) of each utterance in it, NaN for the whole file.

    Returns
    -------
    list of Signal
        One per segment.
    """
    path, segments = item
    fault = None
    if not os.path.isfile(path):
        fault = Signal(kind="missing", reason="there is no such file")
    elif os.path.getsize(path) == 0:
        fault = Signal(kind="empty", reason="the file has no bytes")
    else:
        try:
            with _open(path) as sound:
                return [_inspect(sound, *segment) for segment in segments]
        except StudyError as error:
            fault = Signal(kind="unreadable", reason=str(error).removeprefix(f"{path}: "))
    return [fault] * len(segments)


def _inspect(sound: soundfile.SoundFile, start: float, end: float) -> Signal:
    try:
        samples = _samples(sound, start, end)
    except StudyError as error:
        kind = "segment" if "no segment" in str(error) else "unreadable"
        return Signal(kind=kind, reason=str(error).removeprefix(f"{sound.name}: "))
    rate = sound.samplerate
    kind, reason = check(samples, rate)
    content = hashlib.blake2b(np.ascontiguousarray(samples), digest_size=16)
    content.update(f"{rate} {samples.shape}".encode())
    return Signal(
        duration=len(samples) / rate,
        sampling_rate=int(rate),
        digest=content.hexdigest(),
        fingerprint=b"" if kind else fingerprint(samples.mean(axis=1), rate),
        kind=kind,
        reason=reason,
        notes=() if kind else tuple(_notes(sound, samples)),
    )


def _notes(sound: soundfile.SoundFile, samples: np.ndarray) -> list[tuple[str, str]]:
    notes = []
    said = re.search(r"^data : (\d+) \(should be (\d+)\)", sound.extra_info, re.MULTILINE)
    # Recordings that were written into a pipe say the largest possible size.
    if said and int(said[2]) < 0.99 * int(said[1]) < 2**31 - 2**16:
        share = int(said[2]) / int(said[1])
        notes.append(("truncated", f"it holds {share:.0%} of the samples that its header says"))
    loud = np.abs(samples) >= _CLIPPED
    if loud.any():
        hit = loud.any(axis=1)
        if (hit[:-2] & hit[1:-1] & hit[2:]).any():
            notes.append(("clipped", "three samples or more in a row at full scale"))
    if samples.shape[1] > 1:
        notes.append(("stereo", f"{samples.shape[1]} channels, averaged"))
    return notes
