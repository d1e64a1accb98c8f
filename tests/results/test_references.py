"""What a report cites: each corpus and method of its runs, and nothing that it does not use."""

import re
from pathlib import Path

import pandas as pd

from ctl_helpers.corpora import CATALOGUE
from ctl_helpers.networks import ADAPTATIONS, NETWORKS
from ctl_helpers.results.published import references

ROW = dict.fromkeys(["corpus", "source", "target", "method", "recipe", "protocol"], "")


def keys(*rows):
    return set(re.findall(r"@\w+\{(\w+),", references(pd.DataFrame([ROW | row for row in rows]))))


def test_a_study_cites_what_it_used():
    network = {"corpus": "emodb", "method": "cpac", "recipe": "modern", "protocol": "kfold"}
    assert keys(network) == {
        "wen2022ctlmtnet",
        "mcfee2015librosa",
        "burkhardt2005emodb",
        "sabour2017capsules",
    }
    across = {"source": "casia+ravdess", "target": "savee", "method": "cdan-e"}
    fusion = {"corpus": "emovo", "method": "mean(timnet/timnet, compare+linear)"}
    found = keys(across, fusion)
    assert {"tao2008casia", "livingstone2018ravdess", "haq2009savee", "long2018cdan"} <= found
    assert {"ye2023timnet", "schuller2016compare", "pedregosa2011scikit"} <= found
    assert not {"burkhardt2005emodb", "eyben2016gemaps", "ganin2016dann"} & found


def test_every_published_corpus_and_method_has_an_entry():
    every = keys()
    for name in CATALOGUE:
        assert keys({"corpus": name}) > every, name
    for name in {*NETWORKS, *ADAPTATIONS} - {"source-only", "caam", "perceptron"}:
        assert keys({"method": name}) > every, name


def test_entries_are_balanced_and_have_author_title_and_year():
    folder = Path(references.__code__.co_filename).parent
    text = (folder / "references.bib").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=@)", text)[1:]
    assert len({re.match(r"@\w+\{(\w+),", entry)[1] for entry in entries}) == len(entries) > 20
    for entry in entries:
        assert entry.count("{") == entry.count("}")
        for field in ("author", "title", "year", "keywords"):
            assert re.search(rf"^  {field} = \{{", entry, re.MULTILINE), entry
