"""Somebody's own network, classifier, protocol and features in one study, from outside."""

import numpy as np
import pandas as pd
from toys import CLASSIFIER, NETWORK, PROTOCOL, toy_corpus, write_array, write_code

from ctl_helpers.corpora import load_manifest
from ctl_helpers.results.runs import load_predictions, load_runs
from ctl_helpers.study.run import run_study
from ctl_helpers.study.settings import read_study

STUDY = """
corpora: corpora
out: report
jobs: 1
epochs: 1
folds: 2
notebooks: false
pairs: [one:two]
protocols: [kfold, "protocol.py:halves"]
changes: {features: frames.npz}
methods:
  - network.py:network/quick
  - vectors.npz+classifier.py:classifier
  - mean(network.py:network/quick, vectors.npz+classifier.py:classifier)
  - mmd/quick
  - given:theirs.csv
"""


def write_arrays(root):
    """Features of both corpora in one array, and predictions of another tool."""
    manifests = [load_manifest(root, name) for name in ("one", "two")]
    manifest = pd.concat(manifests, ignore_index=True)
    manifest["utterance"] = manifest["corpus"] + "/" + manifest["utterance"]
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(len(manifest), 40, 39)).astype(np.float32)
    frames += (manifest["emotion"] == "sad").to_numpy()[:, None, None]
    write_array(root.parent / "frames.npz", manifest, frames)
    write_array(root.parent / "vectors.npz", manifest, frames.mean(axis=1))
    theirs = manifests[0][["corpus", "utterance"]].assign(predicted="sad")
    theirs.to_csv(root.parent / "theirs.csv", index=False)


def test_all_of_ones_own_goes_into_one_table(tmp_path, monkeypatch, cache):
    monkeypatch.chdir(tmp_path)
    for name, text in (
        ("network.py", NETWORK),
        ("classifier.py", CLASSIFIER),
        ("protocol.py", PROTOCOL),
        ("study.yaml", STUDY),
    ):
        write_code(tmp_path, name, text)
    for name in ("one", "two"):
        toy_corpus(tmp_path / "corpora", name)
    write_arrays(tmp_path / "corpora")

    report = run_study(read_study("study.yaml"), lambda line: None)

    assert report.problems == () and report.index.is_file()
    runs = load_runs("report/runs")
    inside = runs[runs["source"] == ""]
    methods = {
        "network.py:network",
        "vectors.npz+classifier.py:classifier",
        "given:theirs.csv",
    }
    counts = inside.groupby(["corpus", "protocol", "kind"]).size()
    assert set(counts) == {2}  # splits
    assert counts.index.to_frame(index=False).groupby(["corpus", "protocol"]).size().to_dict() == {
        ("one", "kfold"): 4,
        ("one", "protocol.py:halves"): 4,
        ("two", "kfold"): 3,  # of which nothing is given
        ("two", "protocol.py:halves"): 3,
    }
    assert methods < set(inside["method"])
    assert set(inside["split"]) == {"fold 0", "fold 1", "first half", "second half"}
    across = runs[runs["source"] != ""]
    assert set(across["kind"]) == {"adaptation", "shallow"}
    predictions = load_predictions("report/runs", runs)
    tested = predictions.merge(runs[["run", "corpus", "protocol", "method"]], on="run")
    for _, some in tested[tested["corpus_y"] != ""].groupby(["corpus_y", "protocol", "method"]):
        assert len(some) == some["utterance"].nunique() == 16
    assert runs["uar"].between(0, 1).all()
    shallow = inside[inside["kind"] == "shallow"]
    assert shallow["uar"].mean() == 1  # which these are made for
