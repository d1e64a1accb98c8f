"""Read emotion, speaker and sentence from the native file names of each corpus.

A parser takes a path relative to the corpus's folder and returns :class:`Labels`, or the reason
(str) why the file is not part of the corpus.
"""

import re
from dataclasses import dataclass
from pathlib import PurePath

EMOTIONS = ("angry", "boredom", "calm", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""The emotions of the five corpora, by the names used everywhere in the study."""

_ALIASES = {
    "angry": "anger ang",
    "boredom": "bored boring",
    "calm": "calmness",
    "disgust": "disgusted dis",
    "fear": "fearful afraid anxiety anxious scared fea",
    "happy": "happiness joy joyful hap",
    "neutral": "neutrality normal neu",
    "sad": "sadness",
    "surprise": "surprised surprising sur",
    "contempt": "contemptuous",
    "excited": "excitement",
    "frustrated": "frustration",
    "amused": "amusement",
    "sleepy": "sleepiness",
}
_EMOTION_OF = {
    spelling: emotion
    for emotion, others in _ALIASES.items()
    for spelling in (emotion, *others.split())
}


@dataclass(frozen=True)
class Labels:
    """What a file's name and folder say about the utterance.

    Attributes
    ----------
    emotion, speaker, sex, text : str
        Labels in the words of the study; ``sex`` is "m", "f" or "".
    utterance : str
        Identity inside the corpus: two files with the same one are two copies of an utterance.
    misplaced : str
        Why the folder contradicts the name; "" where it does not.
    """

    emotion: str
    speaker: str = ""
    sex: str = ""
    text: str = ""
    utterance: str = ""
    misplaced: str = ""


def emotion_named(word: str) -> str | None:
    """Emotion that a folder or a table calls `word`, or None where the word is not known.

    Examples
    --------
    >>> emotion_named("Anger"), emotion_named("surprised"), emotion_named("wav")
    ('angry', 'surprise', None)
    """
    return _EMOTION_OF.get(word.strip().casefold())


CASIA_SPEAKERS = {"liuchanhg": "f", "zhaoquanyin": "f", "wangzhe": "m", "ZhaoZuoxiang": "m"}
_CASIA_BY_FOLD = {speaker.casefold(): speaker for speaker in CASIA_SPEAKERS}
CASIA_EMOTIONS = ("angry", "fear", "happy", "neutral", "sad", "surprise")


def parse_casia(path: PurePath) -> Labels | str:
    """Read ``<speaker>/<emotion>/<n>.wav`` or ``<emotion>/<n>-<emotion>-<speaker>.wav``."""
    folders = [part.strip() for part in path.parts[:-1]]
    number, *words = re.split(r"[-_ ]+", path.stem.strip())
    if not re.fullmatch(r"\d{1,4}", number) or len(words) not in (0, 2):
        return "its name is not a sentence's number (201 to 250)"
    speakers = [s for f in folders if (s := _CASIA_BY_FOLD.get(f.casefold()))]
    emotions = [e for f in folders if (e := emotion_named(f))]
    said_emotion = next((e for w in words if (e := emotion_named(w))), None)
    said_speaker = next((s for w in words if (s := _CASIA_BY_FOLD.get(w.casefold()))), None)
    speaker = said_speaker or (speakers[-1] if speakers else None)
    emotion = said_emotion or (emotions[-1] if emotions else None)
    if speaker is None or (words and said_speaker is None):
        return "none of the corpus's four speakers is in its path"
    if emotion not in CASIA_EMOTIONS or (words and said_emotion is None):
        return f"unknown emotion {(words or folders)[0 if words else -1]!r}"
    if not 201 <= int(number) <= 250:
        return f"sentence {int(number)} is not among 201 to 250"
    misplaced = ""
    if speakers and speakers[-1] != speaker:
        misplaced = f"of {speaker}, in the folder of {speakers[-1]}"
    elif emotions and emotions[-1] != emotion:
        misplaced = f"named {emotion}, in the folder of {emotions[-1]}"
    identity = f"{speaker}/{emotion}/{int(number)}"
    return Labels(emotion, speaker, CASIA_SPEAKERS[speaker], str(int(number)), identity, misplaced)


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
EMODB_SPEAKERS = {s: "m" if s in ("03", "10", "11", "12", "15") else "f" for s in (
    "03", "08", "09", "10", "11", "12", "13", "14", "15", "16")}  # fmt: skip


def parse_emodb(path: PurePath) -> Labels | str:
    """Read ``SSTTTEV.wav``: speaker, text, emotion letter, version."""
    match = re.fullmatch(r"(\d\d)([ab]\d\d)([a-z])([a-z]?)", path.stem, re.IGNORECASE)
    if match is None:
        return "its name is not like 03a01Fa"
    speaker, text, letter = match[1], match[2].lower(), match[3].upper()
    if letter not in EMODB_LETTERS:
        return f"unknown emotion letter {letter!r}"
    if speaker not in EMODB_SPEAKERS:
        return f"unknown speaker {speaker!r}"
    if text not in EMODB_TEXTS:
        return f"unknown sentence {text!r}"
    identity = f"{speaker}{text}{letter}{match[4].lower()}"
    return Labels(EMODB_LETTERS[letter], speaker, EMODB_SPEAKERS[speaker], text, identity)


SAVEE_CODES = {
    "a": "angry",
    "d": "disgust",
    "f": "fear",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprise",
}
SAVEE_SPEAKERS = dict.fromkeys(("DC", "JE", "JK", "KL"), "m")


def parse_savee(path: PurePath) -> Labels | str:
    """Read ``<speaker>/<code>NN.wav`` or ``<speaker>_<code>NN.wav``."""
    match = re.fullmatch(r"(?:(dc|je|jk|kl)[-_ ]?)?([a-z]{1,2})(\d\d?)", path.stem, re.IGNORECASE)
    if match is None:
        return "its name is not like a01 or DC_a01"
    folders = [p.upper() for p in path.parts[:-1] if p.upper() in SAVEE_SPEAKERS]
    speaker = (match[1] or (folders[-1] if folders else "")).upper()
    code, number = match[2].lower(), int(match[3])
    if not speaker:
        return "none of the corpus's speakers DC, JE, JK, KL is in its path"
    if code not in SAVEE_CODES:
        return f"unknown emotion code {code!r}"
    if not 1 <= number <= (30 if code == "n" else 15):
        return f"there is no sentence {code}{number:02d}"
    misplaced = ""
    if folders and folders[-1] != speaker:
        misplaced = f"of speaker {speaker}, in the folder of {folders[-1]}"
    text = f"{code}{number:02d}"
    return Labels(SAVEE_CODES[code], speaker, "m", text, f"{speaker}/{text}", misplaced)


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
RAVDESS_SPEAKERS = {f"{actor:02d}": "m" if actor % 2 else "f" for actor in range(1, 25)}


def parse_ravdess(path: PurePath) -> Labels | str:
    """Read ``MM-VV-EE-II-SS-RR-AA.wav``: modality, channel, emotion, ..., actor."""
    if not re.fullmatch(r"\d\d(-\d\d){6}", path.stem):
        return "its name is not like 03-01-01-01-01-01-01"
    modality, channel, code, intensity, statement, repetition, actor = path.stem.split("-")
    if modality != "03":
        return "of a video (modality 01 or 02)"
    if channel != "01":
        return "a song (channel 02)" if channel == "02" else f"unknown channel {channel!r}"
    if code not in RAVDESS_CODES:
        return f"unknown emotion code {code!r}"
    if actor not in RAVDESS_SPEAKERS:
        return f"unknown actor {actor!r}"
    if not {intensity, statement, repetition} <= {"01", "02"} or (code, intensity) == ("01", "02"):
        return "no such intensity, statement or repetition"
    misplaced = ""
    folders = [m[1] for p in path.parts[:-1] if (m := re.fullmatch(r"(?i)actor\D*(\d+)", p))]
    if folders and int(folders[-1]) != int(actor):
        misplaced = f"of actor {actor}, in the folder of actor {int(folders[-1]):02d}"
    labels = (RAVDESS_CODES[code], actor, RAVDESS_SPEAKERS[actor], statement)
    return Labels(*labels, utterance=path.stem, misplaced=misplaced)


EMOVO_CODES = {
    "dis": "disgust",
    "gio": "happy",
    "neu": "neutral",
    "pau": "fear",
    "rab": "angry",
    "sor": "surprise",
    "tri": "sad",
}
EMOVO_SPEAKERS = {"f1": "f", "f2": "f", "f3": "f", "m1": "m", "m2": "m", "m3": "m"}


def parse_emovo(path: PurePath) -> Labels | str:
    """Read ``<emo>-<speaker>-<sentence>.wav``."""
    words = path.stem.lower().split("-")
    if len(words) != 3 or not words[2]:
        return "its name is not like dis-f1-b1"
    code, speaker, text = words
    if code not in EMOVO_CODES:
        return f"unknown emotion code {code!r}"
    if speaker not in EMOVO_SPEAKERS:
        return f"unknown speaker {speaker!r}"
    folders = [p.lower() for p in path.parts[:-1] if p.lower() in EMOVO_SPEAKERS]
    misplaced = ""
    if folders and folders[-1] != speaker:
        misplaced = f"of speaker {speaker}, in the folder of {folders[-1]}"
    identity = "-".join(words)
    return Labels(EMOVO_CODES[code], speaker, EMOVO_SPEAKERS[speaker], text, identity, misplaced)
