"""Read emotion, speaker and sentence from the native file names of each corpus.

A parser takes a path relative to the corpus's folder, and the sex of each speaker of the corpus; it
returns :class:`Labels`, or the reason (str) why the file is not part of the corpus.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from ctl_helpers.corpora.words import emotion_named


@dataclass(frozen=True)
class Labels:
    """What a file's name and folder (or the row of a table) say about an utterance.

    Attributes
    ----------
    emotion, speaker, sex, text : str
        Labels in the words of the study; ``sex`` is "m", "f" or "".
    identity : str
        Name inside the corpus: two files with the same one are two copies of an utterance.
    misplaced : str
        Why the folder contradicts the name; "" where it does not.
    """

    emotion: str
    speaker: str = ""
    sex: str = ""
    text: str = ""
    identity: str = ""
    misplaced: str = ""


def _labels(
    path: PurePath,
    codes: dict[str, str],
    code: str,
    speakers: Mapping[str, str],
    speaker: str,
    text: str,
    identity: str,
    words: tuple[str, str] = ("emotion code", "speaker"),
    sorted_by: str = "",
) -> Labels | str:
    """Check a name's parts against what the corpus has, and against the folders it lies in.

    `sorted_by` is a pattern of folders that name a speaker in their first group.
    """
    if code not in codes:
        return f"unknown {words[0]} {code!r}"
    if speaker not in speakers:
        return f"unknown {words[1]} {speaker!r}"
    emotion, misplaced = codes[code], ""
    for folder in reversed(path.parts[:-1]):
        match = re.fullmatch(sorted_by or "(?!)", folder, re.IGNORECASE)
        if match and match[1].lstrip("0").casefold() != speaker.lstrip("0").casefold():
            misplaced = f"of {words[1]} {speaker}, in the folder of {match[1].upper()}"
        elif emotion_named(folder) not in (None, emotion):
            misplaced = f"named {emotion}, in the folder {folder}"
        if misplaced:
            break
    return Labels(emotion, speaker, speakers[speaker], text, identity, misplaced)


CASIA_EMOTIONS = ("angry", "fear", "happy", "neutral", "sad", "surprise")


def parse_casia(path: PurePath, speakers: Mapping[str, str]) -> Labels | str:
    """Read ``<speaker>/<emotion>/<n>.wav`` or ``<emotion>/<n>-<emotion>-<speaker>.wav``."""
    folders = [part.strip() for part in path.parts[:-1]]
    number, *words = re.split(r"[-_ ]+", path.stem.strip())
    if not re.fullmatch(r"[0-9]{1,4}", number) or len(words) not in (0, 2):
        return "its name is not a sentence's number (201 to 250)"
    spelled = {speaker.casefold(): speaker for speaker in speakers}

    def last(parts: list[str], known: Callable[[str], str | None]) -> str | None:
        return next((found for part in reversed(parts) if (found := known(part))), None)

    def speaker_named(word: str) -> str | None:
        return spelled.get(word.casefold())

    speaker, emotion = last(words or folders, speaker_named), last(words or folders, emotion_named)
    if speaker is None:
        return "none of the corpus's four speakers is in its path"
    if emotion not in CASIA_EMOTIONS:
        return f"unknown emotion {(words or folders)[0 if words else -1]!r}"
    if not 201 <= int(number) <= 250:
        return f"sentence {int(number)} is not among 201 to 250"
    misplaced = ""
    if last(folders, speaker_named) not in (None, speaker):
        misplaced = f"of {speaker}, in the folder of {last(folders, speaker_named)}"
    elif last(folders, emotion_named) not in (None, emotion):
        misplaced = f"named {emotion}, in the folder of {last(folders, emotion_named)}"
    identity = f"{speaker}/{emotion}/{int(number)}"
    return Labels(emotion, speaker, speakers[speaker], str(int(number)), identity, misplaced)


EMODB_LETTERS = {
    "W": "angry",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happy",
    "T": "sad",
    "N": "neutral",
}
EMODB_TEXTS = ("a01", "a02", "a04", "a05", "a07", "b01", "b02", "b03", "b09", "b10")


def parse_emodb(path: PurePath, speakers: Mapping[str, str]) -> Labels | str:
    """Read ``SSTTTEV.wav``: speaker, text, emotion letter, version."""
    pattern = r"([0-9]{2})([ab][0-9]{2})([a-z])([a-z]?)"
    match = re.fullmatch(pattern, path.stem, re.IGNORECASE | re.ASCII)
    if match is None:
        return "its name is not like 03a01Fa"
    speaker, text, letter, version = match[1], match[2].lower(), match[3].upper(), match[4].lower()
    if text not in EMODB_TEXTS:
        return f"unknown sentence {text!r}"
    identity = f"{speaker}{text}{letter}{version}"
    words = ("emotion letter", "speaker")
    return _labels(path, EMODB_LETTERS, letter, speakers, speaker, text, identity, words)


SAVEE_CODES = {
    "a": "angry",
    "d": "disgust",
    "f": "fear",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprise",
}


def parse_savee(path: PurePath, speakers: Mapping[str, str]) -> Labels | str:
    """Read ``<speaker>/<code>NN.wav`` or ``<speaker>_<code>NN.wav``."""
    one_of = f"({'|'.join(speakers)})"
    pattern = rf"(?:{one_of}[-_ ]?)?([a-z]{{1,2}})([0-9]{{1,2}})"
    match = re.fullmatch(pattern, path.stem, re.IGNORECASE | re.ASCII)
    if match is None:
        return "its name is not like a01 or DC_a01"
    folders = [part.upper() for part in path.parts[:-1] if part.upper() in speakers]
    speaker = (match[1] or (folders[-1] if folders else "")).upper()
    code, number = match[2].lower(), int(match[3])
    if not speaker:
        return f"none of the corpus's speakers {', '.join(speakers)} is in its path"
    if code in SAVEE_CODES and not 1 <= number <= (30 if code == "n" else 15):
        return f"there is no sentence {code}{number:02d}"
    text = f"{code}{number:02d}"
    identity = f"{speaker}/{text}"
    return _labels(path, SAVEE_CODES, code, speakers, speaker, text, identity, sorted_by=one_of)


RAVDESS_CODES = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}


def parse_ravdess(path: PurePath, speakers: Mapping[str, str]) -> Labels | str:
    """Read ``MM-VV-EE-II-SS-RR-AA.wav``: modality, channel, emotion, ..., actor."""
    if not re.fullmatch(r"[0-9]{2}(-[0-9]{2}){6}", path.stem):
        return "its name is not like 03-01-01-01-01-01-01"
    modality, channel, code, intensity, statement, repetition, actor = path.stem.split("-")
    if modality != "03":
        return "of a video (modality 01 or 02)"
    if channel != "01":
        return "a song (channel 02)" if channel == "02" else f"unknown channel {channel!r}"
    words, by_actor = ("emotion code", "actor"), r"actor\D*([0-9]+)"
    labels = _labels(
        path, RAVDESS_CODES, code, speakers, actor, statement, path.stem, words, by_actor
    )
    if isinstance(labels, str):
        return labels
    if not {intensity, statement, repetition} <= {"01", "02"} or (code, intensity) == ("01", "02"):
        return "no such intensity, statement or repetition"
    return labels


EMOVO_CODES = {
    "dis": "disgust",
    "gio": "happy",
    "neu": "neutral",
    "pau": "fear",
    "rab": "angry",
    "sor": "surprise",
    "tri": "sad",
}


def parse_emovo(path: PurePath, speakers: Mapping[str, str]) -> Labels | str:
    """Read ``<emo>-<speaker>-<sentence>.wav``."""
    code, speaker, text = (*path.stem.lower().split("-"), "", "")[:3]
    if path.stem.count("-") != 2 or not text:
        return "its name is not like dis-f1-b1"
    folders = f"({'|'.join(speakers)})"
    identity = path.stem.lower()
    return _labels(path, EMOVO_CODES, code, speakers, speaker, text, identity, sorted_by=folders)


TESS_CODES = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprise",
    "sad": "sad",
}


def parse_tess(path: PurePath, speakers: Mapping[str, str]) -> Labels | str:
    """Read ``<speaker>_<word>_<emotion>.wav``; OA stands for OAF, as in one of its names."""
    match = re.fullmatch(r"(OAF?|YAF)_(\w+)_([a-z]+)", path.stem, re.IGNORECASE)
    if match is None:
        return "its name is not like OAF_back_angry"
    speaker = "YAF" if match[1].upper() == "YAF" else "OAF"
    text, code = match[2].lower(), match[3].lower()
    identity = f"{speaker}_{text}_{code}"
    folders = r"(OAF|YAF)_.*"
    return _labels(path, TESS_CODES, code, speakers, speaker, text, identity, sorted_by=folders)


CREMAD_CODES = {
    "ANG": "angry",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}


def parse_cremad(path: PurePath, speakers: Mapping[str, str]) -> Labels | str:
    """Read ``<actor>_<sentence>_<emotion>_<level>.wav``."""
    match = re.fullmatch(r"([0-9]{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{1,2})", path.stem.upper())
    if match is None:
        return "its name is not like 1001_DFA_ANG_XX"
    words = ("emotion code", "actor")
    return _labels(path, CREMAD_CODES, match[3], speakers, match[1], match[2], match[0], words)


ESD_EMOTIONS = ("neutral", "angry", "happy", "sad", "surprise")


def parse_esd(path: PurePath, speakers: Mapping[str, str]) -> Labels | str:
    """Read ``<speaker>/<emotion>/<speaker>_<n>.wav``: 350 sentences for each of 5 emotions."""
    match = re.fullmatch(r"([0-9]{4})_([0-9]{6})", path.stem)
    if match is None:
        return "its name is not like 0011_000351"
    speaker, number = match[1], int(match[2]) - 1
    if not 0 <= number < 350 * len(ESD_EMOTIONS):
        return f"utterance {number + 1} is not among 1 to 1750"
    # Speakers 1 to 10 say the same 350 sentences in Mandarin, the others in English.
    text = f"{'zh' if speaker <= '0010' else 'en'}{number % 350 + 1:03d}"
    codes = {emotion: emotion for emotion in ESD_EMOTIONS}
    code = ESD_EMOTIONS[number // 350]
    return _labels(path, codes, code, speakers, speaker, text, path.stem, sorted_by=r"(00[0-9]{2})")


def parse_iemocap(path: PurePath, speakers: Mapping[str, str]) -> Labels | str:
    """Read ``<emotion>/SesNNG_<dialogue>_GNNN.wav`` or ``SesNNG_<dialogue>_GNNN_<emotion>.wav``.

    The original names do not tell the emotion: copies sorted by emotion (or a table) do.
    """
    name = r"(Ses(0[1-5])[FM]_((?:impro|script)\w+)_([FM])[0-9]{3})(?:_([a-z]+))?"
    match = re.fullmatch(name, path.stem, re.IGNORECASE | re.ASCII)
    if match is None:
        return "its name is not like Ses01F_impro01_F000"
    folders = [part for part in path.parts[:-1] if emotion_named(part)]
    code = match[5] or (folders[-1] if folders else "")
    emotion = emotion_named(code)
    if emotion is None:
        return f"unknown emotion code {code!r}" if code else "neither name nor folder tell emotion"
    speaker = f"{match[2]}{match[4].upper()}"
    text = match[3].lower()
    return _labels(path, {emotion: emotion}, emotion, speakers, speaker, text, match[1])
