import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import fabricated
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl_helpers.errors import StudyError
from ctl_helpers.results import runs as results
from ctl_helpers.results import statistics
from ctl_helpers.runs.store import RunStore, canonical, spec_hash, write_json

ROOT = Path(results.__file__).resolve().parents[2]
SPEC = {"task": "cpac", "corpus": "emodb", "seed": 0}


def write_metrics(folder):
    write_json(folder / "metrics.json", {"last": {"uar": 0.5}})


def start(code, *arguments):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT)


def wait_for(path, seconds=120):
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until, f"{path} never came"
        time.sleep(0.02)


# --- names -----------------------------------------------------------------------------------


def test_hash_is_stable_and_ignores_order_and_number_types():
    assert spec_hash(SPEC) == "a298cf37578a"  # `sha256sum` of the JSON; kept results are so named
    assert spec_hash(dict(reversed(SPEC.items()))) == spec_hash(SPEC)
    assert spec_hash({**SPEC, "seed": np.int64(0)}) == spec_hash(SPEC)
    assert spec_hash({**SPEC, "seed": 1}) != spec_hash(SPEC)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values, max_size=4))
def test_hash_survives_a_round_trip_through_json(spec):
    assert spec_hash(json.loads(json.dumps(canonical(spec)))) == spec_hash(spec)


def test_canonical_takes_dataclasses_arrays_and_paths():
    @dataclass(frozen=True)
    class Settings:
        rate: float = 0.25
        shape: tuple = (3, 3)

    value = {"settings": Settings(), "mean": np.array([1.5, np.nan]), "path": Path("a") / "b"}
    expected = {"settings": {"rate": 0.25, "shape": [3, 3]}, "mean": [1.5, None], "path": "a/b"}
    assert canonical(value) == expected
    with pytest.raises(StudyError, match="JSON can hold, got object"):
        canonical({"a": object()})


# --- whole or not at all ---------------------------------------------------------------------


def test_a_run_is_computed_once(tmp_path):
    store, calls = RunStore(tmp_path / "new" / "store"), []

    def function(folder):
        calls.append(folder)
        write_metrics(folder)

    assert not store.has(SPEC)
    first = store.compute(SPEC, function)
    assert store.compute(SPEC, function) == first == store.folder(SPEC)
    assert store.has(SPEC) and len(calls) == 1
    assert json.loads((first / "spec.json").read_text()) == SPEC
    assert [path.name for path in store.root.iterdir()] == [spec_hash(SPEC)]


def test_a_failure_leaves_no_run_but_keeps_the_checkpoint(tmp_path):
    store = RunStore(tmp_path)

    def fail(folder):
        (folder / "checkpoint").write_text("epoch 7")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        store.compute(SPEC, fail)
    assert not store.has(SPEC)

    def resume(folder):
        assert (folder / "checkpoint").read_text() == "epoch 7"
        write_metrics(folder)

    store.compute(SPEC, resume)
    assert store.has(SPEC)


KILLED = """
import sys, time
from pathlib import Path
from ctl_helpers.runs.store import RunStore
def function(folder):
    (folder / "metrics.json").write_text("{}")
    (folder / "checkpoint").write_text("epoch 7")
    Path(sys.argv[2]).touch()
    time.sleep(60)
RunStore(sys.argv[1]).compute({"task": "cpac", "corpus": "emodb", "seed": 0}, function)
"""


def test_sigkill_in_the_middle_is_never_taken_for_a_run(tmp_path):
    store, ready = RunStore(tmp_path / "store"), tmp_path / "ready"
    process = start(KILLED, store.root, ready)
    wait_for(ready)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not store.has(SPEC)
    seen = []

    def resume(folder):
        seen.append((folder / "checkpoint").read_text())

    store.compute(SPEC, resume)
    assert seen == ["epoch 7"]
    assert [path.name for path in store.root.iterdir()] == [spec_hash(SPEC)]


RACE = """
import os, sys, time
from pathlib import Path
from ctl_helpers.runs import store
locks = sys.argv[3] == "with locks"
if not locks:
    store.fcntl = None
def function(folder):
    with open(sys.argv[2], "a") as calls:
        calls.write("x")
    time.sleep(1.5 if locks else 0)
    until = time.monotonic() + 120
    while not locks and os.path.getsize(sys.argv[2]) < 2 and time.monotonic() < until:
        time.sleep(0.01)  # the second has to begin before the first may end
    (folder / "metrics.json").write_text("{}")
spec = {"task": "cpac", "corpus": "emodb", "seed": 0}
assert store.RunStore(sys.argv[1]).compute(spec, function).is_dir()
"""


@pytest.mark.parametrize(("locks", "computed"), [("with locks", 1), ("without locks", 2)])
def test_two_processes_end_with_one_run(tmp_path, locks, computed):
    store, calls = RunStore(tmp_path / "store"), tmp_path / "calls"
    first = start(RACE, store.root, calls, locks)
    wait_for(calls)
    second = start(RACE, store.root, calls, locks)
    assert first.wait() == second.wait() == 0
    assert len(calls.read_text()) == computed
    assert [path.name for path in store.root.iterdir()] == [spec_hash(SPEC)]


def test_remains_without_a_specification_are_replaced(tmp_path):
    store = RunStore(tmp_path)
    store.folder(SPEC).mkdir()
    (store.folder(SPEC) / "metrics.json").write_text("{")
    assert not store.has(SPEC)
    store.compute(SPEC, write_metrics)
    assert json.loads((store.folder(SPEC) / "metrics.json").read_text())["last"]["uar"] == 0.5


# --- bad places to write ---------------------------------------------------------------------


def assert_one_line(error, *words):
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_results_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StudyError) as error:
        RunStore(tmp_path / "file").compute(SPEC, write_metrics)
    assert_one_line(error, str(tmp_path / "file"), "cannot write run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_results_folder(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(StudyError) as error:
        RunStore(tmp_path).compute(SPEC, write_metrics)
    assert_one_line(error, str(tmp_path), "Permission denied")


def test_read_only_results_folder_simulated(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StudyError) as error:
        RunStore(tmp_path / "store").compute(SPEC, write_metrics)
    assert_one_line(error, str(tmp_path / "store"), "Permission denied")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_leaves_no_run(tmp_path):
    store = RunStore(tmp_path)
    with pytest.raises(StudyError) as error:
        store.compute(SPEC, lambda folder: Path("/dev/full").write_text("x"))
    assert_one_line(error, str(tmp_path), "No space left on device")
    assert not store.has(SPEC)


def test_finished_runs_of_a_read_only_folder_are_read(tmp_path, monkeypatch):
    store = RunStore(tmp_path)
    store.compute(SPEC, write_metrics)
    monkeypatch.setattr(Path, "mkdir", lambda *a, **k: pytest.fail("wrote"))
    assert store.compute(SPEC, write_metrics) == store.folder(SPEC)


# --- frames ----------------------------------------------------------------------------------

KFOLD = {"task": "cpac", "corpus": "emodb", "method": "cpac", "protocol": "kfold"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return fabricated.fill(tmp_path_factory.mktemp("store"), seeds=(0, 1))


def pick(frame, **values):
    for column, value in values.items():
        frame = frame[frame[column] == value]
    return frame


def test_load_runs_gives_a_row_per_run_and_selection(store):
    runs = results.load_runs(store)
    assert list(runs.columns) == results.RUN_COLUMNS
    folders = [path for path in store.root.iterdir() if path.is_dir()]
    assert runs["run"].nunique() == len(folders)
    released = pick(runs, recipe="released", protocol="kfold", corpus="emodb", seed=0)
    assert released["selection"].value_counts().to_dict() == {"last": 10, "best_test": 10}
    assert released["run"].nunique() == 10
    pair = pick(runs, task="transfer").iloc[0]
    assert (pair["corpus"], pair["source"], pair["target"]) == ("", "casia", "emodb")
    assert pick(runs, recipe="modern")["normalisation"].unique().tolist() == ["global"]


def test_load_runs_of_nothing(tmp_path):
    for frame in (results.load_runs(tmp_path), results.load_runs(tmp_path / "absent")):
        assert frame.empty and list(frame.columns) == results.RUN_COLUMNS
    assert list(results.summary(frame).columns) == results.SUMMARY_COLUMNS
    assert results.load_predictions(tmp_path, frame).empty


def test_folds_are_in_the_order_of_their_numbers(tmp_path):
    for fold in (10, 9, 2):
        fabricated.add_run(RunStore(tmp_path), split=f"fold {fold}", **KFOLD)
    assert results.load_runs(tmp_path)["split"].tolist() == ["fold 2", "fold 9", "fold 10"]


def test_damaged_folders_cost_one_warning_and_themselves(tmp_path, caplog):
    store = RunStore(tmp_path)
    folders = [fabricated.add_run(store, split=f"fold {fold}", **KFOLD) for fold in range(5)]
    (folders[0] / "metrics.json").unlink()
    (folders[1] / "metrics.json").write_text("{\n")
    (folders[2] / "spec.json").write_bytes(b"\xff")
    (folders[3] / "metrics.json").write_text('{"last": 3}')
    (tmp_path / "0123456789ab.partial").mkdir()
    (tmp_path / "notes").mkdir()
    with caplog.at_level(logging.WARNING, "ctl_helpers"):
        runs = results.load_runs(store)
    assert runs["run"].tolist() == [folders[4].name]
    (record,) = caplog.records
    message = record.getMessage()
    assert "4 damaged" in message and "\n" not in message
    assert all(folder.name in message for folder in folders[:4])


def test_thousands_of_runs_are_read_in_seconds(tmp_path):
    metrics = {"last": {"uar": 0.5, "war": 0.5, "macro_f1": 0.5}}
    metrics["utterances"] = {"train": 9, "test": 1}
    for number in range(2000):
        folder = tmp_path / f"{number:012x}"
        folder.mkdir()
        (folder / "spec.json").write_text(json.dumps({**SPEC, "seed": number}))
        (folder / "metrics.json").write_text(json.dumps(metrics))
    begin = time.monotonic()
    assert len(results.load_runs(tmp_path)) == 2000
    assert time.monotonic() - begin < 30


def test_predictions_keep_ids_as_text_and_say_where_they_come_from(store):
    runs = pick(results.load_runs(store), protocol="loso", corpus="emodb")
    frame = results.load_predictions(store, runs)
    assert list(frame.columns[:6]) == ["run", "seed", "split", "selection", "utterance", "corpus"]
    assert sorted(frame["speaker"].unique()) == fabricated.SPEAKERS["emodb"]
    assert len(frame) == runs["utterances"].sum()
    assert frame["p_angry"].dtype == float


def test_predictions_of_the_last_epoch_are_never_those_of_the_best(tmp_path):
    store = RunStore(tmp_path)
    folder = fabricated.add_run(store, split="fold 0", selection="best_test", **KFOLD)
    runs = results.load_runs(store)
    assert set(results.load_predictions(store, runs)["selection"]) == {"best_test"}
    last = pd.read_csv(folder / "predictions.csv").assign(predicted="sad")
    last.to_csv(folder / "predictions_last.csv", index=False)
    frame = results.load_predictions(store, pick(runs, selection="last"))
    assert set(frame["selection"]) == {"last"} and set(frame["predicted"]) == {"sad"}


def test_unreadable_predictions_are_named(tmp_path, caplog):
    store = RunStore(tmp_path)
    folder = fabricated.add_run(store, split="fold 0", **KFOLD)
    (folder / "predictions.csv").write_text("a,b\n1,2\n")
    (folder / "history.csv").unlink()
    runs = results.load_runs(store)
    with caplog.at_level(logging.WARNING, "ctl_helpers"):
        assert results.load_predictions(store, runs).empty
        assert results.load_history(store, runs).empty
    assert [folder.name in record.getMessage() for record in caplog.records] == [True, True]


def test_history_is_read_once_per_run(store):
    runs = pick(results.load_runs(store), recipe="released", corpus="emodb", seed=0)
    frame = results.load_history(store, runs)
    assert len(frame) == 10 * 30 and set(frame["split"]) == {f"fold {i}" for i in range(10)}


def test_summary_by_hand(store):
    runs = results.load_runs(store)
    predictions = results.load_predictions(store, runs)
    table = results.summary(runs, predictions)
    condition = {"corpus": "emodb", "protocol": "kfold", "recipe": "modern"}
    (row,) = pick(table, **condition).to_dict("records")
    mine = pick(runs, **condition)
    folds = [mine[mine["split"] == f"fold {fold}"]["uar"].mean() for fold in range(10)]
    half = 2.262157 * np.std(folds, ddof=1) / np.sqrt(10)  # Student's t, 9 degrees of freedom
    assert row["uar"] == pytest.approx(np.mean(folds))
    assert (row["uar_low"], row["uar_high"]) == pytest.approx(
        (np.mean(folds) - half, np.mean(folds) + half), abs=1e-6
    )
    assert (row["folds"], row["seeds"], row["runs"], row["utterances"]) == (10, 2, 20, 540)
    pooled = [
        statistics.uar(part["emotion"], part["predicted"])
        for _, part in predictions[predictions["run"].isin(mine["run"])].groupby("seed")
    ]
    assert row["pooled_uar"] == pytest.approx(np.mean(pooled))
    assert row["pooled_uar_low"] < row["pooled_uar"] < row["pooled_uar_high"]
    assert row["speaker_low"] < row["pooled_uar"] < row["speaker_high"]
    assert not row["optimistic"]


def test_halves_of_a_target_are_averaged_within_each_seed(tmp_path):
    store = RunStore(tmp_path)
    place = {"task": "transfer", "source": "casia", "target": "emodb", "protocol": "inductive"}
    for seed, half in product(range(3), range(2)):
        common = {**place, "method": "coral", "recipe": fabricated.recipe("modern")}
        fabricated.add_run(store, split=f"half {half}", seed=seed, **common)
    runs = results.load_runs(tmp_path)
    row = results.summary(runs).iloc[0]
    each = [runs.loc[runs["seed"] == seed, "uar"].mean() for seed in range(3)]
    half = 4.302653 * np.std(each, ddof=1) / np.sqrt(3)  # t(0.975, 2)
    assert (row["folds"], row["seeds"]) == (2, 3)
    expected = (np.mean(each), np.mean(each) - half, np.mean(each) + half)
    assert (row["uar"], row["uar_low"], row["uar_high"]) == pytest.approx(expected)


def test_summary_marks_the_optimistic_and_needs_no_predictions(store):
    table = results.summary(results.load_runs(store))
    assert set(table.loc[table["optimistic"], "selection"]) == {"best_test"}
    assert (table["optimistic"].sum(), table["pooled_uar"].notna().sum()) == (2, 0)
    pair = pick(table, task="transfer", method="caam-mdd", source="casia").iloc[0]
    assert (pair["folds"], pair["seeds"], pair["utterances"]) == (1, 3, 54)
    assert pair["uar_low"] < pair["uar"] < pair["uar_high"]


def test_recipes_that_differ_under_one_name_are_not_mixed(tmp_path):
    store = RunStore(tmp_path)
    for epochs in (30, 60):
        changed = {"name": "released", "normalisation": "none", "epochs": epochs}
        fabricated.add_run(store, split="fold 0", recipe=changed, **KFOLD)
    table = results.summary(results.load_runs(store))
    assert len(table) == 2 and table["variant"].nunique() == 2
