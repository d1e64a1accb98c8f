"""How long a study will take, by the seconds of runs that are there."""

import json

import numpy as np
import pytest
from toys import Toys, write_array, write_code

from ctl_helpers.runs.run import compute, missing_of
from ctl_helpers.runs.store import RunStore, write_record
from ctl_helpers.study.estimate import costs, estimate, sentence


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    return Toys(tmp_path_factory.mktemp("toys")).write()


def set_seconds(folder, seconds):
    """Let a run have taken so long."""
    record = json.loads((folder / "record.json").read_text())
    del record["checksum"]
    write_record(folder, record | {"seconds": seconds})


def test_past_seconds_are_counted_by_utterances_and_epochs(toys, tmp_path):
    store = RunStore(tmp_path)
    (first,) = toys.runs(only=[0], epochs=1)
    compute([first], store, jobs=1)
    set_seconds(tmp_path / first.name, 6.0)
    # Half a second an utterance and epoch: 12 utterances here, too.
    missing = toys.runs(only=[0, 1], epochs=1, seeds=(0, 1))
    assert estimate(missing, store) == (3, pytest.approx(18.0))
    assert estimate([first], store) == (0, 0)


def test_a_block_costs_what_its_runs_took(toys, tmp_path):
    store, one, two = RunStore(tmp_path), toys.runs(only=[0], epochs=1), toys.runs(epochs=1)
    compute(one, store, jobs=1)
    set_seconds(tmp_path / one[0].name, 1800)
    table = costs({"a": one, "b": two, "c": toys.runs(epochs=2)}, store)
    assert table.values.tolist() == [["a", 1, 1, 0.5], ["b", 2, 1, 0.5], ["c", 2, 0, 0.0]]


def test_networks_that_never_ran_are_timed_and_nothing_is_left_behind(toys, tmp_path):
    store = RunStore(tmp_path / "runs")
    runs = toys.runs(epochs=10_000)
    count, seconds = estimate(runs, store)
    assert count == 2 and 0 < seconds < 2400  # 240 000 times ten milliseconds if it is not timed
    assert not store.root.exists()
    both = [*runs, *toys.runs(f"mean({toys.network}, {toys.classifier})", epochs=10_000)]
    assert len(missing_of(both, store)) == 6  # means and their members, each once


def test_what_takes_less_than_the_timing_is_not_timed(toys, tmp_path):
    runs = toys.runs(epochs=10)
    assert estimate(runs, RunStore(tmp_path)) == (2, pytest.approx(240 * 0.01))


def test_vectors_side_by_side_are_timed_as_one_frame(toys, tmp_path):
    values = np.arange(120, dtype=np.float32).reshape(24, 5)
    files = [write_array(tmp_path / name, toys.manifest, values) for name in ("a.npz", "b.npz")]
    runs = toys.runs("perceptron/functionals", features="+".join(map(str, files)), epochs=1000)
    count, seconds = estimate(runs, RunStore(tmp_path / "runs"))
    assert count == 2 and 0 < seconds < 240  # 24 000 times ten milliseconds if it is not timed


FAULTS = """
import os
from keras import Input, Model, layers

def slim(frames, coefficients, classes):
    inputs = Input((frames, coefficients))
    return Model(inputs, layers.Dense(3, "softmax")(layers.GlobalAveragePooling1D()(inputs)))

def nothing(frames, coefficients, classes):
    pass

def deadly(frames, coefficients, classes):
    os.kill(os.getpid(), 9)
"""


def test_networks_that_cannot_be_used_do_not_end_the_estimate(toys, tmp_path):
    write_code(toys.folder, "faults.py", FAULTS)
    runs = toys.runs(settings={"nonsense": 1}, epochs=10_000)
    for name in ("slim", "nothing", "deadly"):
        runs += toys.runs(f"{toys.folder}/faults.py:{name}/released", epochs=10_000)
    assert estimate(runs, RunStore(tmp_path))[0] == 8


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((0, 0.0), "no runs to compute: what is wanted now is there"),
        ((1, 10.0, 1), "1 run to compute: about a minute or two on 1 core"),
        ((1, 7200.0, 16), "1 run to compute: about 2 hours on 1 core"),
        ((10, 7200.0, 2), "10 runs to compute: about 60 minutes on 2 cores"),
        ((10, 72000.0, 2), "10 runs to compute: about 10 hours on 2 cores"),
    ],
)
def test_an_estimate_in_words(given, expected):
    assert sentence(*given) == expected
