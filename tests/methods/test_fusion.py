"""Means of other methods' probabilities: what they are, and that nothing is computed twice."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from toys import Toys, write_array

from ctl_helpers.methods import parse
from ctl_helpers.methods.fusion import FusionMethod
from ctl_helpers.results.archive import write_archive
from ctl_helpers.results.runs import load_runs
from ctl_helpers.runs.run import compute
from ctl_helpers.runs.store import RunStore
from ctl_helpers.scores import not_probabilities

P = ["p_angry", "p_sad"]
KEPT = 0.51e-3  # members count with three decimals


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    return Toys(tmp_path_factory.mktemp("toys")).write()


def fused(toys, mean, **options):
    return toys.runs(f"{mean}({toys.network}, {toys.classifier})", **options)


@pytest.fixture(scope="module")
def store(toys, tmp_path_factory):
    """Both means of a network and a classifier on one fold."""
    store = RunStore(tmp_path_factory.mktemp("report") / "runs")
    runs = [*fused(toys, "mean", only=[0]), *fused(toys, "geometric", only=[0])]
    assert compute(runs, store, jobs=1) == {}
    return store


def probabilities(store, run):
    return pd.read_csv(store.root / run.name / "predictions.csv")[P].to_numpy()


def stamps(store):
    return {path: path.stat().st_mtime_ns for path in store.root.glob("*/record.json")}


def test_means_are_those_of_the_members_stored_probabilities(store, toys):
    (arithmetic,), (geometric,) = (fused(toys, m, only=[0]) for m in ("mean", "geometric"))
    members = np.array([probabilities(store, member) for member in arithmetic.members])
    assert members.shape == (2, 12, 2) and np.abs(members[0] - members[1]).max() > 0.05
    np.testing.assert_allclose(probabilities(store, arithmetic), members.mean(axis=0), atol=KEPT)
    product = np.sqrt(np.maximum(members, 1e-3).prod(axis=0))
    expected = product / product.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities(store, geometric), expected, atol=KEPT)
    spec = json.loads((store.root / arithmetic.name / "spec.json").read_text())
    assert [one["kind"] for one in spec["method"]["recipe"]["members"]] == ["network", "shallow"]


def test_members_are_computed_once_and_are_the_runs_of_the_study_itself(store, toys):
    names = {path.name for path in store.root.iterdir()}
    own = {run.name for run in [*toys.runs(only=[0]), *toys.runs(toys.classifier, only=[0])]}
    assert len(names) == 4 and own < names
    before = stamps(store)
    compute([*fused(toys, "mean", only=[0]), *toys.runs(only=[0])], store, jobs=1)
    assert stamps(store) == before


def test_a_member_that_watched_its_test_part_is_not_trained_again(toys, store, tmp_path):
    watched = RunStore(tmp_path / "runs")
    (training,) = toys.runs(only=[0], selection="best_test")
    (fusion,) = fused(toys, "mean", only=[0])
    assert compute([training], watched, jobs=1) == {}
    assert compute([fusion], watched, jobs=1) == {}
    there = {path.name for path in watched.root.iterdir()}
    assert there == {training.name, fusion.name, fusion.members[1].name}
    together = RunStore(tmp_path / "together")
    assert compute([fusion, training], together, jobs=1) == {}
    assert {path.name for path in together.root.iterdir()} == there
    np.testing.assert_array_equal(probabilities(watched, fusion), probabilities(store, fusion))


def test_a_fusion_has_the_seeds_of_its_members(toys):
    one, other = fused(toys, "mean", only=[0], seeds=(0, 1))
    assert one.name != other.name and [run.seed for run in one.members] == [0, 0]
    assert [run.seed for run in other.members] == [1, 0]  # a classifier draws nothing


def test_a_fusion_hears_the_test_voices_if_a_member_does():
    for text, expected in (
        ("mean(cpac/independent, compare+linear)", "speaker"),
        ("mean(cpac/modern, mean(compare+linear, cpac/independent))", "speaker"),
        ("mean(cpac/released, compare+linear)", "mixed"),
        ("mean(cpac/modern, compare+linear)", "global"),
    ):
        assert parse(text).spec()["recipe"]["normalisation"] == expected
    members = [parse("cpac/quick", "global"), parse("mfcc+linear", "corpus")]
    assert FusionMethod("mean", tuple(members)).spec()["recipe"]["normalisation"] == "corpus"


def test_a_fusion_is_another_where_a_members_own_features_are(toys, tmp_path):
    names = set()
    for factor in (1, 2, 2):
        values = factor * np.arange(48, dtype=np.float32).reshape(24, 2)
        file = write_array(tmp_path / "own.npz", toys.manifest, values)
        (run,) = toys.runs(f"mean({file}+linear, mean({file}+linear, mfcc+linear))", only=[0])
        names.add(run.name)
    assert len(names) == 2


def test_a_fusion_may_be_a_member(store, toys):
    text = f"mean({toys.network}, geometric({toys.network}, {toys.classifier}))"
    (run,) = toys.runs(text, only=[0])
    before = stamps(store)
    assert compute([run], store, jobs=1) == {}
    assert set(stamps(store)) - set(before) == {store.root / run.name / "record.json"}
    members = [probabilities(store, member) for member in run.members]
    np.testing.assert_allclose(probabilities(store, run), np.mean(members, axis=0), atol=KEPT)


def test_members_are_found_in_an_archive(store, toys, tmp_path):
    runs = [fused(toys, mean, only=[0])[0] for mean in ("mean", "geometric")]
    expected = [probabilities(store, run) for run in runs]
    shutil.copytree(store.root, tmp_path / "runs")
    for run in runs:
        shutil.rmtree(tmp_path / "runs" / run.name)
    write_archive(tmp_path)
    shutil.rmtree(tmp_path / "runs")
    archived = RunStore(tmp_path / "runs")
    assert all(archived.has(member.name) for member in run.members)
    assert compute(runs, archived, jobs=1) == {}
    assert {path.name for path in archived.root.iterdir()} == {run.name for run in runs}
    for run, kept in zip(runs, expected, strict=True):
        np.testing.assert_array_equal(probabilities(archived, run), kept)
    assert set(load_runs(archived)["run"]) >= {run.name, *(m.name for m in run.members)}


def test_a_member_that_fails_leaves_its_means_out(toys, tmp_path):
    (run,) = fused(toys, "mean", only=[0], learning_rate=1e30, loss="cross-entropy", epochs=20)
    store = RunStore(tmp_path)
    failures = compute([run], store, jobs=1)
    network, classifier = run.members
    assert set(failures) == {run.name, network.name}
    assert failures[run.name].endswith(f"its member {network.method.label} failed")
    assert store.has(classifier.name) and all("\n" not in line for line in failures.values())


@pytest.mark.parametrize("classes", [3, 26, 64])
def test_probabilities_of_many_classes_may_be_rounded_as_members_are(classes):
    rounded = np.full((1, classes), 1 / classes).round(3)
    assert not_probabilities(rounded, rounded.shape) == ""
    assert "no softmax" in not_probabilities(1.1 * rounded, rounded.shape)
