import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from synthetic import speech_features

from ctl_helpers.corpora import load_manifest
from ctl_helpers.errors import StudyError
from ctl_helpers.features.mfcc import extract
from ctl_helpers.features.normalisation import normalise
from ctl_helpers.methods.experiments import cross_validate, emotions_of, utterance_names
from ctl_helpers.networks import training
from ctl_helpers.networks.cpac import with_embedding
from ctl_helpers.networks.recipes import recipe
from ctl_helpers.protocols.inside import make_splits
from ctl_helpers.results.runs import load_predictions, load_runs

TINY = recipe("quick", epochs=2, batch_size=8, normalisation="global", learning_rate=0.01)
FILES = {
    "spec.json",
    "metrics.json",
    "environment.json",
    "predictions.csv",
    "history.csv",
    "embeddings.npz",
    "model.keras",
}
P = ["p_angry", "p_sad"]


@pytest.fixture(scope="module")
def features():
    return speech_features()


@pytest.fixture(scope="module")
def store(features, tmp_path_factory):
    """Two folds of the default selection."""
    folder = tmp_path_factory.mktemp("store")
    cross_validate(features, TINY, folds=2, store=folder, jobs=1)
    return folder


@pytest.fixture(scope="module")
def optimistic(features, tmp_path_factory):
    """One fold scored at its best test epoch."""
    folder = tmp_path_factory.mktemp("optimistic")
    cross_validate(features, TINY, folds=2, selection="best_test", store=folder, jobs=1, only=[0])
    return folder


def read(run, name):
    return json.loads((run / name).read_text())


def stamps(folder):
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*")}


def test_a_run_folder_holds_what_the_design_says(store):
    runs = sorted(path for path in store.iterdir())
    assert len(runs) == 2 and all(path.is_dir() for path in runs)
    for run in runs:
        assert {file.name for file in run.iterdir()} == FILES | {"normalisation.npz"}
        spec, metrics = read(run, "spec.json"), read(run, "metrics.json")
        assert (spec["task"], spec["corpus"], spec["protocol"]) == ("cpac", "toy", "kfold")
        assert spec["emotions"] == ["angry", "sad"] and spec["features"] == "key 0"
        assert spec["recipe"]["epochs"] == 2 and spec["seed"] == 0
        assert "resampled" not in spec["recipe"]  # runs from before there was such a field
        assert set(spec["versions"]) > {"keras", "numpy", keras.backend.backend()}
        assert metrics["utterances"] == {"train": 12, "validation": 0, "test": 12}
        assert metrics["epochs"] == 2 and metrics["seconds"] > 0
        assert metrics["peak_memory_mb"] > 50
        assert metrics["best_test"] is None and metrics["validation"] is None
        where = read(run, "environment.json")
        assert where["backend"] == keras.backend.backend() and where["device"]
        assert where["packages"]["numpy"] == np.__version__
        assert pd.read_csv(run / "history.csv")["epoch"].tolist() == [0, 1]


def test_rows_tell_what_the_predictions_say(store):
    runs = load_runs(store)
    assert runs["split"].tolist() == ["fold 0", "fold 1"]
    assert set(runs["selection"]) == {"last"}
    for row in runs.itertuples():
        told = pd.read_csv(store / row.run / "predictions.csv")
        truth, found = told["emotion"], told["predicted"]
        np.testing.assert_allclose(told[P].sum(axis=1), 1, atol=1e-4)
        assert [P[0][2:], P[1][2:]] == ["angry", "sad"]
        assert (found == told[P].idxmax(axis=1).str.removeprefix("p_")).all()
        assert row.war == pytest.approx(accuracy_score(truth, found))
        assert row.uar == pytest.approx(balanced_accuracy_score(truth, found))
        assert row.macro_f1 == pytest.approx(f1_score(truth, found, average="macro"))


def test_every_utterance_is_tested_once(store, features):
    told = load_predictions(store, load_runs(store))
    assert sorted(told["utterance"]) == sorted(utterance_names(features.manifest))
    expected = features.manifest.set_index(utterance_names(features.manifest))
    for column in ("corpus", "speaker", "sex", "emotion"):
        assert told[column].tolist() == expected.loc[told["utterance"], column].tolist()


def test_the_saved_network_makes_the_predictions_again(store, features):
    """From features alone, with what lies in the folder."""
    run = store / load_runs(store)["run"].iloc[0]
    split = make_splits(features.manifest, "kfold", 2)[0]
    normal = normalise(features.values, features.manifest, "global", split.train)
    with np.load(run / "normalisation.npz", allow_pickle=False) as saved:
        np.testing.assert_array_equal(saved["mean"], normal.mean)
        np.testing.assert_array_equal(saved["scale"], normal.scale)
    model = keras.models.load_model(run / "model.keras", safe_mode=True)
    x = normal[split.test][..., None]
    told = pd.read_csv(run / "predictions.csv")
    assert told["utterance"].tolist() == utterance_names(features.manifest)[split.test].tolist()
    p = keras.ops.convert_to_numpy(model(x, training=False))
    np.testing.assert_allclose(p, told[P], atol=1e-4)
    with np.load(run / "embeddings.npz", allow_pickle=False) as saved:
        z = keras.ops.convert_to_numpy(with_embedding(model)(x, training=False)[1])
        np.testing.assert_allclose(saved["embeddings"], z, atol=1e-5)


def test_a_second_call_computes_nothing(store, features, monkeypatch):
    before = stamps(store)
    monkeypatch.setattr(training, "fit", pytest.fail)
    again = cross_validate(features, TINY, folds=2, store=store, jobs=1)
    assert stamps(store) == before
    pd.testing.assert_frame_equal(again, load_runs(store))


def test_what_is_added_to_a_study_is_all_that_is_computed(store, features, monkeypatch):
    before = stamps(store)
    asked = []

    def stop(*arguments, seed, **settings):
        asked.append(seed)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "fit", stop)
    with pytest.raises(KeyboardInterrupt):
        cross_validate(features, TINY, folds=2, seeds=(0, 7), store=store, jobs=1)
    assert asked == [7]
    assert {path: time for path, time in stamps(store).items() if path in before} | {
        store: before.get(store)
    } == before | {store: before.get(store)}


def test_a_seed_gives_the_same_run_twice(store, features, tmp_path):
    cross_validate(features, TINY, folds=2, store=tmp_path, jobs=1, only=[0])
    (run,) = tmp_path.iterdir()
    for name in ("spec.json", "predictions.csv", "history.csv"):
        assert (run / name).read_bytes() == (store / run.name / name).read_bytes(), name


def test_training_meets_resampled_recordings_and_scoring_does_not(miniature, tmp_path, monkeypatch):
    features = extract(load_manifest(miniature, "emodb"), "moments", jobs=1, cache=tmp_path / "c")
    monkeypatch.setenv("CTL_CACHE", str(tmp_path / "c"))
    seen = {}

    def fit(model, features, *arguments, **settings):
        seen["features"] = features
        return kept(model, features, *arguments, **settings)

    kept = training.fit
    monkeypatch.setattr(training, "fit", fit)
    tried = recipe("modern", features="moments", epochs=1, resampled=(0.9, 1.2))
    options = {"folds": 3, "only": [0], "store": tmp_path / "store", "jobs": 1}
    run = cross_validate(features, tried, **options)["run"].iloc[0]
    assert read(tmp_path / "store" / run, "spec.json")["recipe"]["resampled"] == [0.9, 1.2]
    versions = seen["features"].versions
    assert len(versions) == 2 and all(len(version) == len(features.values) for version in versions)
    table = pd.read_csv(tmp_path / "store" / run / "predictions.csv")
    model = keras.saving.load_model(tmp_path / "store" / run / "model.keras")
    rows = make_splits(features.manifest, "kfold", 3)[0].test
    found = keras.ops.convert_to_numpy(model(seen["features"][rows][..., None]))
    np.testing.assert_allclose(found, table.filter(regex="^p_").to_numpy(), rtol=1e-3, atol=1e-5)


def test_only_some_splits(features, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "fit", pytest.fail)
    assert not len(cross_validate(features, TINY, folds=2, store=tmp_path, jobs=1, only=[]))


def test_best_test_keeps_both_epochs_and_says_so(optimistic):
    (run,) = optimistic.iterdir()
    assert {file.name for file in run.iterdir()} > FILES | {"predictions_last.csv"}
    metrics, history = read(run, "metrics.json"), pd.read_csv(run / "history.csv")
    assert metrics["best_test"]["war"] == pytest.approx(history["test_war"].max(), abs=1e-4)
    assert metrics["best_test"]["epoch"] == history["test_war"].idxmax()
    assert metrics["last"]["war"] == pytest.approx(history["test_war"].iloc[-1], abs=1e-4)
    for name, part in (("predictions", "best_test"), ("predictions_last", "last")):
        told = pd.read_csv(run / f"{name}.csv")
        assert accuracy_score(told["emotion"], told["predicted"]) == metrics[part]["war"]
    assert sorted(load_runs(optimistic)["selection"]) == ["best_test", "last"]


def test_looking_at_the_test_part_changes_no_training(optimistic, store):
    (run,) = optimistic.iterdir()
    first = store / load_runs(store)["run"].iloc[0]
    pd.testing.assert_frame_equal(
        pd.read_csv(run / "predictions_last.csv"), pd.read_csv(first / "predictions.csv")
    )


def test_validation_is_scored_at_its_epoch_and_never_sees_the_test_part(
    features, tmp_path, monkeypatch
):
    """Speakers are held out here, so whole speakers validate; the first epoch is made the best."""
    fit, seen = training.fit, {}

    def spied(model, values, labels, rows, chosen, *, watch, **settings):
        seen.update(train=rows, part=watch[0], validation=watch[1])
        follow = fit(model, values, labels, rows, chosen, watch=watch, **settings)
        follow.best |= {"epoch": 0, "weights": [0 * w for w in follow.best["weights"]]}
        return follow

    monkeypatch.setattr(training, "fit", spied)
    cross_validate(
        features, TINY, protocol="loso", selection="validation", store=tmp_path, jobs=1, only=[1]
    )
    speaker = features.manifest["speaker"].to_numpy()
    parts = [set(speaker[rows]) for rows in (seen["train"], seen["validation"])]
    assert seen["part"] == "validation" and not parts[0] & parts[1]
    assert parts[0] | parts[1] == {"00", "02", "03"}
    (run,) = tmp_path.iterdir()
    metrics = read(run, "metrics.json")
    assert metrics["validation"]["epoch"] == 0 and metrics["last"] is None
    assert metrics["utterances"] == {"train": 12, "validation": 6, "test": 6}
    # Weights of nought, put back before scoring, know nothing.
    assert (pd.read_csv(run / "predictions.csv")[P] == 0.5).all(axis=None)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"selection": "best"}, "selection: expected one of last, validation, best_test"),
        ({"protocol": "holdout"}, "protocol: expected one of kfold"),
        ({"folds": 25}, "got 25 folds and 24 utterances"),
        ({"only": [0, 2]}, "only: expected splits from 0 to 1, got 2"),
        ({"jobs": 0}, "jobs: expected a whole number from 1"),
        ({"features": speech_features(emotions=("sad",))}, "two emotions or more, found sad"),
        ({"features": speech_features(frames=30)}, "at least 38 frames"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_mistakes_are_told_in_one_line(features, tmp_path, change, expected):
    settings = {"features": features, "folds": 2, "store": tmp_path, "jobs": 1} | change
    with pytest.raises(StudyError, match=expected) as caught:
        cross_validate(settings.pop("features"), TINY, **settings)
    assert "\n" not in str(caught.value)
    assert not load_runs(tmp_path).shape[0]


def test_a_store_that_cannot_be_written_is_told(features, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="results folder"):
        cross_validate(features, TINY, folds=2, store=tmp_path / "file", jobs=1)


def test_emotions_are_in_the_studys_order():
    manifest = pd.DataFrame({"corpus": "toy", "emotion": ["sad", "zeal", "angry", "awe"]})
    assert emotions_of(manifest) == ["angry", "sad", "awe", "zeal"]


def test_utterances_are_named_below_their_corpus():
    manifest = pd.DataFrame(
        {
            "corpus": ["a", "a", "b"],
            "path": ["/x/a/wav/1.wav", "/x/a/wav/deep/2.wav", "/y/b/3.wav"],
        }
    )
    assert utterance_names(manifest).tolist() == ["1.wav", "deep/2.wav", "3.wav"]


KILLED = """
import os, signal, sys
from synthetic import speech_features
from ctl_helpers.networks import training
from ctl_helpers.methods.experiments import cross_validate
from test_experiments import LONGER

training._SECONDS_BETWEEN_CHECKPOINTS = -1
save, saved = training.Follow._save, []

def save_and_die(follow):
    save(follow)
    saved.append(len(follow.history))
    if saved == [1, 2, 1, 2]:  # in the second fold, with two of three epochs behind it
        os.kill(os.getpid(), signal.SIGKILL)

training.Follow._save = save_and_die
cross_validate(speech_features(), LONGER, folds=2, store=sys.argv[1], jobs=1)
"""
LONGER = replace(TINY, epochs=3)


def test_a_killed_study_ends_as_one_that_was_not(features, tmp_path, monkeypatch):
    here = Path(__file__).parent.parent
    path = os.pathsep.join(
        [str(here.parent), str(here), str(here / "methods"), os.environ.get("PYTHONPATH", "")]
    )
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(killed)], env=os.environ | {"PYTHONPATH": path}
    )
    assert done.returncode == -signal.SIGKILL
    assert load_runs(killed)["split"].tolist() == ["fold 0"]
    before = stamps(killed / load_runs(killed)["run"].iloc[0])
    trained, end = [], training.Follow.on_epoch_end
    monkeypatch.setattr(
        training.Follow,
        "on_epoch_end",
        lambda self, epoch, logs: trained.append(epoch) or end(self, epoch, logs),
    )
    cross_validate(features, LONGER, folds=2, store=killed, jobs=1)
    assert trained == [2]  # one epoch of one fold was left
    cross_validate(features, LONGER, folds=2, store=whole, jobs=1)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert not list(killed.rglob("*checkpoint*")) and not list(killed.glob("*.partial"))
    for run in load_runs(whole)["run"]:
        for name in ("spec.json", "predictions.csv", "history.csv"):
            assert (killed / run / name).read_bytes() == (whole / run / name).read_bytes()
        metrics = [read(root / run, "metrics.json") for root in (killed, whole)]
        assert metrics[0]["last"] == metrics[1]["last"]


@pytest.mark.slow
def test_runs_side_by_side_give_what_one_after_the_other_gives(features, store, tmp_path):
    cross_validate(features, TINY, folds=2, store=tmp_path, jobs=2)
    one, two = (
        load_predictions(store, load_runs(store)),
        load_predictions(tmp_path, load_runs(tmp_path)),
    )
    pd.testing.assert_frame_equal(one, two, rtol=1e-3, atol=1e-4)
