"""Reading runs, from folders and from the archive."""

import bz2
import json
import logging
import shutil
import time

import fabricated
import pandas as pd
import pytest

from ctl_helpers.errors import StudyError
from ctl_helpers.results import runs as results
from ctl_helpers.results.archive import write_archive
from ctl_helpers.results.summaries import SUMMARY_COLUMNS, summary
from ctl_helpers.runs import FORMAT
from ctl_helpers.runs.store import RunStore, spec_hash, write_json
from ctl_helpers.scores import scores

KFOLD = {"corpus": "emodb", "recipe": fabricated.recipe("released")}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return fabricated.fill(tmp_path_factory.mktemp("report") / "runs", seeds=(0, 1))


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
    assert released["run"].nunique() == 10 and set(released["of_folds"]) == {10}
    pair = runs[runs["source"] != ""].iloc[0]
    assert (pair["corpus"], pair["source"], pair["target"]) == ("", "casia", "emodb")
    assert pair["classes"] == "angry, fear, happy, neutral, sad"
    assert pick(runs, recipe="modern")["normalisation"].unique().tolist() == ["global"]
    pd.testing.assert_frame_equal(results.load_runs(str(store.root)), runs)


def test_only_the_runs_asked_for_are_opened(store, caplog):
    names = list(results.load_runs(store)["run"].unique()[:3])
    broken = RunStore(store.root.parent / "broken")
    shutil.copytree(store.root, broken.root)
    others = [path for path in broken.root.iterdir() if path.name not in names]
    for path in others:
        (path / "record.json").write_text("{")
    assert set(results.load_runs(broken, only=names)["run"]) == set(names)
    assert not caplog.records


def test_load_runs_of_nothing(tmp_path):
    for frame in (results.load_runs(tmp_path), results.load_runs(tmp_path / "absent")):
        assert frame.empty and list(frame.columns) == results.RUN_COLUMNS
    assert list(summary(frame).columns) == SUMMARY_COLUMNS
    assert results.load_predictions(tmp_path, frame).empty
    assert results.load_history(tmp_path, frame).empty


def test_folds_are_in_the_order_of_their_numbers(tmp_path):
    for fold in (10, 9, 2):
        fabricated.add_run(RunStore(tmp_path), split=f"fold {fold}", **KFOLD)
    assert results.load_runs(tmp_path)["split"].tolist() == ["fold 2", "fold 9", "fold 10"]


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-100])


def old(path):
    path.write_text(json.dumps({"task": "cpac", "corpus": "emodb"}))


DAMAGES = {
    "record.json": [lambda path: path.unlink(), lambda path: path.write_text("")],
    "spec.json": [lambda path: path.write_bytes(b"\xff"), old],
    "predictions.csv": [lambda path: path.unlink(), cut_short],
    "history.csv": [cut_short],
}


def test_damaged_runs_are_left_out_with_one_warning(tmp_path, caplog):
    store = RunStore(tmp_path)
    damages = [(name, damage) for name, several in DAMAGES.items() for damage in several]
    folders = []
    for number, (name, damage) in enumerate(damages):
        folders.append(fabricated.add_run(store, split=f"fold {number}", **KFOLD))
        damage(folders[-1] / name)
    whole = fabricated.add_run(store, split="fold 9", **KFOLD)
    (tmp_path / "0123456789ab.partial").mkdir()
    (tmp_path / "notes").mkdir()
    with caplog.at_level(logging.WARNING, "ctl_helpers"):
        runs = results.load_runs(store)
    assert runs["run"].tolist() == [whole.name]
    (record,) = caplog.records
    message = record.getMessage()
    assert f"{len(folders)} damaged" in message and "\n" not in message
    assert all(folder.name in message for folder in folders)


def test_thousands_of_runs_are_read_in_seconds(tmp_path):
    first = fabricated.add_run(RunStore(tmp_path / "one"), split="fold 0", **KFOLD)
    spec = json.loads((first / "spec.json").read_text())
    for number in range(2000):
        other = spec | {"seed": number}
        shutil.copytree(first, tmp_path / spec_hash(other))
        write_json(tmp_path / spec_hash(other) / "spec.json", other)
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


def test_a_speaker_called_na_is_a_speaker(tmp_path):
    fabricated.add_run(RunStore(tmp_path), split="fold 0", speakers=["NA", "None"], **KFOLD)
    runs = results.load_runs(tmp_path)
    assert set(results.load_predictions(tmp_path, runs)["speaker"]) == {"NA", "None"}


def test_scores_recompute_from_the_predictions_of_each_selection(store):
    runs = results.load_runs(store)
    frame = results.load_predictions(store, runs)
    assert set(runs["selection"]) == {"last", "best_test"}
    for (run, selection), mine in frame.groupby(["run", "selection"]):
        (row,) = pick(runs, run=run, selection=selection).to_dict("records")
        assert scores(mine["emotion"], mine["predicted"])["uar"] == pytest.approx(row["uar"])


def test_history_is_read_once_per_run_and_of_networks_alone(store, tmp_path, caplog):
    runs = pick(results.load_runs(store), recipe="released", corpus="emodb", seed=0)
    frame = results.load_history(store, runs)
    assert len(frame) == 10 * 30 and set(frame["split"]) == {f"fold {i}" for i in range(10)}
    shallow = RunStore(tmp_path)
    fabricated.add_run(shallow, split="fold 0", corpus="emodb", method="egemaps+rbf")
    assert results.load_history(shallow, results.load_runs(shallow)).empty
    assert not caplog.records


# --- the archive -----------------------------------------------------------------------------


def test_an_archive_is_read_like_the_folders(store, tmp_path):
    for folder in sorted(store.root.iterdir())[::5]:
        shutil.copytree(folder, tmp_path / "runs" / folder.name)
    before = results.load_runs(tmp_path / "runs")
    predicted = results.load_predictions(tmp_path / "runs", before)
    told = results.load_history(tmp_path / "runs", before)
    first = [path.read_bytes() for path in write_archive(tmp_path)]
    assert [path.read_bytes() for path in write_archive(tmp_path)] == first
    shutil.rmtree(tmp_path / "runs")
    assert [path.read_bytes() for path in write_archive(tmp_path)] == first  # from itself
    after = results.load_runs(tmp_path / "runs")
    pd.testing.assert_frame_equal(after, before)
    found = results.load_predictions(tmp_path / "runs", after)
    words = ["run", "utterance", "selection", "speaker", "emotion", "predicted"]
    pd.testing.assert_frame_equal(found[words], predicted[words])
    assert (found["p_angry"] - predicted["p_angry"]).abs().max() <= 5.1e-4
    pd.testing.assert_frame_equal(summary(after, found), summary(before, predicted))
    curves = results.load_history(tmp_path / "runs", after)
    pd.testing.assert_frame_equal(curves, told, rtol=5e-4)  # four digits


def test_an_archive_holds_what_was_there_and_a_folder_counts_before_it(tmp_path):
    store = RunStore(tmp_path / "runs")
    with pytest.raises(StudyError, match="expected runs in"):
        write_archive(tmp_path)
    for fold in range(3):
        if fold == 2:
            write_archive(tmp_path)
        fabricated.add_run(store, split=f"fold {fold}", **KFOLD)
    names = results.load_runs(store)["run"].tolist()
    shutil.rmtree(store.root / names[1])
    assert results.load_runs(store)["run"].tolist() == names
    shutil.rmtree(store.root / names[2])
    assert results.load_runs(store)["run"].tolist() == names[:2]
    assert results.load_runs(store, only=[names[1]])["run"].tolist() == [names[1]]
    runs = results.load_runs(store)
    cut_short(tmp_path / "predictions.jsonl.bz2")
    with pytest.raises(StudyError, match=r"predictions\.jsonl\.bz2 is damaged"):
        results.load_predictions(store, runs)
    cut_short(tmp_path / "runs.jsonl.bz2")
    with pytest.raises(StudyError, match=r"runs\.jsonl\.bz2 is damaged"):
        results.load_runs(store)


def test_an_archive_stands_in_for_a_damaged_folder_and_stays_as_it_was(tmp_path, caplog):
    store = RunStore(tmp_path / "runs")
    folders = [fabricated.add_run(store, split=f"fold {fold}", **KFOLD) for fold in range(3)]
    runs = results.load_runs(store)
    first = [path.read_bytes() for path in write_archive(tmp_path)]
    text = (folders[1] / "predictions.csv").read_text()
    (folders[1] / "predictions.csv").write_text(text.replace("happy", "sad"))
    assert [path.read_bytes() for path in write_archive(tmp_path)] == first
    said = caplog.records[0].getMessage()
    assert f"1 damaged run(s) taken from the archive: {folders[1].name} (predictions.csv" in said
    for (run, selection), mine in results.load_predictions(store, runs).groupby(
        ["run", "selection"]
    ):
        (row,) = pick(runs, run=run, selection=selection).to_dict("records")
        assert scores(mine["emotion"], mine["predicted"])["uar"] == pytest.approx(row["uar"])
    caplog.clear()
    later = RunStore(store.root)
    assert later.has(folders[1].name) and "taken from the archive" in caplog.text
    assert not folders[1].exists() and later.has(folders[1].name)


def test_splits_that_a_changed_corpus_no_longer_has_do_not_count(tmp_path):
    store = RunStore(tmp_path / "runs")

    def add(speakers, day, **more):
        for speaker in speakers:
            run = {"corpus": "emodb", "protocol": "loso", "split": f"speaker {speaker}", **more}
            run |= {"of_folds": len(speakers), "finished": f"2026-01-0{day}T00:00:00Z"}
            fabricated.add_run(store, rows=f"{speaker} {day}", **run)

    def splits():
        return sorted(set(results.study_runs(tmp_path)["split"].str[-1]))

    add("abcd", 1)
    assert splits() == ["a", "b", "c", "d"]
    add("abc", 2)  # two of them were one person
    assert splits() == ["a", "b", "c"]
    add("abe", 3)  # one has another name
    assert splits() == ["a", "b", "e"]
    assert set(results.study_runs(tmp_path)["finished"].str[9]) == {"3"}
    add("ab", 4, method="mfcc+linear", recipe={"name": "", "normalisation": "global"})
    assert splits() == ["a", "b", "e"]  # of another method


def test_other_features_of_the_same_utterances_stand_beside_each_other(tmp_path):
    store = RunStore(tmp_path / "runs")
    for day, (key, size) in enumerate([("x", 40), ("y", 40), ("z", 32)], start=1):
        run = {"corpus": "emodb", "split": "fold 0", "utterances": size, "features": key}
        run |= {"of_folds": 1, "finished": f"2026-01-0{day}T00:00:00Z"}
        fabricated.add_run(store, **run)
        left = {"x": 1, "y": 2, "z": 1}[key]  # z: the corpus lost utterances
        assert len(results.study_runs(tmp_path)) == left


def test_of_runs_that_exclude_each_other_those_of_the_latest_study_count(tmp_path):
    store, names = RunStore(tmp_path / "runs"), {}
    for day, (words, key) in enumerate([("fear", "x"), ("angry", "x"), ("fear", "y")], start=1):
        run = {"corpus": "emodb", "split": "fold 0", "of_folds": 2, "rows": words, "features": key}
        fabricated.add_run(store, **run, finished=f"2026-01-0{day}T00:00:00Z")
        (names[words, key],) = set(results.load_runs(store)["run"]) - set(names.values())
    fabricated.add_run(store, corpus="emodb", split="fold 1", of_folds=2, rows="1", features="x")

    def counting():
        runs = results.study_runs(tmp_path)
        return set(runs.loc[runs["split"] == "fold 0", "run"]), set(runs["split"])

    assert counting()[0] == {names["angry", "x"], names["fear", "y"]}
    for words, key in names:
        results.ask_for(tmp_path, [names[words, key]])
        assert counting() == ({names[words, key]}, {"fold 0", "fold 1"})


@pytest.mark.parametrize(
    ("method", "hashed"),
    [
        ("mean(cpac/modern,mfcc+linear)", {"members": [{"versions": {"numpy": "{}"}}]}),
        ("mfcc+mine.py:classifier", {"source": "{}"}),
        ("given:theirs.csv", {"content": "{}"}),
    ],
)
def test_what_an_upgrade_or_an_edit_makes_anew_takes_the_place_of_the_old(tmp_path, method, hashed):
    store, runs = RunStore(tmp_path / "runs"), []
    for time_ in "12":
        told = json.loads(json.dumps(hashed).replace("{}", time_))
        run = {"corpus": "emodb", "split": "fold 0", "of_folds": 2, "method": method}
        run |= {"recipe": {"name": "", "normalisation": "mixed"} | told}
        fabricated.add_run(store, **run, finished=f"2026-01-0{time_}T00:00:00Z")
        runs += sorted(set(results.load_runs(store)["run"]) - set(runs))
    results.ask_for(tmp_path, runs[1:])
    assert results.study_runs(tmp_path)["run"].tolist() == runs[1:]


@pytest.mark.parametrize(
    ("method", "hashed"),
    [
        ("mine.py:network", {"source": "{}"}),
        ("mfcc+mine.py:classifier", {"recipe": {"source": "{}"}}),
        ("mean(mine.py:network/quick,x)", {"recipe": {"members": [{"source": "{}"}]}}),
        ("mean(given:x.csv,y)", {"recipe": {"members": [{"recipe": {"content": "{}"}}]}}),
    ],
)
def test_no_average_is_over_old_and_new_code(tmp_path, method, hashed):
    store, made = RunStore(tmp_path / "runs"), {}

    def add(code, fold, day):
        told = json.loads(json.dumps(hashed).replace("{}", code))
        run = {"corpus": "emodb", "split": f"fold {fold}", "of_folds": 3, "method": method}
        run["recipe"] = {"name": "", "normalisation": "global"} | told.pop("recipe", {})
        run |= {"finished": f"2026-01-0{day}T00:00:00Z", "more": told}
        made[code, fold] = fabricated.add_run(store, **run).name

    def counting():
        names = {name: key for key, name in made.items()}
        return sorted(names[run] for run in results.study_runs(tmp_path)["run"])

    for fold in range(3):
        add("old", fold, 1)
    old = counting()
    assert old == [("old", 0), ("old", 1), ("old", 2)]
    add("new", 0, 2)
    assert counting() == [("new", 0)]  # the newest
    (row,) = summary(results.study_runs(tmp_path)).to_dict("records")
    assert (row["folds"], row["of_folds"]) == (1, 3)
    results.ask_for(tmp_path, [made["old", 1]])
    assert counting() == old  # the edit was taken back
    results.ask_for(tmp_path, [made["new", 0], "of a fold that a kill left out"])
    assert counting() == [("new", 0)]


def test_no_scores_on_labels_of_before_an_edit_stand_beside_those_of_after(tmp_path):
    store = RunStore(tmp_path / "runs")

    def add(data, day, method="mfcc+linear", folds=(0, 1), **more):
        run = {"corpus": "emodb", "of_folds": 2, "method": method, "data": data, **more}
        run["finished"] = f"2026-01-0{day}T00:00:00Z"
        splits = [f"fold {fold}" for fold in folds]
        return [fabricated.add_run(store, split=s, rows=f"{data} {s}", **run).name for s in splits]

    def counting():
        return sorted(results.study_runs(tmp_path)["run"])

    before = add("", 1, method="of an older release, which kept no hash")
    first = add("labels one", 1) + add("labels one", 1, method="egemaps+rbf")
    elsewhere = add("labels two", 1, division=1) + add("labels three", 1, protocol="stratified")
    assert counting() == sorted(before + first + elsewhere)
    (divided,) = add("labels other", 2, folds=[0])  # another division of the same labels
    assert counting() == sorted([*before, *elsewhere, divided])
    results.ask_for(tmp_path, first[:2])  # the edit was taken back
    assert counting() == sorted(before + first + elsewhere)
    (edited,) = add("edited one", 3, folds=[0])  # other labels, whatever the division
    results.ask_for(tmp_path, [])
    assert counting() == sorted([*before, edited])


def test_what_rests_on_another_version_of_any_of_its_corpora_does_not_count(tmp_path):
    store, pair = RunStore(tmp_path / "runs"), {"source": "casia", "target": "emodb"}

    def add(version, day, method="mfcc+linear", **place):
        run = {"split": "all", "method": method, "data": f"{version} x"} | place
        return fabricated.add_run(store, rows=version, finished=f"2026-01-0{day}", **run).name

    same = add("c", 1, corpus="casia")
    for day, (casia, emodb) in enumerate(("ce", "cf", "dg"), start=2):
        across = add(emodb, day, protocol="transductive", corpora={"casia": casia}, **pair)
        inside = add(emodb, day, method="egemaps+rbf", corpus="emodb", protocol="stratified")
        found = set(results.study_runs(tmp_path)["run"])
        assert found == {across, inside, *([same] if casia == "c" else [])}


def test_a_fusion_of_an_edited_file_goes_with_its_member(tmp_path):
    store, run = RunStore(tmp_path / "runs"), {"corpus": "emodb", "split": "fold 0", "of_folds": 1}
    mean, mine = "mean(bands.py:f+linear,mfcc+linear)", "bands.py:f+linear"
    recipe = fabricated.recipe("", "mixed")
    for method, keys in ((mean, ["x"]), (mine, ["x"]), ("mfcc+linear", ["z"])):
        given = {"recipe": recipe} if method == mean else {}
        fabricated.add_run(store, method=method, features=keys, **run, **given)
    assert set(results.study_runs(tmp_path)["method"]) == {mean, mine, "mfcc+linear"}
    before = set(results.load_runs(store)["run"])
    fabricated.add_run(store, method=mine, features=["y"], **run)
    results.ask_for(tmp_path, set(results.load_runs(store)["run"]) - before)  # of the edited file
    assert set(results.study_runs(tmp_path)["method"]) == {mine, "mfcc+linear"}
    fabricated.add_run(store, method=mean, features=["y"], recipe=recipe, **run)
    assert set(results.study_runs(tmp_path)["method"]) == {mean, mine, "mfcc+linear"}


def test_runs_of_other_labels_count_if_nobody_asked_for_those_here(tmp_path):
    store, named = RunStore(tmp_path / "runs"), {}
    for day, classes in enumerate((["angry", "sad"], ["angry", "happy", "sad"]), start=1):
        run = {"corpus": "emodb", "split": "fold 0", "of_folds": 1, "classes": classes}
        named[day] = fabricated.add_run(store, **run, finished=f"2026-01-0{day}T00:00:00Z").name
    for asked in (named[1], named[2]):
        results.ask_for(tmp_path, [asked])
        assert results.study_runs(tmp_path)["run"].tolist() == [asked]
    results.ask_for(tmp_path, named.values())
    assert len(results.study_runs(tmp_path)) == 2


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("runs", {"name": "somebody"}),
        ("runs", ["a", "list"]),
        ("runs", {"run": "0" * 12, "spec": {"format": FORMAT}, "record": {}}),
        ("predictions", {"name": "somebody"}),
        ("predictions", {"run": "0" * 12, "emotion": ["sad"], "predicted": []}),
        ("predictions", {"run": "0" * 12, "emotion": "sad"}),
    ],
)
def test_a_line_of_an_archive_that_is_of_no_run_is_named(tmp_path, file, line):
    fabricated.add_run(RunStore(tmp_path / "runs"), split="fold 0", **KFOLD)
    runs = results.load_runs(tmp_path / "runs")
    write_archive(tmp_path)
    shutil.rmtree(tmp_path / "runs")
    archive = tmp_path / f"{file}.jsonl.bz2"
    kept = bz2.decompress(archive.read_bytes()).decode().splitlines()
    archive.write_bytes(bz2.compress("\n".join([*kept, json.dumps(line)]).encode()))
    with pytest.raises(StudyError, match=f"line 2 of {archive.name} is of no run: ") as caught:
        results.load_predictions(tmp_path / "runs", runs)
        results.load_runs(tmp_path / "runs")
    assert "\n" not in str(caught.value)


def test_archived_runs_of_another_format_are_left_out(tmp_path):
    store = RunStore(tmp_path / "runs")
    for fold in range(2):
        fabricated.add_run(store, split=f"fold {fold}", **KFOLD)
    file = write_archive(tmp_path)[0]
    shutil.rmtree(store.root)
    rows = [*map(json.loads, bz2.decompress(file.read_bytes()).decode().splitlines())]
    rows[0]["spec"]["format"] -= 1
    file.write_bytes(bz2.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    left = rows[1]["spec"]["problem"]["split"]
    assert results.load_runs(store)["split"].tolist() == [left]
