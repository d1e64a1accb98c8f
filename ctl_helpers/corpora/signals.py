"""Read recordings, and say what is wrong with them."""

import hashlib
import math
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import soundfile

from ctl_helpers.corpora.fingerprints import fingerprint
from ctl_helpers.errors import StudyError

READ = (".wav", ".wave", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".aifc")
"""Suffixes of the recordings that are read."""
RECORDINGS = (
    *READ,
    *(".m4a", ".mp4", ".aac", ".wma", ".amr", ".3gp", ".caf", ".w64", ".au", ".snd", ".sph"),
    *(".pcm", ".oga", ".spx", ".mp2", ".ape", ".ac3", ".webm", ".mkv", ".avi", ".mov", ".mpg"),
    *(".mpeg", ".m4v", ".wmv", ".flv"),
)
"""Suffixes of what is a recording or a video, read or not."""
SHORTEST = 0.1
"""Seconds below which a recording is no utterance."""
RATES = (1_000, 768_000)
"""Lowest and highest sampling rate in Hz that is believed."""

_ABSURD = 100.0
_ENDLESS = 2**48  # samples
_BLOCK = 2**26  # values read at once
_SILENCE = 1e-4
_CANCELLED = 0.1
_CLIPPED = 0.9998
_TOLERANCE = 0.05


def _open(path: str | Path) -> soundfile.SoundFile:
    """Open a recording; one kind of error, in one line."""
    try:
        with open(path, "rb") as file:
            if file.read(19) == b"version https://git":
                raise StudyError(f"{path}: a Git LFS pointer, not the recording: run git lfs pull")
        sound = soundfile.SoundFile(str(path))
    except UnicodeEncodeError as error:
        raise StudyError(f"{path}: its name is not {error.encoding.upper()}") from error
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise _unreadable(path, error) from error
    if not RATES[0] <= sound.samplerate <= RATES[1]:
        sound.close()
        expected = f"expected {RATES[0]} to {RATES[1]} Hz"
        raise StudyError(f"{path}: its header says {sound.samplerate} Hz, {expected}")
    if sound.frames > _ENDLESS:  # a FLAC file that was written into a pipe
        sound.close()
        raise StudyError(f"{path}: its header does not say how long it is; write it anew")
    return sound


def seconds_of(path: str | Path) -> float:
    """Read how long a recording is, whatever its header says; 0 where that cannot be read."""
    try:
        with _open(path) as sound, suppress(soundfile.SoundFileError):
            sound.seek(max(0, sound.frames - 1))
            if len(sound.read(1)):
                return sound.frames / sound.samplerate
        with _open(path) as sound:  # its end is not there, or is not found but by reading
            count = 0
            with suppress(soundfile.SoundFileError):
                while found := len(sound.read(min(sound.samplerate, sound.frames - count))):
                    count += found
            return count / sound.samplerate
    except (StudyError, OSError):
        return 0.0


def _blocks(sound: soundfile.SoundFile, count: int) -> Iterator[np.ndarray]:
    """Read up to so many float32 samples; memory is taken for those alone that are there."""
    most = _BLOCK // sound.channels
    while count > 0:
        block = sound.read(min(most, count), dtype="float32", always_2d=True)
        yield block
        count = count - len(block) if len(block) == most else 0


def _unreadable(path: str | Path, error: Exception) -> StudyError:
    reason = str(error).removeprefix(f"Error opening {str(path)!r}: ").strip()
    return StudyError(f"{path}: not a readable recording ({reason})")


def _samples(sound: soundfile.SoundFile, start: float | None, end: float | None) -> np.ndarray:
    """Read float32 samples, shape (frames, channels), of one segment (or all) of a recording."""
    rate, length = sound.samplerate, sound.frames / sound.samplerate
    first = 0.0 if start is None or math.isnan(start) else start
    last = length if end is None or math.isnan(end) else end
    inside = 0 <= first < min(last, length) and last <= length + _TOLERANCE
    if (first, last) != (0.0, length) and not inside:
        raise StudyError(f"{sound.name}: no segment {first:g} to {last:g} s in {length:g} s")
    # Some codecs (GSM) can only be read from the start, and need the number of samples.
    begin, stop = round(first * rate), round(last * rate)
    skipped = 0 if sound.seekable() else begin
    try:
        if begin and not skipped:
            sound.seek(begin)
        first, *others = _blocks(sound, max(1, stop - begin + skipped))
        return (np.concatenate([first, *others]) if others else first)[skipped:]
    except (soundfile.SoundFileError, ValueError, MemoryError) as error:
        raise _unreadable(sound.name, error) from error


def _mono(samples: np.ndarray) -> np.ndarray:
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)


def read_samples(
    path: str | Path, start: float | None = None, end: float | None = None
) -> tuple[np.ndarray, int]:
    """Read one channel of float32 samples (of one segment) at their own rate, and that rate."""
    with _open(path) as sound:
        samples, rate = _samples(sound, start, end), sound.samplerate
    if not len(samples):
        raise StudyError(f"{path}: the recording is empty")
    signal = _mono(samples)
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
        If the file cannot be read, is empty, has no such segment, or holds values that are not
        finite.
    """
    import librosa

    signal, rate = read_samples(path, start, end)
    if rate == sampling_rate:
        return signal
    return librosa.resample(signal, orig_sr=rate, target_sr=sampling_rate, res_type="soxr_hq")


def check(samples: np.ndarray, rate: float) -> tuple[str, str]:
    """Say why a signal cannot be used.

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
    peaks = channels.max(axis=0), channels.min(axis=0)
    if not np.isfinite(peaks).all():
        return "nan", "it holds values that are not finite"
    if (peak := float(np.abs(peaks).max())) > _ABSURD:
        return "absurd", f"its peak is {peak:.3g}, where full scale is 1"
    signal = _mono(channels)
    if channels.shape[1] > 1 and signal.std() < _CANCELLED * channels.std(axis=0).max():
        return "antiphase", "its channels cancel each other when they are averaged"
    # The highest sample above the mean, or below it.
    middle = float(signal.mean())
    if max(float(signal.max()) - middle, middle - float(signal.min())) < _SILENCE:
        return "silent", "no sample rises above -80 dB"
    if len(channels) / rate < SHORTEST:
        return "short", f"{len(channels) / rate:.3f} s, shorter than {SHORTEST} s"
    return "", ""


def inspect(utterance: tuple[str, float, float], longest: float = math.inf) -> dict:
    """Read an utterance, and say what it is.

    Parameters
    ----------
    utterance : tuple of (path, start, end)
        The file, and start and end (s) of the utterance in it, NaN for the whole file.
    longest : float
        Seconds in its middle that are kept, which must not be silent.

    Returns
    -------
    dict
        Kind and reason why it cannot be used ("" where it can), duration and end (s), sampling_rate
        (Hz), digest (hash of the decoded samples and the rate), fingerprint, and notes (kinds and
        reasons) of what is worth knowing though it is used.
    """
    path, start, end = utterance
    try:
        if not os.path.exists(path):  # or a link that leads nowhere
            return {"kind": "missing", "reason": "there is no such file"}
        if not os.path.isfile(path):
            return {"kind": "unreadable", "reason": "it is a folder or a pipe, not a file"}
        if os.path.getsize(path) == 0:
            return {"kind": "empty", "reason": "the file has no bytes"}
        return _facts(path, start, end, longest)
    except (StudyError, OSError) as error:
        reason = str(error).removeprefix(f"{path}: ")
        kind = "segment" if reason.startswith("no segment") else "unreadable"
        return {"kind": kind, "reason": reason}
    except MemoryError:
        return {"kind": "unreadable", "reason": "there is not enough memory for it"}


def _facts(path: str, start: float, end: float, longest: float) -> dict:
    with _open(path) as sound:
        samples, rate = _samples(sound, start, end), sound.samplerate
        kind, reason = check(samples, rate)
        if not kind and _silent_middle(_mono(samples)) / rate >= longest:
            kind, reason = "silent", f"silent in the middle {longest:.2f} s, which are kept"
        whole = math.isnan(start) and math.isnan(end)
        notes = [] if kind else _notes(sound, samples, whole)
    digest = hashlib.blake2b(samples, digest_size=16)
    digest.update(f"{rate} {samples.shape}".encode())
    return {
        "kind": kind,
        "reason": reason,
        "duration": len(samples) / rate,
        "end": start + len(samples) / rate if math.isnan(end) else end,
        "sampling_rate": rate,
        "digest": digest.hexdigest(),
        "fingerprint": b"" if kind else fingerprint(_mono(samples), rate),
        "notes": notes,
    }


def _silent_middle(signal: np.ndarray) -> float:
    """Count the samples of silence around the middle of a signal."""
    middle = len(signal) // 2
    loud = np.abs(signal - signal[middle]) >= _SILENCE
    halves = loud[:middle][::-1], loud[middle:]
    return 2 * min(float(half.argmax()) if half.any() else len(half) for half in halves)


def _notes(sound: soundfile.SoundFile, samples: np.ndarray, whole: bool) -> list[tuple[str, str]]:
    notes = []
    sizes = re.search(r"^ ?(?:data|SSND) : (\d+) \(should be (\d+)\)", sound.extra_info, re.M)
    said, there = map(int, sizes.groups()) if sizes else (sound.frames, len(samples))
    # Recordings that were written into a pipe say the largest possible size.
    if (sizes or whole) and there < 0.99 * said and said < 2**31 - 2**16:
        notes.append(("truncated", f"it holds {there / said:.0%} of what its header says"))
    if max(samples.max(), -samples.min()) >= _CLIPPED:
        hit = (np.abs(samples) >= _CLIPPED).any(axis=1)
        if (hit[:-2] & hit[1:-1] & hit[2:]).any():
            notes.append(("clipped", "three samples or more in a row at full scale"))
    if samples.shape[1] > 1:
        notes.append(("stereo", f"{samples.shape[1]} channels, averaged"))
    return notes
