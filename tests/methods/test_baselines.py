import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED, needs_shared, write_wav
from sklearn.preprocessing import StandardScaler

from ctl_helpers.corpora import load_manifest
from ctl_helpers.errors import StudyError
from ctl_helpers.features import functionals
from ctl_helpers.features.mfcc import extract
from ctl_helpers.methods import shallow as baselines
from ctl_helpers.methods.experiments import utterance_names
from ctl_helpers.methods.shallow import (
    METHODS,
    baseline_cross_validate,
    baseline_transfer,
    standardise,
)
from ctl_helpers.protocols.inside import make_splits
from ctl_helpers.report.tables import ours_beside_published
from ctl_helpers.results.comparisons import compare
from ctl_helpers.results.runs import load_predictions, summary


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CTL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def emodb(miniature):
    return load_manifest(miniature, "emodb")


@pytest.fixture(scope="module")
def store(tmp_path_factory, cache, emodb):
    """Two methods on the same two folds."""
    root = tmp_path_factory.mktemp("store")
    for method in ("mfcc+logistic", "mfcc+rbf"):
        baseline_cross_validate(emodb, method, folds=2, store=root, jobs=1)
    return root


@pytest.mark.parametrize("kind", ["global", "speaker", "corpus"])
def test_standardise_as_scikit_learn_does(kind):
    values = np.random.default_rng(0).normal(5, 3, (12, 4)).astype(np.float32)
    values[:, 2] = 1234.567  # a constant
    manifest = pd.DataFrame({"corpus": ["a"] * 6 + ["b"] * 6, "speaker": list("xxyyxx") * 2})
    train = np.arange(8)
    groups = {
        "global": [(np.arange(12), train)],
        "corpus": [(rows, rows) for rows in (np.arange(6), np.arange(6, 12))],
        "speaker": [
            (np.array(r), np.array(r)) for r in ([0, 1, 4, 5], [2, 3], [6, 7, 10, 11], [8, 9])
        ],
    }
    expected = np.empty(values.shape)
    for rows, counted in groups[kind]:
        expected[rows] = StandardScaler().fit(values[counted].astype(float)).transform(values[rows])
    np.testing.assert_allclose(standardise(values, manifest, kind, train), expected, atol=1e-4)


def test_a_run_folder_holds_what_other_runs_hold(store):
    folder = next(path for path in store.iterdir() if path.is_dir())
    names = sorted(file.name for file in folder.iterdir())
    assert names == ["environment.json", "metrics.json", "predictions.csv", "spec.json"]
    spec = json.loads((folder / "spec.json").read_text())
    assert (spec["task"], spec["corpus"], spec["protocol"]) == ("baseline", "emodb", "kfold")
    assert set(spec["versions"]) == {"format", "numpy", "scikit-learn"}
    assert "/" not in json.dumps(spec)  # nothing that another machine would name otherwise
    found = pd.read_csv(folder / "predictions.csv")
    p = found[[f"p_{emotion}" for emotion in spec["emotions"]]].to_numpy()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-4)
    assert list(np.array(spec["emotions"])[p.argmax(axis=1)]) == list(found["predicted"])


def test_the_splits_are_those_of_cpac(store, emodb):
    splits = {split.name: split.test for split in make_splits(emodb, "kfold", folds=2)}
    names = utterance_names(emodb)
    specs = [json.loads(path.read_text()) for path in store.glob("*/spec.json")]
    assert len(specs) == 4
    for spec in specs:
        assert spec["test"] == splits[spec["split"]].tolist()
    runs = baseline_cross_validate(emodb, "mfcc+rbf", folds=2, store=store, jobs=1)
    for split, part in load_predictions(store, runs).groupby("split"):
        assert list(part["utterance"]) == list(names[splits[split]])


def test_runs_are_not_computed_again(store, emodb, monkeypatch):
    monkeypatch.setattr(baselines, "_run_baseline", None)
    runs = baseline_cross_validate(emodb, "mfcc+rbf", folds=2, store=store, jobs=1)
    assert list(runs["split"]) == ["fold 0", "fold 1"]


def test_some_splits_alone_are_the_same_runs(store, emodb, monkeypatch):
    monkeypatch.setattr(baselines, "_run_baseline", None)
    runs = baseline_cross_validate(emodb, "mfcc+rbf", folds=2, only=[1], store=store, jobs=1)
    assert list(runs["split"]) == ["fold 1"] and list(runs["of_folds"]) == [2]
    with pytest.raises(StudyError, match="from 0 to 1, got 2"):
        baseline_cross_validate(emodb, "mfcc+rbf", folds=2, only=[2], store=store, jobs=1)


def test_features_at_hand_give_the_same_run(store, emodb):
    features = extract(emodb, "released", jobs=1)
    one, other = (
        baseline_cross_validate(emodb, "mfcc+rbf", features=given, folds=2, store=store, jobs=1)
        for given in (features, None)
    )
    assert list(one["run"]) == list(other["run"])


def test_summary_tables_and_paired_tests_take_them(store, emodb):
    runs = pd.concat(
        [
            baseline_cross_validate(emodb, method, folds=2, store=store, jobs=1)
            for method in ("mfcc+rbf", "mfcc+logistic")
        ],
        ignore_index=True,
    )
    predictions = load_predictions(store, runs)
    found = summary(runs, predictions)
    assert set(found["method"]) == {"mfcc+rbf", "mfcc+logistic"}
    assert (found["normalisation"] == "global").all()
    assert found["pooled_uar"].notna().all()
    table = ours_beside_published(runs, "cpac", predictions)
    assert {"mfcc+rbf", "mfcc+logistic", "cpac"} <= set(table["method"].str.lower())
    tested = compare(runs, {"method": "mfcc+logistic"}, predictions)
    assert tested["method"].tolist() == ["mfcc+rbf"]
    assert tested["mcnemar_p"].between(0, 1).all()


def test_transfer_scores_the_shared_part_of_the_target(tmp_path, cache, miniature, emodb):
    casia = load_manifest(miniature, "casia").iloc[::3].reset_index(drop=True)
    runs = baseline_transfer(emodb, casia, "mfcc+linear", normalisation="speaker", store=tmp_path)
    shared = casia[casia["emotion"] != "surprise"]
    row = runs.iloc[0]
    assert len(runs) == 1
    assert (row["task"], row["source"], row["target"]) == ("transfer", "emodb", "casia")
    assert (row["protocol"], row["split"]) == ("transductive", "all")
    assert row["utterances"] == len(shared)
    found = load_predictions(tmp_path, runs)
    assert list(found["emotion"]) == list(shared["emotion"])
    assert set(found["corpus"]) == {"casia"}


def test_a_separable_toy_is_learned(tmp_path, cache):
    for number in range(40):
        # A tone that falls silent now and then, low when sad and high when angry.
        emotion, pitch = ("sad", 200) if number % 2 else ("angry", 2000)
        seconds = np.arange(8000) / 16000
        tone = np.sin(2 * np.pi * (pitch + number) * seconds) * (np.sin(40 * seconds) > 0)
        write_wav(tmp_path / "speech" / "toy" / emotion / f"{number}.wav", 0.3 * tone, 16000)
    manifest = load_manifest(tmp_path / "speech", "toy")
    for method in METHODS:
        if method.startswith("mfcc"):
            runs = baseline_cross_validate(
                manifest, method, folds=2, store=tmp_path / "store", jobs=1
            )
            assert (runs["uar"] == 1).all(), method


def test_an_emotion_that_is_only_tested_has_no_probability(tmp_path, cache, emodb):
    kept = emodb["emotion"].isin(["sad", "angry"])
    kept[np.flatnonzero(emodb["emotion"] == "happy")[0]] = True
    few = emodb[kept].reset_index(drop=True)
    runs = baseline_cross_validate(few, "mfcc+rbf", folds=len(few), store=tmp_path, jobs=1)
    found = load_predictions(tmp_path, runs)
    assert found.loc[found["emotion"] == "happy", "p_happy"].tolist() == [0]


def test_keras_is_not_imported():
    told = "import sys, ctl_helpers.methods.shallow, ctl_helpers.study.settings; "
    told += "print({'keras', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_mistakes_are_named(tmp_path, cache, emodb, monkeypatch):
    with pytest.raises(StudyError, match=r"method: expected one of egemaps\+linear"):
        baseline_cross_validate(emodb, "egemaps", store=tmp_path)
    with pytest.raises(StudyError, match="normalisation: expected one of global, speaker, corpus"):
        baseline_cross_validate(emodb, "mfcc+rbf", normalisation="none", store=tmp_path)
    with pytest.raises(StudyError, match="expected a speaker for every utterance"):
        baseline_cross_validate(
            emodb.assign(speaker=""), "mfcc+rbf", normalisation="speaker", store=tmp_path, jobs=1
        )
    with pytest.raises(StudyError, match="expected two corpora"):
        baseline_transfer(emodb, emodb, "mfcc+rbf", store=tmp_path)
    monkeypatch.setattr(functionals.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StudyError, match=r"opensmile.*'ctl-helpers\[baselines\]'"):
        baseline_cross_validate(emodb, "egemaps+rbf", store=tmp_path)


@needs_shared
@pytest.mark.slow
def test_mfcc_statistics_on_real_speech(tmp_path, cache):
    manifest = load_manifest(SHARED / "corpora", "emodb")
    runs = baseline_cross_validate(
        manifest, "mfcc+rbf", normalisation="speaker", store=tmp_path, jobs=2
    )
    assert runs["uar"].mean() > 0.75
