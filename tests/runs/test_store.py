import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st

from ctl_helpers.errors import StudyError
from ctl_helpers.runs.store import (
    ClaimedError,
    RunStore,
    canonical,
    file_hash,
    spec_hash,
    write_json,
    write_record,
)

SPEC = {"task": "cpac", "corpus": "emodb", "seed": 0}
NAME = spec_hash(SPEC)


def write_run(folder):
    (folder / "predictions.csv").write_text("selection,utterance,emotion,p_sad\nlast,NA,03,0.5\n")
    (folder / "model.keras").write_bytes(b"network")
    files = {file.name: file_hash(file) for file in folder.iterdir() if file.suffix != ".json"}
    write_json(folder / "record.json", {"scores": {"last": {"uar": 0.5}}, "files": files})


def start(code, *arguments):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], cwd=REPOSITORY)


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


def test_canonical_takes_tuples_and_what_numpy_has():
    value = {"rate": np.float32(0.25), "shape": (3, 3), "mean": np.array([1.5, np.nan])}
    assert canonical(value) == {"rate": 0.25, "shape": [3, 3], "mean": [1.5, None]}
    with pytest.raises(StudyError, match="JSON can hold, got object"):
        canonical({"a": object()})


# --- whole or not at all ---------------------------------------------------------------------


def test_a_run_is_computed_once(tmp_path):
    store, calls = RunStore(tmp_path / "new" / "store"), []

    def function(folder):
        calls.append(folder)
        write_run(folder)

    assert not store.has(NAME)
    first = store.compute(SPEC, function)
    assert store.compute(SPEC, function) == first == store.folder(SPEC)
    assert store.has(NAME) and len(calls) == 1
    assert json.loads((first / "spec.json").read_text()) == SPEC
    assert [path.name for path in store.root.iterdir()] == [NAME]


def test_a_run_that_another_process_computes_is_not_waited_for_unless_asked(tmp_path):
    store, seen = RunStore(tmp_path), []

    def function(folder):
        with pytest.raises(ClaimedError):  # what a second process meets while the first computes
            store.compute(SPEC, write_run, waits=False)
        seen.append(folder)
        write_run(folder)

    assert store.compute(SPEC, function, waits=False) == store.folder(SPEC)
    assert len(seen) == 1 and store.has(NAME)


def test_a_failure_leaves_no_run_but_keeps_the_checkpoint(tmp_path):
    store = RunStore(tmp_path)

    def fail(folder):
        (folder / "checkpoint").write_text("epoch 7")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        store.compute(SPEC, fail)
    assert not store.has(NAME)

    def resume(folder):
        assert (folder / "checkpoint").read_text() == "epoch 7"
        write_run(folder)

    store.compute(SPEC, resume)
    assert store.has(NAME)


KILLED = """
import sys, time
from pathlib import Path
from ctl_helpers.runs.store import RunStore
def function(folder):
    (folder / "record.json").write_text("{}")
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
    assert not store.has(NAME)
    seen = []

    def resume(folder):
        seen.append((folder / "checkpoint").read_text())

    store.compute(SPEC, resume)
    assert seen == ["epoch 7"]
    assert [path.name for path in store.root.iterdir()] == [NAME]


RACE = """
import errno, fcntl, os, sys, time
from pathlib import Path
locks = sys.argv[3] == "with locks"
def refuse(*_):
    raise OSError(errno.ENOLCK, "as on some network file systems")
if not locks:
    fcntl.flock = refuse
from ctl_helpers.runs import store
def function(folder):
    with open(sys.argv[2], "a") as calls:
        calls.write("x")
    time.sleep(1.5 if locks else 0)
    until = time.monotonic() + 120
    while not locks and os.path.getsize(sys.argv[2]) < 2 and time.monotonic() < until:
        time.sleep(0.01)  # the second has to begin before the first may end
    (folder / "record.json").write_text("{}")
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
    assert [path.name for path in store.root.iterdir()] == [NAME]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("record.json", b"", "JSONDecodeError"),
        ("record.json", b"[1]", "AttributeError"),
        ("spec.json", b"{", "JSONDecodeError"),
        ("spec.json", b'{"seed": 7}', "spec.json is of another run"),
        ("model.keras", b"", "model.keras is missing or empty"),
        ("spec.json", None, "FileNotFoundError"),
        ("predictions.csv", b"selection,utterance\n", "predictions.csv has changed"),
        ("model.keras", None, "model.keras is missing"),
    ],
)
def test_a_damaged_run_is_set_aside_and_computed_again(tmp_path, caplog, name, content, said):
    store = RunStore(tmp_path)
    folder = store.compute(SPEC, write_run)
    before = (folder / "record.json").read_bytes()
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    assert not store.has(NAME)
    (line,) = caplog.messages
    assert NAME in line and said in line and "\n" not in line
    (aside,) = tmp_path.glob(f"{NAME}.damaged-*")
    assert str(aside) in line and (aside / name).exists() == (content is not None)
    store.compute(SPEC, write_run)
    assert store.has(NAME) and (folder / "record.json").read_bytes() == before


def test_what_a_killed_process_left_half_written_does_not_count(tmp_path):
    store = RunStore(tmp_path)

    def write(folder):
        (folder / ".spec.json.123").touch()
        write_record(folder, {})

    assert store.has(store.compute(SPEC, write).name)


def test_a_record_that_was_changed_is_noticed(tmp_path, caplog):
    store = RunStore(tmp_path)

    def write(folder):
        write_record(folder, {"scores": {"last": {"uar": 0.5}}})

    file = store.compute(SPEC, write) / "record.json"
    assert store.has(NAME)
    file.write_text(file.read_text().replace("0.5", "0.9"))
    assert not store.has(NAME) and "record.json has changed" in caplog.text


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_what_is_in_the_place_of_a_run_is_set_aside(tmp_path, caplog, kind):
    store = RunStore(tmp_path)
    if kind == "file":
        (tmp_path / NAME).write_text("")
    else:
        (tmp_path / NAME).symlink_to(tmp_path / "nowhere")
    assert not store.has(NAME) and "no folder" in caplog.text
    store.compute(SPEC, write_run)
    assert store.has(NAME)


def test_ids_in_predictions_stay_text(tmp_path, caplog):
    store = RunStore(tmp_path)
    store.compute(SPEC, write_run)
    (row,) = store.tables("predictions.csv", [NAME, "0123"]).to_dict("records")
    known = {"run": NAME, "selection": "last", "utterance": "NA", "emotion": "03", "p_sad": 0.5}
    assert row == known and "no predictions.csv of 0123" in caplog.text


# --- bad places to write ---------------------------------------------------------------------


def assert_one_line(error, *words):
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_results_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StudyError) as error:
        RunStore(tmp_path / "file").compute(SPEC, write_run)
    assert_one_line(error, str(tmp_path / "file"), "cannot write run")


@pytest.fixture
def read_only():
    """A store with one run in a folder that cannot be written, by root neither."""
    root = Path(tempfile.mkdtemp())
    RunStore(root).compute(SPEC, write_run)
    root.chmod(0o555)
    yield root
    root.chmod(0o755)
    shutil.rmtree(root)


@contextlib.contextmanager
def unprivileged():
    """Give up root's right to write everywhere."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_read_only_store_gives_its_runs_and_says_that_it_takes_no_others(read_only):
    store = RunStore(read_only)
    with unprivileged():
        assert store.compute(SPEC, None) == store.folder(SPEC)
        with pytest.raises(StudyError) as error:
            store.compute(SPEC | {"seed": 1}, write_run)
    assert_one_line(error, str(read_only), "Permission denied")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_leaves_no_run(tmp_path):
    store = RunStore(tmp_path)
    with pytest.raises(StudyError) as error:
        store.compute(SPEC, lambda folder: Path("/dev/full").write_text("x"))
    assert_one_line(error, str(tmp_path), "No space left on device")
    assert not store.has(NAME)


def test_a_lock_that_a_killed_process_left_beside_its_run_is_removed(tmp_path):
    store = RunStore(tmp_path)
    name = store.compute({"seed": 0}, lambda folder: write_json(folder / "record.json", {})).name
    (tmp_path / f"{name}.lock").touch()
    assert store.has(name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
