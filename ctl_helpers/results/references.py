"""What a report has to cite: the BibTeX entries of its corpora and methods."""

import re
from pathlib import Path

import pandas as pd

_ENTRIES = Path(__file__).with_name("references.bib")
_SAID_BY = ["corpus", "source", "target", "method", "recipe", "protocol"]


def references(runs: pd.DataFrame) -> str:
    """Give the entries that some runs need, as BibTeX.

    Parameters
    ----------
    runs : DataFrame
        As :func:`ctl_helpers.results.runs.load_runs` gives it.
    """
    used = {"every"}
    for text in runs.reindex(columns=_SAID_BY).astype(str).to_numpy().ravel():
        used.update(re.findall(r"[\w-]+", text))
    _, *entries = re.split(r"\n(?=@)", _ENTRIES.read_text(encoding="utf-8"))
    keywords = [re.search(r"keywords = \{(.*)\}", entry)[1].split(", ") for entry in entries]
    return "\n".join(e for e, words in zip(entries, keywords, strict=True) if used & set(words))
