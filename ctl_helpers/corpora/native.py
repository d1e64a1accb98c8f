"""What file names and tables say of an utterance, and the facts that names are read by."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

FACTS: dict[str, dict] = tomllib.loads(
    Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8")
)
"""What catalogue.toml says of each corpus."""

EMODB_LETTERS: dict[str, str] = FACTS["emodb"]["codes"]
SAVEE_CODES: dict[str, str] = FACTS["savee"]["codes"]
RAVDESS_CODES: dict[str, str] = FACTS["ravdess"]["codes"]
CASIA_EMOTIONS = tuple(sorted(FACTS["casia"]["emotions"]))


@dataclass(frozen=True)
class Labels:
    """What a file's name and folder (or the row of a table) say about an utterance.

    Attributes
    ----------
    emotion, speaker, sex, text : str
        Labels in the words of the study; ``sex`` is "m", "f" or "".
    utterance : str
        Name inside the corpus: two files with the same one are two copies of an utterance.
    misplaced : str
        Why the folder contradicts the name; "" where it does not.
    """

    emotion: str
    speaker: str = ""
    sex: str = ""
    text: str = ""
    utterance: str = ""
    misplaced: str = ""
