"""Runs of a network and a classifier from outside: what they hold, and what can go wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import REPOSITORY
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from toys import MORTAL, Toys, toy_corpus, write_code

from ctl_helpers.corpora import load_manifest
from ctl_helpers.methods import parse
from ctl_helpers.parallel import engine
from ctl_helpers.protocols import problems_inside
from ctl_helpers.results.runs import load_predictions, load_runs
from ctl_helpers.runs.run import compute, seeded
from ctl_helpers.runs.store import RunStore

FILES = {"spec.json", "record.json", "predictions.csv", "history.csv", "embeddings.npz"}
FILES |= {"model.keras"}
P = ["p_angry", "p_sad"]
SAME = ("spec.json", "predictions.csv", "history.csv")  # bit for bit


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    return Toys(tmp_path_factory.mktemp("toys")).write()


@pytest.fixture(scope="module")
def store(toys, tmp_path_factory):
    """Two folds of a network and of a classifier."""
    store = RunStore(tmp_path_factory.mktemp("store") / "runs")
    assert compute([*toys.runs(), *toys.runs(toys.classifier)], store, jobs=1) == {}
    return store


def read(folder, name):
    return json.loads((folder / name).read_text())


def stamps(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def assert_same_runs(runs, one, other):
    for run in runs:
        names = [name for name in SAME if (one.root / run.name / name).exists()]
        assert {"spec.json", "predictions.csv"} <= set(names)
        for name in names:
            found = [(store.root / run.name / name).read_bytes() for store in (one, other)]
            assert found[0] == found[1], name


def test_a_run_folder_holds_specification_record_and_predictions(store, toys):
    names = {run.name for run in [*toys.runs(), *toys.runs(toys.classifier)]}
    assert {path.name for path in store.root.iterdir()} == names
    for run in toys.runs():
        folder = store.root / run.name
        assert {file.name for file in folder.iterdir()} == FILES
        spec, record = read(folder, "spec.json"), read(folder, "record.json")
        assert spec["problem"]["corpus"] == "toy" and spec["problem"]["classes"] == ["angry", "sad"]
        assert spec["problem"]["split"] == run.problem.split
        assert spec["method"]["kind"] == "network" and spec["seed"] == 0
        assert spec["method"]["recipe"]["epochs"] == 2
        assert set(spec["versions"]) == {"keras", "numpy", keras.backend.backend()}
        expected = {"train": 12, "validation": 0, "adapt": 0, "test": 12}
        assert record["utterances"] == expected
        assert (record["epochs"], record["of_folds"], record["of_utterances"]) == (2, 2, 24)
        assert record["held_out"] is False  # shuffled
        assert record["seconds"] > 0 and record["parameters"] == 4 * 6 + 6 + 6 * 2 + 2
        assert record["peak_memory_mb"] > 50
        where = record["environment"]
        assert where["backend"] == keras.backend.backend() and where["device"]
        assert where["packages"]["numpy"] == np.__version__
        assert set(record["files"]) == FILES - {"spec.json", "record.json"}
        assert pd.read_csv(folder / "history.csv")["epoch"].tolist() == [0, 1]
    for run in toys.runs(toys.classifier):
        found = {file.name for file in (store.root / run.name).iterdir()}
        assert found == {"spec.json", "record.json", "predictions.csv"}


def test_rows_say_what_the_predictions_say(store):
    runs = load_runs(store)
    assert runs["split"].tolist() == ["fold 0", "fold 1"] * 2
    assert set(runs["selection"]) == {"last"}
    predictions = load_predictions(store, runs)
    np.testing.assert_allclose(predictions[P].sum(axis=1), 1, atol=1e-4)
    for row in runs.itertuples():
        found = predictions[predictions["run"] == row.run]
        truth, predicted = found["emotion"], found["predicted"]
        assert (predicted == found[P].idxmax(axis=1).str.removeprefix("p_")).all()
        assert row.war == pytest.approx(accuracy_score(truth, predicted))
        assert row.uar == pytest.approx(balanced_accuracy_score(truth, predicted))


def test_every_utterance_is_tested_once_by_every_method(store, toys):
    runs = load_runs(store)
    expected = toys.manifest.set_index("utterance")
    for _, some in runs.groupby("kind"):
        found = load_predictions(store, some)
        assert sorted(found["utterance"]) == sorted(expected.index)
        for column in ("corpus", "speaker", "sex", "emotion"):
            there = expected.loc[found["utterance"], column]
            assert found[column].tolist() == there.tolist()


def test_what_is_there_is_not_computed_again_and_what_is_added_is_all_that_is(store, toys):
    before = stamps(store.root)
    asked = toys.runs(toys.classifier, seeds=(0, 7))
    assert len({run.name for run in asked}) == 2  # a method that draws nothing has one seed
    assert compute([*toys.runs(), *asked], store, jobs=1) == {}
    assert stamps(store.root) == before
    assert compute(toys.runs(only=[0], seeds=(0, 7)), store, jobs=1) == {}
    added = {path.parent.name for path in stamps(store.root) if path not in before}
    assert added == {toys.runs(only=[0], seeds=(7,))[0].name}
    assert {path: time for path, time in stamps(store.root).items() if path in before} == before


def test_a_run_is_a_pure_function_of_its_specification(store, toys, tmp_path):
    again = RunStore(tmp_path)
    runs = [*toys.runs(only=[1]), *toys.runs(toys.classifier, only=[1])]
    compute(runs, again, jobs=1)
    assert_same_runs(runs, store, again)


@pytest.mark.slow
def test_runs_side_by_side_are_those_of_one_after_the_other(store, toys, tmp_path):
    compute(toys.runs(), RunStore(tmp_path), jobs=2)
    assert_same_runs(toys.runs(), store, RunStore(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_runs_on_a_cluster_are_those_of_this_machine(toys, tmp_path, threads):
    """Its event loop and its threads draw random numbers, too."""
    distributed = pytest.importorskip("distributed")
    runs = toys.runs(seeds=(0, 1, 2, 3, 4, 5))
    here, there = RunStore(tmp_path / "here"), RunStore(tmp_path / "there")
    assert compute(runs, here, jobs=1) == {}
    options = {"n_workers": 2, "threads_per_worker": threads, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, engine("dask", cluster.scheduler_address):
        assert compute(runs, there) == {}
    assert_same_runs(runs, here, there)


def test_best_test_keeps_both_epochs_and_changes_no_training(store, toys, tmp_path):
    (run,) = toys.runs(selection="best_test", only=[0])
    other = RunStore(tmp_path)
    compute([run], other, jobs=1)
    folder = tmp_path / run.name
    record, history = read(folder, "record.json"), pd.read_csv(folder / "history.csv")
    best = record["scores"]["best_test"]
    assert best["war"] == pytest.approx(history["test_war"].max(), abs=1e-4)
    assert best["epoch"] == history["test_war"].idxmax()
    last = record["scores"]["last"]
    assert last["war"] == pytest.approx(history["test_war"].iloc[-1], abs=1e-4)
    runs = load_runs(other)
    assert sorted(runs["selection"]) == ["best_test", "last"]
    for row in runs.itertuples():
        found = load_predictions(other, runs[runs["selection"] == row.selection])
        assert accuracy_score(found["emotion"], found["predicted"]) == row.war
    # Looking at the test part changed nothing that was learned.
    (plain,) = toys.runs(only=[0])
    table = pd.read_csv(folder / "predictions.csv")
    table = table[table["selection"] == "last"].reset_index(drop=True)
    there = pd.read_csv(store.root / plain.name / "predictions.csv")
    pd.testing.assert_frame_equal(table, there)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("record.json", b"", "JSONDecodeError"),
        ("predictions.csv", b"selection,utter", "predictions.csv has changed"),
        ("model.keras", None, "model.keras is missing"),
    ],
)
def test_a_damaged_run_is_named_set_aside_and_computed_again(
    store, toys, caplog, name, content, said
):
    (run,) = toys.runs(only=[0])
    file = store.root / run.name / name
    kept = {name: (file.parent / name).read_bytes() for name in SAME}
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    assert compute(toys.runs(), store, jobs=1) == {}
    (line,) = (line for line in caplog.messages if "damaged" in line)
    assert run.name in line and said in line
    assert {name: (file.parent / name).read_bytes() for name in SAME} == kept
    assert store.has(run.name) and list(store.root.glob(f"{run.name}.damaged-*"))
    assert len(load_runs(store, [r.name for r in toys.runs()])) == 2


FAULTS = """
from keras import Input, Model, layers

def short(frames, coefficients, classes):
    raise ValueError(f"at least 38 frames,\\nnot {frames}")

def logits(frames, coefficients, classes):
    inputs = Input((frames, coefficients))
    return Model(inputs, layers.Dense(classes)(layers.GlobalAveragePooling1D()(inputs)))

def three(frames, coefficients, classes):
    inputs = Input((frames, coefficients))
    return Model(inputs, layers.Dense(3, "softmax")(layers.GlobalAveragePooling1D()(inputs)))

def nothing(frames, coefficients, classes):
    Input((frames, coefficients))

def reader(frames, coefficients, classes):
    open("weights.h5")

class Guess:
    def fit(self, x, y):
        return self

    def predict_proba(self, x):
        self.classes_ = [0, 1]
        return [[float("nan"), 1.0]] * len(x)

def leaving():
    raise SystemExit(0)
"""


SOME = """
import os
import numpy as np

def some(signal, rate):
    part = signal[: 3200]
    return [np.nan if signal[:400].max() > 0.8 else part.mean(), part.std(), np.abs(part).max()]
"""


@pytest.mark.parametrize(
    ("dies", "jobs"),
    [
        (False, 1),
        pytest.param(True, 2, marks=pytest.mark.slow),
        pytest.param(True, 1, marks=pytest.mark.slow),
    ],
)
def test_utterances_without_features_cost_themselves_alone(tmp_path, cache, caplog, dies, jobs):
    corpus = toy_corpus(tmp_path / "corpora", "toy", utterances=8)
    file = corpus / "toy" / "000.wav"
    samples, rate = soundfile.read(file)
    samples[:400] = 0.95
    soundfile.write(file, samples, rate)
    manifest = load_manifest(tmp_path / "corpora", "toy")
    code = SOME.replace("np.nan if", "os.kill(os.getpid(), 9) if") if dies else SOME
    own = write_code(tmp_path, "own.py", code)
    problems = problems_inside(manifest, "kfold", 2)
    runs = [seeded(problem, parse(f"{own}:some+linear"), 0) for problem in problems]
    store = RunStore(tmp_path / "runs")
    assert compute(runs, store, jobs) == {}
    tested = load_predictions(store, load_runs(store))["utterance"]
    assert len(tested) == len(manifest) - 1 and tested.is_unique
    assert sum("left out" in line for line in caplog.messages) == 1


def test_a_run_whose_file_is_edited_meanwhile_is_not_stored(tmp_path):
    code = """
from sklearn.neighbors import KNeighborsClassifier

class Editing(KNeighborsClassifier):
    def fit(self, *parts):
        with open(__file__, "a") as file:
            file.write("# edited")
        return super().fit(*parts)

def classifier():
    return Editing(1)
"""
    file = write_code(tmp_path, "editing.py", code)
    toys = Toys(tmp_path).write()
    (run,) = toys.runs(f"{tmp_path}/vectors.npz+{file}:classifier", only=[0])
    store = RunStore(tmp_path / "runs")
    (reason,) = compute([run], store, jobs=1).values()
    assert "edited while it ran" in reason and not store.has(run.name)


def test_what_a_member_of_a_fusion_leaves_out_is_not_tested(tmp_path, cache):
    corpus = toy_corpus(tmp_path / "corpora", "toy")
    for file in sorted(corpus.rglob("*.wav"))[:2]:
        samples, rate = soundfile.read(file)
        samples[:400] = 0.95
        soundfile.write(file, samples, rate)
    own = write_code(tmp_path, "own.py", SOME)
    manifest = load_manifest(tmp_path / "corpora", "toy")
    method = parse(f"mean({own}:some+linear, mfcc+linear)")
    runs = [seeded(problem, method, 0) for problem in problems_inside(manifest, "kfold", 2)]
    store = RunStore(tmp_path / "runs")
    assert compute(runs, store, jobs=1) == {}
    one, other, mean = (
        store.tables("predictions.csv", names).set_index("utterance")
        for names in zip(*([*(m.name for m in run.members), run.name] for run in runs), strict=True)
    )
    assert len(other) == len(manifest) == len(one) + 2
    assert sorted(mean.index) == sorted(set(other.index) & set(one.index))
    for name in ("p_angry", "p_sad"):
        halves = (one[name] + other[name]).loc[mean.index] / 2
        np.testing.assert_allclose(mean[name], halves, atol=0.51e-3)

    # Of a member that left some out, names alone tell which: renamed files are not lost silently.
    short = next(run for run in runs if len(store.tables("predictions.csv", [run.name])) < 8)
    shutil.rmtree(store.root / short.name)
    moved = manifest.assign(utterance="moved/" + manifest["utterance"])
    again = seeded(replace(short.problem, manifest=moved, memo={}), method, 0)
    (line,) = compute([again], store, jobs=1).values()
    assert "utterances otherwise; if files were renamed, remove" in line


def test_recordings_that_were_renamed_are_still_all_tested(tmp_path, cache):
    toy_corpus(tmp_path / "corpora", "toy")
    manifest = load_manifest(tmp_path / "corpora", "toy")
    (problem,) = problems_inside(manifest, "kfold", 2, only=[0])
    method = parse("mean(mfcc+linear, mfcc+logistic)")
    run, store = seeded(problem, method, 0), RunStore(tmp_path / "runs")
    assert compute([run], store, jobs=1) == {}
    expected = store.tables("predictions.csv", [run.name])[P]
    shutil.rmtree(store.root / run.name)
    moved = manifest.assign(utterance="moved/" + manifest["utterance"])
    again = seeded(replace(problem, manifest=moved, memo={}), method, 0)
    assert again.name == run.name and compute([again], store, jobs=1) == {}
    pd.testing.assert_frame_equal(store.tables("predictions.csv", [run.name])[P], expected)


def test_what_fails_is_named_in_a_line_and_the_rest_goes_on(toys, tmp_path):
    file = write_code(tmp_path, "faults.py", FAULTS)
    bad = [
        toys.runs(only=[0], learning_rate=1e30, loss="cross-entropy", epochs=20)[0],
        toys.runs(f"{file}:short/released", only=[0], settings={})[0],
        toys.runs(f"{toys.folder}/vectors.npz+{file}:Guess", only=[0])[0],
        toys.runs("cpac/quick", only=[0], features=f"{toys.folder}/vectors.npz", settings={})[0],
        toys.runs(f"{file}:logits/released", only=[0], settings={})[0],
        toys.runs(f"{file}:three/released", only=[0], settings={})[0],
        toys.runs(f"{file}:nothing/released", only=[0], settings={})[0],
        toys.runs(f"{file}:reader/released", only=[0], settings={})[0],
        toys.runs(f"{toys.folder}/vectors.npz+{file}:leaving", only=[0])[0],
    ]
    good = toys.runs(toys.classifier, only=[0])
    store = RunStore(tmp_path / "runs")
    failures = compute([*bad, *good], store, jobs=1)
    expected = [
        "expected a finite loss, got nan in epoch",
        "ValueError: at least 38 frames, not 6",
        "expected finite probabilities of shape (12, 2)",
        "expected features of at least 38 frames and 38 coefficients, got 1 x",
        "(no softmax?)",
        "whose output has the shape (None, 2), a probability per class; got (None, 3)",
        "whose output has the shape (None, 2), a probability per class; got NoneType",
        "FileNotFoundError: [Errno 2] No such file or directory: 'weights.h5'",
        "SystemExit: 0",
    ]
    assert list(failures) and set(failures) == {run.name for run in bad}
    for run, words in zip(bad, expected, strict=True):
        said = failures[run.name]
        assert words in said and "\n" not in said and run.method.label in said
        assert "toy, fold 0, seed 0" in said
        assert not store.has(run.name)
    assert load_runs(store)["run"].tolist() == [good[0].name]


def test_an_array_that_does_not_fit_costs_its_own_runs(toys, tmp_path):
    np.savez(tmp_path / "short.npz", values=np.zeros((2, 5)), utterance=["a.wav", "b.wav"])
    bad, good = toys.runs(f"{tmp_path}/short.npz+linear"), toys.runs(toys.classifier)
    store = RunStore(tmp_path / "runs")
    failures = compute([*bad, *good], store, jobs=1)
    assert set(failures) == {run.name for run in bad} and len(set(failures.values())) == 1
    assert "short.npz: expected one row for each of" in failures[bad[0].name]
    assert set(load_runs(store)["run"]) == {run.name for run in good}


def test_a_store_that_cannot_be_written_is_named_in_one_line(toys, tmp_path):
    (tmp_path / "file").write_text("")
    failures = compute(toys.runs(toys.classifier), RunStore(tmp_path / "file"), jobs=1)
    assert len(failures) == 2
    for line in failures.values():
        assert f"results folder {tmp_path / 'file'}: cannot write run" in line


MORTAL_NETWORK = '''
import os, signal
from keras import Input, Model, layers

class Mortal(Model):
    """Its weights are averaged after every epoch; it may be asked for them so many times."""

    def get_weights(self):
        with open(os.environ["EPOCHS"], "a") as file:
            file.write("x")
        if os.path.getsize(os.environ["EPOCHS"]) == int(os.environ.get("DIES_AT", 0)):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().get_weights()

def network(frames, coefficients, classes):
    inputs = Input((frames, coefficients))
    x = layers.Dropout(0.3)(layers.GlobalAveragePooling1D()(inputs))
    x = layers.Dense(6, "relu", name="embedding")(x)
    return Mortal(inputs, layers.Dense(classes, "softmax")(x))
'''
STUDY = """
import sys
from pathlib import Path
from toys import MORTAL, Toys
from ctl_helpers.runs.run import compute, seeded
from ctl_helpers.runs.store import RunStore
toys = Toys(Path(sys.argv[1]))
runs = toys.runs(f"{toys.folder}/mortal.py:network/released", **MORTAL)
compute(runs, RunStore(sys.argv[2]), jobs=1)
"""


def start(code, *words, **variables):
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
    environment = os.environ | {"PYTHONPATH": path} | variables
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], env=environment)


def test_a_killed_study_ends_as_one_that_was_not(toys, tmp_path, monkeypatch):
    method = f"{write_code(toys.folder, 'mortal.py', MORTAL_NETWORK)}:network/released"
    killed, whole = RunStore(tmp_path / "killed"), RunStore(tmp_path / "whole")
    epochs = tmp_path / "epochs"
    # In the second fold, with one of its epochs behind it.
    process = start(STUDY, toys.folder, killed.root, EPOCHS=str(epochs), DIES_AT="5")
    assert process.wait() == -signal.SIGKILL
    first, second = toys.runs(method, **MORTAL)
    assert killed.has(first.name) and not killed.has(second.name)
    assert load_runs(killed)["run"].tolist() == [first.name]
    before = stamps(killed.root / first.name)
    monkeypatch.setenv("EPOCHS", str(epochs))
    epochs.write_text("")
    assert compute([first, second], killed, jobs=1) == {}
    assert len(epochs.read_text()) == 3  # those of one fold
    assert compute([first, second], whole, jobs=1) == {}
    assert stamps(killed.root / first.name) == before
    assert sorted(path.name for path in killed.root.iterdir()) == sorted([first.name, second.name])
    assert_same_runs([first, second], killed, whole)
    records = [read(store.root / second.name, "record.json") for store in (killed, whole)]
    assert records[0]["scores"] == records[1]["scores"]


SLOW = """
import os, time
from sklearn.neighbors import KNeighborsClassifier

def classifier():
    with open(os.environ["FITTED"], "a") as file:
        file.write(f"{os.getpid()}\\n")
    ends = time.time() + 240
    while len(set(open(os.environ["FITTED"]))) < 2 and time.time() < ends:
        time.sleep(0.05)  # until the other study works, too
    return KNeighborsClassifier(1)
"""
SHALLOW = """
import sys
from pathlib import Path
from toys import Toys
from ctl_helpers.runs.run import compute, seeded
from ctl_helpers.runs.store import RunStore
toys = Toys(Path(sys.argv[1]))
runs = toys.runs(f"{toys.folder}/vectors.npz+{toys.folder}/slow.py:classifier", seeds=(0, 1, 2))
assert compute(runs, RunStore(sys.argv[2]), jobs=1) == {}
"""


def test_two_studies_at_once_share_the_work(toys, tmp_path):
    write_code(toys.folder, "slow.py", SLOW)
    fitted = tmp_path / "fitted"
    both = [start(SHALLOW, toys.folder, tmp_path / "runs", FITTED=str(fitted)) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert sorted(fitted.read_text().split()) == sorted(str(process.pid) for process in both)
    assert len(load_runs(tmp_path / "runs")) == len(list((tmp_path / "runs").iterdir())) == 2
