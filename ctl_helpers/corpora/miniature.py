"""Make small synthetic corpora in the layouts of the real ones.

eSpeak NG speaks sentences of our own in German, Mandarin, British and American English. An emotion
is a change of rate, pitch, range and loudness in the direction that studies of acted speech report
(Murray and Arnott 1993; Burkhardt and Sendlmeier 2000; Scherer 2003), and of the voice itself:
spectral tilt, lips, swell, tremor and breath. All of it is exaggerated, and some of it invented, so
that a small network learns to tell the emotions apart within seconds. They let every part of the
study run anywhere. Scores on them say nothing about emotion.
"""

import ctypes
import hashlib
import io
import os
import re
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import scipy.fft
import soundfile

from ctl_helpers.corpora.catalogue import LAYOUTS, every_path
from ctl_helpers.errors import StudyError
from ctl_helpers.parallel import cache_folder, parallel_map, remove_leftovers

MARKER = "MINIATURE.txt"
"""File that says that the speech below its folder is synthetic."""

SYNTHETIC = "Synthetic speech: the scores mean nothing about emotion."
"""What is said wherever something comes from such speech."""

_FACTS = Path(__file__).with_suffix(".toml")
_PARTIAL = ".miniature-partial-"  # the beginning of the names of folders that are being made
_TREMOR = 9.0  # how deep a voice trembles: so many dB up and down


@dataclass(frozen=True)
class Prosody:
    """How an emotion is spoken.

    Parameters
    ----------
    rate : float
        Factor on the speaker's rate.
    pitch, range : float
        Shift of the pitch and its range, on eSpeak's scale from 0 to 99.
    gain : float
        Loudness in dB, against neutral speech.
    tilt : float
        What the spectrum gains (or loses) per octave above 500 Hz, in dB: a tense or a lax voice.
    lips : float
        What it gains around 2.5 kHz, in dB: lips that are spread, or, less than 0, rounded.
    swell : float
        How much louder the end is than the beginning, in dB.
    tremor : float
        How often the voice trembles, in Hz; 0 for not at all.
    breath : float
        Noise that follows the voice, as a share of its amplitude.
    ending : str
        Punctuation mark, which gives the melody of the sentence.
    """

    rate: float = 1
    pitch: float = 0
    range: float = 50
    gain: float = 0
    tilt: float = 0
    lips: float = 0
    swell: float = 0
    tremor: float = 0
    breath: float = 0
    ending: str = "."


@dataclass(frozen=True)
class Line:
    """One utterance to be spoken.

    Parameters
    ----------
    file : str
        Path below the folder of corpora.
    voice : str
        Language and variant, as eSpeak names them.
    rate, pitch : float
        The speaker's own words per minute, and pitch from 0 to 99.
    text : str
        The sentence, without its punctuation mark.
    prosody : Prosody
        How it is spoken.
    sampling_rate : int
        In Hz.
    channels : int
        One or two, which are alike.
    """

    file: str
    voice: str
    rate: float
    pitch: float
    text: str
    prosody: Prosody
    sampling_rate: int
    channels: int


def _lines() -> Iterator[Line]:
    """All utterances, as miniature.toml lists them."""
    facts = tomllib.loads(_FACTS.read_text(encoding="utf-8"))
    for corpus, said in facts["corpora"].items():
        for path, fields in every_path(said["path"], said):
            labels = LAYOUTS[corpus].parse(PurePosixPath(path))
            if isinstance(labels, str) or re.search(said.get("skip", "(?!)"), path):
                continue
            prosody = Prosody(**facts["prosody"][labels.emotion])
            if fields.get("intensity") == "02":
                prosody = _stronger(prosody)
            variant, rate, pitch = said["speaker"][fields["speaker"]]
            yield Line(
                file=f"{corpus}/{path}",
                voice=f"{said['language']}+{variant}",
                rate=rate,
                pitch=pitch,
                text=said["text"][fields["text"]],
                prosody=prosody,
                sampling_rate=LAYOUTS[corpus].sampling_rate,
                channels=1 + (PurePosixPath(path).stem == said.get("stereo")),
            )


def _stronger(prosody: Prosody) -> Prosody:
    """Take an emotion a third further from neutral."""
    neutral = vars(Prosody())
    numbers = {name: n for name, n in vars(prosody).items() if name not in ("tremor", "ending")}
    further = {name: neutral[name] + 1.3 * (n - neutral[name]) for name, n in numbers.items()}
    return replace(prosody, **further)


def is_miniature(place: str | Path) -> bool:
    """Whether a folder or a recording is one of those that :func:`make_miniature` made."""
    place = Path(place).absolute()
    return any((folder / MARKER).is_file() for folder in (place, *place.parents))


def make_miniature(root: str | Path | None = None, seed: int = 0) -> Path:
    """Make the miniature corpora, unless they are there already.

    Parameters
    ----------
    root : str or Path, optional
        The folder to make; by default one in the cache, of its own for every seed.
    seed : int
        Seed of the small differences between utterances. The same seed gives the same bytes
        (on one kind of machine: eSpeak draws from the system's random numbers).

    Returns
    -------
    Path
        The folder, with casia, emodb, ravdess and savee in their native layouts.

    Raises
    ------
    StudyError
        If the folder holds something else, cannot be written, or speech can not be made here.
    """
    facts = Path(__file__).read_bytes() + _FACTS.read_bytes()
    key = hashlib.sha256(f"{seed} ".encode() + facts).hexdigest()[:12]
    folder = cache_folder() / f"miniature-{key}" if root is None else Path(root).absolute()
    remove_leftovers(folder.parent, f"{_PARTIAL}*")
    if _is_whole(folder, key):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=_PARTIAL, dir=folder.parent, ignore_cleanup_errors=True
        ) as partial:
            whole = Path(partial) / "whole"
            whole.mkdir()
            _speak(whole, seed)
            (whole / MARKER).write_text(
                "Synthetic speech by eSpeak NG: nobody recorded this, and scores on it say "
                f"nothing\nabout emotion. Made by ctl_helpers, seed {seed}, key {key}.\n"
            )
            if folder.is_dir():
                folder.rmdir()
            whole.rename(folder)
    except OSError as error:
        if not _is_whole(folder, key):  # another process may have been faster
            reason = f"cannot write to {folder.parent} ({error.strerror})"
            raise StudyError(f"miniature corpora: {reason}") from error
    return folder


def _is_whole(folder: Path, key: str) -> bool:
    """Whether the folder holds what would be made; an error if it holds anything else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    marker = folder / MARKER
    if marker.is_file() and f"key {key}." in marker.read_text():
        return True
    raise StudyError(
        f"miniature corpora: {folder} is there already and holds something else; "
        "expected a new folder"
    )


def _speak(folder: Path, seed: int) -> None:
    """Speak every line into its file, a little differently every time."""
    lines, spoken = list(_lines()), []
    generators = [np.random.default_rng([seed, number]) for number in range(len(lines))]
    for line, rng in zip(lines, generators, strict=True):
        rate = line.rate * line.prosody.rate * rng.uniform(0.95, 1.05)
        pitch = np.clip(line.pitch + line.prosody.pitch + rng.uniform(-4, 4), 0, 99)
        spread = np.clip(line.prosody.range + rng.uniform(-6, 6), 0, 99)
        numbers = round(rate), round(float(pitch)), round(float(spread))
        spoken.append((line.voice, line.text + line.prosody.ending, numbers))
    rate, signals = _voices(spoken, seed)
    for line, rng, signal in zip(lines, generators, signals, strict=True):
        samples = _record(_colour(signal / 32768.0, rate, line.prosody, rng), rate, line, rng)
        encoded = io.BytesIO()  # soundfile itself would not say that a disk is full
        soundfile.write(encoded, samples, line.sampling_rate, format="WAV", subtype="PCM_16")
        path = folder / line.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded.getbuffer())


def _voices(spoken: list[tuple], seed: int) -> tuple[int, list[np.ndarray]]:
    """Let eSpeak NG speak in a process of its own: its state is global, a fresh one always alike.

    Parameters
    ----------
    spoken : list of tuple
        Voice, text, and rate, pitch and range of each utterance.
    seed : int
        Of eSpeak's random numbers.

    Returns
    -------
    rate : int
        In Hz.
    signals : list of ndarray of int16, shape (samples,)
        One for each utterance.
    """
    try:
        import espeakng_loader

        places = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
        return parallel_map(_espeak, [(*places, spoken, seed)], jobs=1, apart=True)[0]
    except ImportError as error:
        raise StudyError(
            "miniature corpora: expected the package espeakng-loader, found none; "
            "install it or give a folder of corpora"
        ) from error
    except Exception as error:
        raise StudyError(
            f"miniature corpora: eSpeak NG could not speak on this machine ({error})"
        ) from error


def _espeak(item: tuple) -> tuple[int, list[np.ndarray]]:
    """Load eSpeak NG and speak (in the process of its own); see :func:`_voices`."""
    path, data, spoken, seed = item
    os.chdir(Path(data).parent)  # eSpeak cuts long paths to its data
    library = ctypes.CDLL(str(path))
    synchronous, stay_alive, utf8 = 2, 1 << 15, 1
    rate = library.espeak_Initialize(synchronous, 0, Path(data).name.encode(), stay_alive)
    if rate <= 0:
        raise RuntimeError("its voices were not found")
    # Its pitch flutters at random, seeded from the clock unless a seed is set.
    library.espeak_ng_SetRandSeed(ctypes.c_long(seed + 1))
    heard: list[np.ndarray] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def keep(samples, count, _events):
        if samples and count > 0:
            heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    library.espeak_SetSynthCallback(keep)
    signals = []
    for voice, text, numbers in spoken:
        heard.clear()
        if library.espeak_SetVoiceByName(voice.encode()):
            raise RuntimeError(f"it has no voice {voice}")
        for parameter, value in zip((1, 3, 4), numbers, strict=True):  # rate, pitch, range
            library.espeak_SetParameter(parameter, value, 0)
        data = text.encode()
        size = ctypes.c_size_t(len(data) + 1)
        library.espeak_Synth(data, size, 0, 1, 0, utf8, None, None)
        library.espeak_Synchronize()
        if not heard:
            raise RuntimeError(f"it said nothing for {text!r}")
        signals.append(np.concatenate(heard))
    return rate, signals


def _colour(
    signal: np.ndarray, rate: int, prosody: Prosody, rng: np.random.Generator
) -> np.ndarray:
    """Change the voice as the emotion says: breath, tilt, lips, swell and tremor."""
    if prosody.breath:
        envelope = np.convolve(np.abs(signal), np.ones(rate // 50) / (rate // 50), "same")
        signal = signal + prosody.breath * envelope * rng.normal(0, 1, len(signal))
    size = scipy.fft.next_fast_len(len(signal), real=True)
    octaves = np.log2(np.clip(scipy.fft.rfftfreq(size, 1 / rate), 500, 8000) / 500)
    decibels = prosody.tilt * octaves + prosody.lips * np.exp(-8 * (octaves - np.log2(5)) ** 2)
    spectrum = scipy.fft.rfft(signal, size) * 10 ** (decibels / 20)
    signal = scipy.fft.irfft(spectrum, size)[: len(signal)]
    time = np.arange(len(signal)) / rate
    level = prosody.swell * (np.linspace(0, 1, len(signal)) - 0.5)
    if prosody.tremor:
        level += _TREMOR * np.sin(2 * np.pi * (prosody.tremor * time + rng.uniform()))
    return signal * 10 ** (level / 20)


def _record(signal: np.ndarray, rate: int, line: Line, rng: np.random.Generator) -> np.ndarray:
    """Set the loudness, resample to the corpus's rate and add a room's faint noise."""
    import librosa

    level = 10 ** ((line.prosody.gain - 24 + rng.uniform(-1, 1)) / 20)
    signal = signal * level / np.sqrt(np.mean(signal**2))
    signal = librosa.resample(
        signal, orig_sr=rate, target_sr=line.sampling_rate, res_type="soxr_hq"
    )
    signal = signal + rng.normal(0, 10 ** (-70 / 20), len(signal))
    signal = signal / max(1.0, np.abs(signal).max() / 0.95)
    return np.column_stack([signal] * line.channels)
