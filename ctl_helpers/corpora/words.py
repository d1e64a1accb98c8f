"""Name emotions alike, whatever they are called: words.toml lists the words of ten languages."""

import re
import shlex
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

EMOTIONS = ("angry", "boredom", "calm", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""The emotions of the five corpora, by the names used everywhere in the study."""


def uncased(word: str) -> str:
    """Write a word without case and outer blanks; accents tell speakers and sentences apart."""
    return unicodedata.normalize("NFKC", word.strip().casefold())


@lru_cache(maxsize=2**16)
def fold(word: str) -> str:
    """Write a word without case, accents of Latin letters and outer blanks, for comparing it.

    Numbers lose their leading zeros, which YAML does not keep.
    """
    letters = "".join(
        unicodedata.normalize("NFKD", letter)[0] if _is_latin(letter) else letter
        for letter in uncased(word)
        if not unicodedata.combining(letter)
    )
    letters = letters.translate({ord("ı"): "i", ord("ł"): "l", ord("_"): " "})
    return str(int(letters)) if letters.isdecimal() and len(letters) < 100 else letters


def _is_latin(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("LATIN")


WORDS: dict[str, dict[str, list[str]]] = tomllib.loads(
    Path(__file__).with_name("words.toml").read_text(encoding="utf-8")
)
"""Words (list) by emotion and language."""
_EMOTION_OF = {
    fold(word): emotion
    for emotion, languages in WORDS.items()
    for words in languages.values()
    for word in words
}


def emotion_named(word: str, labels: Mapping[str, str] | None = None) -> str | None:
    """Emotion that a folder or a table calls `word`, or None where the word is not known.

    Parameters
    ----------
    word : str
        In any case, in one of the languages of ``words.toml``, or a code such as ``ang``.
    labels : mapping, optional
        Label map: from words, or from the study's emotions, to your own labels. ``""`` leaves
        the word out.

    Examples
    --------
    >>> emotion_named("Anger"), emotion_named("überrascht"), emotion_named("wav")
    ('angry', 'surprise', None)
    >>> emotion_named("exc"), emotion_named("exc", {"excited": "happy"})
    ('excited', 'happy')
    """
    known = _EMOTION_OF.get(fold(word))
    if labels:
        labels = {fold(ours): theirs for ours, theirs in labels.items()}
        known = labels.get(fold(word), labels.get(known, known))
        known = fold(known) if known and fold(known) in EMOTIONS else known
    return known or None


def reason_against(word: str, labels: Mapping[str, str] | None = None) -> str:
    """Why utterances with a word that `emotion_named` does not know are left out."""
    mapped = labels and (emotion_named(word) or fold(word) in map(fold, labels))
    return "left out by the label map" if mapped else f"unknown emotion {word!r}"


def unknown_words(reasons: Iterable[str]) -> str:
    """Name the words that `reason_against` calls unknown, and how to say what they mean."""
    found = (re.match(r"unknown emotion (['\"])(.+)\1", reason) for reason in reasons)
    words = list(dict.fromkeys(match[2] for match in found if match))
    if not words:
        return ""
    listed = ", ".join([*words[:10], "..."] if len(words) > 10 else words)
    return f"; unknown: {listed} (to use them: --emotions {shlex.quote(words[0] + ':neutral')})"
