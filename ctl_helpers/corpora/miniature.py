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
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import scipy.fft
import soundfile

from ctl_helpers.corpora.native import CASIA_EMOTIONS, EMODB_LETTERS, RAVDESS_CODES, SAVEE_CODES
from ctl_helpers.errors import StudyError
from ctl_helpers.parallel import cache_folder

MARKER = "MINIATURE.txt"
"""File that says that the speech below its folder is synthetic."""

_PARTIAL = ".miniature-partial-"  # the beginning of the names of folders that are being made
_SECONDS_AT_MOST = 3600  # that a folder needs to be made
_CAN_NOT_WRITE = 74  # exit status of the process that speaks
_TREMOR = 9.0  # how deep a voice trembles: so many dB up and down
_CHILD = "import sys; from ctl_helpers.corpora import miniature as m; m._speak(*sys.argv[1:])"


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

    rate: float
    pitch: float
    range: float
    gain: float
    tilt: float = 0
    lips: float = 0
    swell: float = 0
    tremor: float = 0
    breath: float = 0
    ending: str = "."


@dataclass(frozen=True)
class Voice:
    """A speaker: an eSpeak variant, and its own rate (words per minute) and pitch (0 to 99)."""

    variant: str
    rate: float
    pitch: float


@dataclass(frozen=True)
class Line:
    """One utterance to be spoken, and the file (below the folder of corpora) that will hold it."""

    file: str
    language: str
    voice: Voice
    text: str
    prosody: Prosody
    sampling_rate: int
    channels: int = 1


PROSODY = {
    "angry": Prosody(1.25, 8, 85, 6, tilt=4, swell=-6, ending="!"),
    "boredom": Prosody(0.78, -12, 15, -4, tilt=-1, swell=-16),
    "calm": Prosody(0.88, -5, 35, -7, tilt=-4, breath=0.25),
    "disgust": Prosody(0.80, -10, 60, -1, tilt=3, swell=8, tremor=3),
    "fear": Prosody(1.30, 24, 30, -1, tilt=1, tremor=6, breath=0.25),
    "happy": Prosody(1.12, 14, 95, 3, lips=12, tremor=4, ending="!"),
    "neutral": Prosody(1.00, 0, 50, 0),
    "sad": Prosody(0.70, -6, 12, -9, tilt=-6, swell=-4),
    "surprise": Prosody(1.05, 22, 99, 2, tilt=1, lips=-12, swell=18, ending="?"),
}

_EMODB = {
    "03": Voice("m1", 185, 45),
    "08": Voice("f1", 190, 50),
    "09": Voice("f2", 180, 46),
    "10": Voice("m3", 195, 50),
    "11": Voice("m7", 178, 42),
}
_EMODB_TEXTS = {
    "a01": "Das Fenster in der Küche ist noch offen",
    "a02": "Morgen früh kommt der neue Zug nach Bremen",
    "b01": "Die blaue Tasse steht neben dem frischen Brot",
}
_CASIA = {
    "liuchanhg": Voice("f1", 215, 50),
    "zhaoquanyin": Voice("f4", 223, 47),
    "wangzhe": Voice("m2", 211, 48),
    "ZhaoZuoxiang": Voice("m3", 219, 44),
}
_CASIA_TEXTS = {
    201: "今天下午城里下雨",
    202: "他在学校门口等车",
    203: "桌上有一本书和笔",
    204: "明天我们坐火车回家",
}
_SAVEE = {
    "DC": Voice("m1", 190, 46),
    "JE": Voice("m3", 198, 50),
    "JK": Voice("m4", 184, 43),
    "KL": Voice("m7", 192, 48),
}
_SAVEE_TEXTS = (
    "The old kettle is still standing on the stove",
    "We left the little boat down by the bridge",
    "Your second letter came early this morning",
    "The garden gate was painted green last summer",
    "He always counts the steps up to the door",
    "There is a map of the city on the wall",
)
_RAVDESS = {
    "01": Voice("m1", 190, 47),
    "02": Voice("f1", 188, 50),
    "03": Voice("m6", 196, 44),
    "04": Voice("f3", 194, 47),
}
_RAVDESS_TEXTS = {
    "01": "The train to the coast is leaving from here",
    "02": "The birds in the garden are singing out there",
}


def _emodb_lines() -> Iterator[Line]:
    for (speaker, voice), (text, words), (letter, emotion) in product(
        _EMODB.items(), _EMODB_TEXTS.items(), EMODB_LETTERS.items()
    ):
        yield Line(
            f"emodb/wav/{speaker}{text}{letter}a.wav", "de", voice, words, PROSODY[emotion], 16_000
        )


def _casia_lines() -> Iterator[Line]:
    for (speaker, voice), emotion, (number, words) in product(
        _CASIA.items(), CASIA_EMOTIONS, _CASIA_TEXTS.items()
    ):
        yield Line(
            f"casia/{speaker}/{emotion}/{number}.wav", "cmn", voice, words, PROSODY[emotion], 16_000
        )


def _savee_lines() -> Iterator[Line]:
    for (speaker, voice), (code, emotion) in product(_SAVEE.items(), SAVEE_CODES.items()):
        for number, words in enumerate(_SAVEE_TEXTS[: 6 if code == "n" else 3], start=1):
            file = f"savee/AudioData/{speaker}/{code}{number:02d}.wav"
            yield Line(file, "en-gb-x-rp", voice, words, PROSODY[emotion], 44_100)


def _ravdess_lines() -> Iterator[Line]:
    for (actor, voice), (code, emotion), intensity, (statement, words) in product(
        _RAVDESS.items(), RAVDESS_CODES.items(), ("01", "02"), _RAVDESS_TEXTS.items()
    ):
        if (code, intensity) == ("01", "02"):
            continue
        name = f"03-01-{code}-{intensity}-{statement}-01-{actor}"
        file = f"ravdess/Actor_{actor}/{name}.wav"
        prosody = _stronger(PROSODY[emotion]) if intensity == "02" else PROSODY[emotion]
        # The original has a few stereo files, too.
        channels = 2 if name == "03-01-02-01-01-01-01" else 1
        yield Line(file, "en-us", voice, words, prosody, 48_000, channels)


def _stronger(prosody: Prosody) -> Prosody:
    """Take an emotion a third further from neutral."""
    return replace(
        prosody,
        rate=1 + 1.3 * (prosody.rate - 1),
        pitch=1.3 * prosody.pitch,
        range=50 + 1.3 * (prosody.range - 50),
        **{
            name: 1.3 * getattr(prosody, name)
            for name in ("gain", "tilt", "lips", "swell", "breath")
        },
    )


def _lines() -> list[Line]:
    return [*_emodb_lines(), *_casia_lines(), *_savee_lines(), *_ravdess_lines()]


def is_miniature(root: str | Path) -> bool:
    """Whether a folder of corpora, or of one of them, was made by :func:`make_miniature`."""
    root = Path(root).absolute()
    return any((folder / MARKER).is_file() for folder in (root, root.parent))


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
        If the folder holds something else, can not be written, or speech can not be made here.
    """
    content = hashlib.sha256(f"{seed} ".encode() + Path(__file__).read_bytes())
    key = content.hexdigest()[:12]
    folder = cache_folder() / f"miniature-{key}" if root is None else Path(root).absolute()
    _remove_leftovers(folder.parent)
    if _is_whole(folder, key):
        return folder
    with _writing_to(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=folder.parent))
    try:
        _speak_apart(partial, seed)
        with _writing_to(folder.parent):
            (partial / MARKER).write_text(
                "Synthetic speech by eSpeak NG: nobody recorded this, and scores on it say "
                f"nothing\nabout emotion. Made by ctl_helpers, seed {seed}, key {key}.\n"
            )
            partial.chmod(0o755)
            _move(partial, folder, key)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Turn an error of the file system, such as a full disk, into one line that names it."""
    try:
        yield
    except OSError as error:
        raise StudyError(
            f"miniature corpora: can not write to {folder} ({error.strerror})"
        ) from error


def _remove_leftovers(parent: Path) -> None:
    """Remove what killed processes left half-made; a younger one may still be at work."""
    for partial in parent.glob(f"{_PARTIAL}*"):
        with suppress(OSError):  # removed by another process meanwhile
            if time.time() - partial.stat().st_mtime > _SECONDS_AT_MOST:
                shutil.rmtree(partial, ignore_errors=True)


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


def _move(partial: Path, folder: Path, key: str) -> None:
    """Put the whole folder in its place; another process may have been faster."""
    try:
        if folder.is_dir():
            folder.rmdir()
        partial.rename(folder)
    except OSError:
        if not _is_whole(folder, key):
            raise


def _speak_apart(folder: Path, seed: int) -> None:
    """Speak in a process of its own: eSpeak's state is global, and a fresh one always alike.

    The process starts where eSpeak's data lies, since eSpeak cuts long paths to its data.
    """
    try:
        import espeakng_loader
    except ImportError as error:
        raise StudyError(
            "miniature corpora: expected the package espeakng-loader, found none; "
            "install it or give a folder of corpora"
        ) from error
    paths = [str(Path(__file__).parents[2]), *(os.path.abspath(path) for path in sys.path)]
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(folder), str(seed)],
        cwd=Path(espeakng_loader.get_data_path()).parent,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    reason = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
    if done.returncode == _CAN_NOT_WRITE:
        raise StudyError(f"miniature corpora: can not write to {folder.parent} ({reason})")
    if done.returncode:
        raise StudyError(f"miniature corpora: eSpeak NG could not speak on this machine ({reason})")


def _speak(folder: str, seed: str) -> None:
    """Speak every line into its file (in the process of its own)."""
    say, rate = _espeak(int(seed))
    for number, line in enumerate(_lines()):
        rng = np.random.default_rng([int(seed), number])
        signal = _colour(_render(say, line, rng), rate, line.prosody, rng)
        samples = _record(signal, rate, line, rng)
        _write(Path(folder) / line.file, samples, line.sampling_rate)


def _write(path: Path, samples: np.ndarray, rate: int) -> None:
    """Write a recording; where the system refuses, end with its reason alone."""
    encoded = io.BytesIO()  # soundfile itself would not say that a disk is full
    soundfile.write(encoded, samples, rate, format="WAV", subtype="PCM_16")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded.getbuffer())
    except OSError as error:
        print(error.strerror, file=sys.stderr)
        sys.exit(_CAN_NOT_WRITE)


def _espeak(seed: int) -> tuple[Callable[[str, str, dict[int, float]], np.ndarray], int]:
    """Load eSpeak NG; return a function of voice, text and parameters, and its rate in Hz.

    Its pitch flutters at random, seeded from the clock unless told otherwise.
    """
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    synchronous, stay_alive, utf8 = 2, 1 << 15, 1
    data = Path(espeakng_loader.get_data_path()).name.encode()
    rate = library.espeak_Initialize(synchronous, 0, data, stay_alive)
    if rate <= 0:
        raise RuntimeError("its voices were not found")
    library.espeak_ng_SetRandSeed(ctypes.c_long(seed + 1))
    heard: list[np.ndarray] = []
    prototype = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
    )

    @prototype
    def keep(samples, count, _events):
        if samples and count > 0:
            heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    library.espeak_SetSynthCallback(keep)

    def say(voice: str, text: str, parameters: dict[int, float]) -> np.ndarray:
        heard.clear()
        if library.espeak_SetVoiceByName(voice.encode()):
            raise RuntimeError(f"it has no voice {voice}")
        for parameter, value in parameters.items():
            library.espeak_SetParameter(parameter, round(value), 0)
        data = text.encode()
        size = ctypes.c_size_t(len(data) + 1)
        library.espeak_Synth(data, size, 0, 1, 0, utf8, None, None)
        library.espeak_Synchronize()
        if not heard:
            raise RuntimeError(f"it said nothing for {text!r}")
        return np.concatenate(heard) / 32768.0

    say.keep = keep  # type: ignore[attr-defined]  # the library calls it: it has to live as long as `say`
    return say, rate


def _render(say: Callable, line: Line, rng: np.random.Generator) -> np.ndarray:
    """Speak a line, a little differently every time."""
    rate_id, pitch_id, range_id = 1, 3, 4
    prosody = line.prosody
    parameters = {
        rate_id: line.voice.rate * prosody.rate * rng.uniform(0.95, 1.05),
        pitch_id: np.clip(line.voice.pitch + prosody.pitch + rng.uniform(-4, 4), 0, 99),
        range_id: np.clip(prosody.range + rng.uniform(-6, 6), 0, 99),
    }
    voice = f"{line.language}+{line.voice.variant}"
    return say(voice, line.text + prosody.ending, parameters)


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
