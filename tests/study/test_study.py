"""The grid of a study with invented training: what is asked for, computed, kept and left out."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ctl_helpers.corpora import make_miniature, shared_emotions
from ctl_helpers.errors import StudyError
from ctl_helpers.methods.experiments import emotions_of, write_predictions
from ctl_helpers.methods.transfers import shared
from ctl_helpers.protocols.inside import K_FOLDS, make_splits
from ctl_helpers.report.index import read_study
from ctl_helpers.report.pages import PACKAGE, Cell
from ctl_helpers.results.runs import load_runs
from ctl_helpers.runs.store import write_json
from ctl_helpers.scores import scores
from ctl_helpers.study import grid
from ctl_helpers.study import run as study
from ctl_helpers.study.settings import METHODS, Settings, settle

COMPUTED = []


def invent(store, spec, manifest, rows, emotions):
    """Put a run of guesses into a store, or find it there; its rows."""

    def function(folder):
        COMPUTED.append(spec)
        rng = np.random.default_rng(len(rows) + spec["seed"])
        p = rng.dirichlet(np.ones(len(emotions)), len(rows))
        truth = [emotions.index(emotion) for emotion in manifest["emotion"].iloc[rows]]
        found = scores(truth, p.argmax(axis=1))
        metrics = {"last": found, "best_test": found, "validation": found, "epochs": 1}
        metrics |= {"utterances": {"train": len(manifest) - len(rows), "test": len(rows)}}
        metrics |= {"seconds": 1.0, "peak_memory_mb": 1.0, "parameters": 1}
        write_json(folder / "metrics.json", metrics)
        write_predictions(folder / "predictions.csv", manifest, rows, emotions, p)
        write_predictions(folder / "predictions_last.csv", manifest, rows, emotions, p)

    name = store.compute(spec, function).name
    runs = load_runs(store)
    return runs[runs["run"] == name]


def fake_cross_validate(features, recipe, *, protocol, folds, seeds, selection, store, jobs, only):
    manifest = features.manifest
    split = make_splits(manifest, protocol, folds)[only[0]]
    spec = {"task": "cpac", "corpus": manifest["corpus"].iloc[0], "protocol": protocol}
    spec |= {"split": split.name, "method": "cpac", "recipe": asdict(recipe), "seed": seeds[0]}
    spec |= {"selection": selection, "features": features.key}
    spec |= {"folds": folds} if protocol in K_FOLDS else {}
    return invent(store, spec, manifest, split.test, emotions_of(manifest))


def fake_transfer(source, target, recipe, *, method, seeds, scoring, labels, store, jobs):
    source, target = shared(source, target, labels)
    classes = shared_emotions(source.manifest, target.manifest)
    names = [side.manifest["corpus"].iloc[0] for side in (source, target)]
    spec = {"task": "transfer", "source": names[0], "target": names[1], "split": "all"}
    spec |= {"protocol": scoring, "labels": labels, "method": method, "recipe": asdict(recipe)}
    spec |= {"seed": seeds[0], "selection": "last"}
    rows = np.arange(len(target.manifest))
    return invent(store, spec, target.manifest, rows, classes)


@pytest.fixture
def executed(monkeypatch):
    """Train by guessing and execute notebooks by writing down that it was done."""
    done = []

    def execute(cell: Cell, out: Path):
        done.append(cell.name)
        folder = out / "notebooks"
        folder.mkdir(exist_ok=True)
        told = {"metadata": {"ctl_helpers": {"key": cell.key()}}}
        (folder / f"{cell.name}.ipynb").write_text(json.dumps(told))
        (folder / f"{cell.name}.html").write_text("<html></html>")
        return ""

    COMPUTED.clear()
    monkeypatch.setattr(grid, "cross_validate", fake_cross_validate)
    monkeypatch.setattr(grid, "transfer", fake_transfer)
    monkeypatch.setattr(study, "execute", execute)
    return done


@pytest.fixture
def settings(tmp_path, miniature):
    return Settings(
        corpora=miniature, names=("emodb", "casia"), folds=2, out=tmp_path / "reports", jobs=1
    )


def run(settings):
    lines = []
    return study.run_study(settings, lines.append), lines


def test_a_study_computes_its_grid_and_links_its_notebooks(settings, executed):
    report, lines = run(settings)
    assert report.problems == ()
    assert lines[0].startswith("Synthetic speech")
    # 2 corpora x 2 folds, 2 pairs x 3 methods.
    assert len(COMPUTED) == 4 + 2 * len(METHODS)
    assert sorted(executed) == [
        "1_feature_exploration-casia-released",
        "1_feature_exploration-emodb-released",
        "2_cpac_kfold-casia-quick-kfold",
        "2_cpac_kfold-emodb-quick-kfold",
        "3_caam_transfer-casia-emodb-quick",
        "3_caam_transfer-emodb-casia-quick",
        "4_result_tables",
    ]
    page = report.index.read_text()
    links = re.findall(r'href="(notebooks/[^"]*)"', page)
    assert sorted(links) == [f"notebooks/{name}.html" for name in sorted(executed)]
    assert "Synthetic speech" in page.split("<body>")[1].strip().splitlines()[0]
    assert "GM-TCNet" in page


def test_what_is_done_is_not_done_again(settings, executed):
    run(settings)
    before = {path: path.stat().st_mtime_ns for path in Path(settings.out).rglob("metrics.json")}
    COMPUTED.clear()
    executed.clear()
    run(settings)
    assert not COMPUTED and not executed
    run(replace(settings, seeds=(0, 1)))
    assert {spec["seed"] for spec in COMPUTED} == {1}
    assert sorted(executed)[0].startswith("2_")  # the features are what they were
    for path, stamp in before.items():
        assert path.stat().st_mtime_ns == stamp


def test_a_stopped_study_goes_on_where_it_was(settings, executed, tmp_path, monkeypatch):
    straight = replace(settings, out=tmp_path / "straight")
    run(straight)
    COMPUTED.clear()

    def stopped(*arguments, **options):
        if len(COMPUTED) >= 3:
            raise KeyboardInterrupt
        return fake_cross_validate(*arguments, **options)

    monkeypatch.setattr(grid, "cross_validate", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(settings)
    first = len(COMPUTED)
    monkeypatch.setattr(grid, "cross_validate", fake_cross_validate)
    run(settings)
    assert first < len(COMPUTED) == 4 + 2 * len(METHODS)
    told = [(Path(s.out) / "study.json").read_text() for s in (settings, straight)]
    assert told[0] == told[1]
    runs = [load_runs(Path(s.out) / "runs") for s in (settings, straight)]
    pd.testing.assert_frame_equal(*runs)


def test_a_bad_corpus_costs_that_corpus_only(settings, executed, miniature, tmp_path):
    root = tmp_path / "corpora"
    shutil.copytree(miniature / "emodb", root / "emodb")
    shutil.copytree(miniature / "casia" / "liuchanhg" / "sad", root / "gloomy" / "sad")
    few = miniature / "casia" / "liuchanhg"
    for emotion in ("sad", "angry"):
        (root / "tiny" / emotion).mkdir(parents=True)
        shutil.copy(few / emotion / "201.wav", root / "tiny" / emotion)
    (root / "broken.csv").write_text("path,emotion\na.wav,sad\n")
    (root / "silent" / "sad").mkdir(parents=True)
    (root / "silent" / "sad" / "a.wav").write_bytes(b"")
    report, _ = run(replace(settings, corpora=root, names=(), folds=3, epochs=1, pairs=()))
    said = "\n".join(report.problems)
    for word in ("gloomy", "tiny", "broken", "silent"):
        assert sum(word in line for line in report.problems) == 1, said
    assert "'speaker'" in said and "two emotions" in said and "3 folds" in said
    assert all("\n" not in line for line in report.problems)
    assert {spec["corpus"] for spec in COMPUTED} == {"emodb"}
    page = report.index.read_text()
    assert "gloomy" in page and "Synthetic" not in page
    assert "notebooks/2_cpac_kfold-emodb-released-kfold.html" in page


def test_a_pair_that_shares_nothing_costs_that_pair(settings, executed, miniature, tmp_path):
    root = tmp_path / "corpora"
    for name, emotions in (("one", ("sad", "angry")), ("two", ("happy", "neutral"))):
        for emotion in emotions:
            shutil.copytree(miniature / "casia" / "wangzhe" / emotion, root / name / emotion)
    report, _ = run(replace(settings, corpora=root, names=(), epochs=1))
    assert len([line for line in report.problems if "shared emotions" in line]) == 2
    assert len(COMPUTED) == 4


def test_a_run_that_fails_costs_its_notebook(settings, executed, monkeypatch):
    def failing(features, *arguments, only, **options):
        if features.manifest["corpus"].iloc[0] == "casia" and only == [1]:
            raise StudyError("casia: fold 1 went wrong")
        return fake_cross_validate(features, *arguments, only=only, **options)

    monkeypatch.setattr(grid, "cross_validate", failing)
    report, _ = run(settings)
    assert report.problems == ("casia: fold 1 went wrong",)
    assert "2_cpac_kfold-emodb-quick-kfold" in executed
    assert "2_cpac_kfold-casia-quick-kfold" not in executed


def test_a_normalisation_is_a_condition_of_its_own(settings, executed):
    settings = replace(settings, names=("emodb",), recipes=("modern",), pairs=())
    report, _ = run(replace(settings, normalisations=("recipe", "speaker", "global")))
    kinds = [spec["recipe"]["normalisation"] for spec in COMPUTED]
    assert sorted(kinds) == ["global"] * 2 + ["speaker"] * 2  # global is the recipe's own
    page = report.index.read_text()
    for label in ("modern-kfold", "modern-kfold-speaker"):
        assert f"2_cpac_kfold-emodb-{label}" in executed
    assert "EmoDB, modern, per speaker, shuffled k-fold" in page
    assert "<td>CPAC modern</td>" in page and "<td>CPAC modern, per speaker</td>" in page


def test_scorings_and_labels_are_conditions_of_their_own(settings, executed):
    chosen = {"scorings": ("transductive", "inductive"), "labels": ("emotion", "arousal")}
    chosen |= {"protocols": (), "pairs": (("emodb", "casia"),), "methods": ("source-only",)}
    report, _ = run(replace(settings, **chosen))
    asked = {(spec["protocol"], spec["labels"]) for spec in COMPUTED}
    assert len(COMPUTED) == len(asked) == 4
    pages = {name.removeprefix("3_caam_transfer-emodb-casia-quick") for name in executed[:-1]}
    assert pages == {"", "-arousal", "-inductive", "-inductive-arousal"}
    assert "EmoDB → CASIA, quick, inductive, arousal" in report.index.read_text()
    shown = set(load_runs(Path(settings.out) / "runs")["protocol"])
    halves = {"transductive, arousal", "inductive, arousal"}
    assert shown == {"transductive", "inductive"} | halves


def test_labels_may_be_shared_where_emotions_are_not(settings, executed, miniature, tmp_path):
    root = tmp_path / "corpora"
    for name, emotions in (("one", ("sad", "angry")), ("two", ("fear", "neutral"))):
        for emotion in emotions:
            shutil.copytree(miniature / "casia" / "wangzhe" / emotion, root / name / emotion)
    chosen = {"names": (), "protocols": (), "methods": ("source-only",), "labels": ("arousal",)}
    report, _ = run(replace(settings, corpora=root, **chosen))
    assert report.problems == () and len(COMPUTED) == 2


def test_baselines_stand_on_the_same_splits_and_in_the_same_tables(settings, executed, monkeypatch):
    monkeypatch.setattr(grid, "has_opensmile", lambda: False)
    wanted = ("egemaps+rbf", "compare+rbf", "mfcc+logistic")
    kinds = {"normalisations": ("recipe", "speaker"), "recipes": ("modern",)}
    report, lines = run(replace(settings, baselines=wanted, **kinds))
    (problem,) = report.problems
    assert "egemaps+rbf, compare+rbf" in problem and "ctl-helpers[baselines]" in problem
    runs = load_runs(Path(settings.out) / "runs")
    shallow = runs[runs["method"] == "mfcc+logistic"]
    # 2 corpora x 2 conditions x 2 folds, and 2 pairs x 2 conditions.
    assert len(shallow) == 12 and set(shallow["task"]) == {"baseline", "transfer"}
    inside = shallow[shallow["task"] == "baseline"]
    assert inside.groupby(["corpus", "normalisation"])["split"].apply(set).map(len).eq(2).all()
    assert f"{8 + 8 + 2 * len(METHODS) + 4} runs" in "".join(lines)
    page = report.index.read_text()
    for name in ("", ", per speaker", ", per corpus"):
        assert f"<td>MFCC statistics + logistic regression{name}</td>" in page
    assert not [name for name in executed if "mfcc" in name]


def test_only_some_splits_are_said_to_be_some(settings, executed):
    settings = replace(settings, names=("emodb",), folds=3, pairs=(), protocols=("kfold", "loso"))
    report, _ = run(replace(settings, only=(0,), baselines=("mfcc+rbf",)))
    assert sorted(spec["split"] for spec in COMPUTED) == ["fold 0", "speaker 03"]
    page = report.index.read_text()
    assert page.count("<td>1 of 3</td>") == 3  # quick at both its epochs, and the baseline
    assert "of 105</td>" in page and "shuffled k-fold, split 0 only" in page
    report, _ = run(replace(settings, only=(4,)))
    assert len(report.problems) == 1 and "from 0 to 2, got 4" in report.problems[0]


def test_a_report_tells_of_all_calls_into_its_folder(settings, executed, miniature, tmp_path):
    one = replace(settings, names=("emodb",), pairs=())
    run(one)
    executed.clear()
    report, _ = run(replace(one, recipes=("modern",), protocols=("loso",), selection="last"))
    assert executed == [
        "1_feature_exploration-emodb-pitch",
        "2_cpac_kfold-emodb-modern-loso",
        "4_result_tables",
    ]
    page = report.index.read_text()
    for name in (
        "1_feature_exploration-emodb-released",
        "2_cpac_kfold-emodb-quick-kfold",
        *executed,
    ):
        assert f'href="notebooks/{name}.html"' in page
    assert "<td>CPAC modern</td>" in page and "<td>CPAC quick</td>" in page
    told = read_study(settings.out)
    assert len(told["runs"]) == 2 + 5
    start = "python -m ctl_helpers study --corpora /data/ser --names emodb"
    assert told["commands"] == [
        f"{start} --folds 2 --pairs none",
        f"{start} --recipe modern --protocols loso --folds 2 --pairs none --selection last",
    ]
    # Another epoch of the same trainings takes their place; a validated one does not.
    run(replace(one, selection="last"))
    assert len(read_study(settings.out)["runs"]) == 2 + 5
    run(replace(one, selection="validation"))
    assert len(read_study(settings.out)["runs"]) == 4 + 5
    # Speech that is not synthetic begins anew.
    shutil.copytree(miniature / "emodb", tmp_path / "real" / "emodb")
    report, _ = run(replace(one, corpora=tmp_path / "real", epochs=1))
    assert len(read_study(settings.out)["runs"]) == 2 and "modern" not in report.index.read_text()


def test_a_damaged_study_file_is_written_anew(settings, executed):
    one = replace(settings, names=("emodb",), pairs=())
    run(one)
    (Path(settings.out) / "study.json").write_text("{")
    run(one)
    assert len(read_study(settings.out)["runs"]) == 2


def test_nothing_to_do_is_an_error(settings, executed, miniature, tmp_path):
    root = tmp_path / "corpora"
    shutil.copytree(miniature / "casia" / "liuchanhg" / "sad", root / "gloomy" / "sad")
    with pytest.raises(StudyError, match="two emotions"):
        run(replace(settings, corpora=root, names=(), pairs=()))


def test_a_report_that_cannot_be_written_is_said_at_once(settings, executed, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="cannot write"):
        run(replace(settings, out=tmp_path / "file" / "reports"))
    assert not COMPUTED


def test_defaults_follow_from_the_speech(miniature, tmp_path):
    _, small = settle(Settings(corpora=miniature))
    assert small.names == ("casia", "emodb", "ravdess", "savee")
    assert (small.recipes, small.folds, small.selection) == (("quick",), 3, "best_test")
    assert small.pairs == (("emodb", "casia"), ("casia", "emodb"))
    for name in ("casia", "emodb", "savee"):
        shutil.copytree(miniature / name, tmp_path / name)
    _, real = settle(Settings(corpora=tmp_path))
    assert (real.recipes, real.folds, real.selection) == (("released",), 10, "last")
    assert len(real.pairs) == 6


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"recipes": ("nope",)}, "released, paper"),
        ({"names": ("nope",)}, "casia, emodb"),
        ({"protocols": ("nope",)}, "kfold, stratified, loso"),
        ({"selection": "nope"}, "last, validation, best_test"),
        ({"baselines": ("nope",)}, "egemaps+linear"),
        ({"scorings": ("nope",)}, "transductive, inductive"),
        ({"labels": ("nope",)}, "emotion, arousal, valence"),
        ({"normalisations": ("nope",)}, "recipe, none, utterance, speaker"),
        ({"methods": ("nope",)}, "source-only"),
        ({"pairs": (("emodb", "nope"),)}, "casia, emodb"),
        ({"pairs": (("emodb", "emodb"),)}, "two corpora"),
        ({"folds": 1}, "2 or more"),
        ({"corpora": "/no/such/folder"}, "no such folder"),
    ],
)
def test_every_word_is_checked_at_the_door(miniature, change, expected):
    with pytest.raises(StudyError, match=re.escape(expected)):
        settle(replace(Settings(corpora=miniature), **change))


def test_the_forecast_counts_utterances_and_epochs(monkeypatch):
    monkeypatch.setattr(grid, "cores", lambda: 2)
    tasks = [grid.Task(None, None, 540 * 300)] * 10
    said = grid.forecast(tasks)
    assert said.startswith("10 runs") and "about 2 hours" in said  # 1 620 000 / 200 s = 2.25 h


@pytest.mark.slow
def test_a_killed_study_ends_with_the_same_tables(tmp_path):
    """SIGKILL at the first run that is there; only what was under way is computed again."""
    make_miniature()
    words = ["study", "--names", "emodb", "--folds", "2", "--epochs", "1", "--pairs", "none"]
    command = [sys.executable, "-m", "ctl_helpers", *words, "--jobs", "1", "--out"]

    def start(out):
        options = {"start_new_session": True, "stdout": subprocess.DEVNULL}
        return subprocess.Popen([*command, str(out)], cwd=PACKAGE.parent, **options)

    killed, straight = tmp_path / "killed", tmp_path / "straight"
    process = start(killed)
    runs = []
    while not runs and process.poll() is None:
        time.sleep(0.05)
        runs = [p for p in (killed / "runs").glob("*/metrics.json") if len(p.parent.name) == 12]
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(runs) == 1
    stamp = runs[0].stat().st_mtime_ns
    assert start(killed).wait() == 0
    assert start(straight).wait() == 0
    assert runs[0].stat().st_mtime_ns == stamp
    tables = sorted(path.name for path in (straight / "tables").glob("*.csv"))
    assert tables == sorted(path.name for path in (killed / "tables").glob("*.csv"))
    for name in tables:
        frames = [pd.read_csv(out / "tables" / name) for out in (killed, straight)]
        frames = [frame.drop(columns="seconds", errors="ignore") for frame in frames]
        pd.testing.assert_frame_equal(*frames)
