import os
import re
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import fabricated
import mistune
import numpy as np
import pandas as pd
import pytest

from ctl_helpers import scores
from ctl_helpers.errors import StudyError
from ctl_helpers.report import cells, tables
from ctl_helpers.results import runs as results
from ctl_helpers.results.naming import DAGGER, part_of
from ctl_helpers.results.statistics import calibration
from ctl_helpers.results.summaries import summary
from ctl_helpers.runs.store import RunStore


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return fabricated.fill(tmp_path_factory.mktemp("store"), folds=4, seeds=(0, 1))


@pytest.fixture(scope="module")
def runs(store):
    return results.load_runs(store)


@pytest.fixture(scope="module")
def predictions(store, runs):
    return results.load_predictions(store, runs)


def write(frame, folder, name, *words):
    return cells.write_table(frame, cells.as_table(frame, *words), folder, name)


def test_ours_stand_after_the_published_of_the_same_corpus(runs, predictions):
    table = tables.ours_beside_published(runs, predictions)
    assert list(table["corpus"].unique()) == ["", "casia", "emodb"]
    kfold = table[(table["corpus"] == "emodb") & (table["protocol"] == "kfold")]
    assert kfold["reported_by"].tolist() == ["Ye et al. 2023"] * 3 + ["this study"] * 3
    assert kfold.iloc[1]["uar"] == 86.92
    mine = runs[(runs["corpus"] == "emodb") & (runs["recipe"] == "modern")]
    mine = mine[mine["protocol"] == "kfold"]
    ours = kfold[kfold["recipe"] == "modern"].iloc[0]
    assert ours["uar"] == pytest.approx(100 * mine["uar"].mean())
    assert ours["uar_low"] < ours["uar"] < ours["uar_high"]
    assert (ours["utterances"], ours["folds"], ours["seeds"]) == (4 * 54, 4, 2)


def test_at_a_glance_has_a_row_per_method_and_a_column_per_corpus_and_condition(runs):
    table = tables.ours_beside_published(runs)
    wide = tables.at_a_glance(table[table["corpus"] != ""]).set_index("method")
    assert wide.pop("reported_by")[["CPAC modern", "CPAC (Ye et al. 2023)"]].tolist() == [
        "this study",
        "Ye et al. 2023",
    ]
    conditions = ["shuffled", "held out"]
    assert list(wide) == [f"{c}, {how}" for c in ("CASIA", "EmoDB") for how in conditions]
    mine = runs[(runs["corpus"] == "emodb") & (runs["recipe"] == "modern")]
    means = 100 * mine.groupby("protocol")["uar"].mean()
    assert wide.loc["CPAC modern", "EmoDB, shuffled"] == f"{means['kfold']:.1f} (4 of 10)"
    assert wide.loc["CPAC modern", "EmoDB, held out"] == f"{means['loso']:.1f}"
    assert wide.loc["CPAC (Ye et al. 2023)"].tolist() == ["88.3", "", "86.9", ""]
    across = tables.at_a_glance(table[table["source"] != ""])
    pairs = ["CASIA → EmoDB", "EmoDB → CASIA"]
    assert list(across)[2:] == [*pairs, "mean of 2 pairs"] and len(across) == 3
    scores = runs[runs["source"] != ""].groupby(["method", "source"])["uar"].mean().unstack()
    means = (100 * scores.mean(axis=1)).map("{:.1f}".format)
    assert sorted(across["mean of 2 pairs"]) == sorted(means)


def test_speakers_and_sentences_held_out_have_a_column_of_their_own(tmp_path):
    store = RunStore(tmp_path)
    for protocol, kind in product(("loso", "strangers"), ("global", "speaker")):
        for split in range(4):
            run = {"corpus": "emodb", "protocol": protocol, "split": f"part {split}"}
            recipe = fabricated.recipe("modern", kind)
            fabricated.add_run(store, **run, recipe=recipe, of_folds=4)
    runs = results.load_runs(tmp_path)
    table = tables.ours_beside_published(runs)
    wide = tables.at_a_glance(table[table["reported_by"] == "this study"])
    both = ("held out", "speakers and sentences held out")
    columns = [f"EmoDB, {name}{own}" for name in both for own in ("", ", per speaker")]
    assert sorted(list(wide)[2:]) == sorted(columns) and len(wide) == 1
    pooled = summary(runs, results.load_predictions(tmp_path, runs)).set_index("protocol")
    assert runs["held_out"].all() and (pooled.loc["strangers", "pooled_uar_low"] > 0).all()


def test_what_ran_in_part_is_labelled_so_and_not_compared_with_other_folds(tmp_path):
    store = RunStore(tmp_path)
    for protocol, ran in (("kfold", 2), ("loso", 4)):
        for split in range(ran):
            run = {"corpus": "emodb", "protocol": protocol, "split": f"part {split}"}
            recipe = fabricated.recipe("modern", "global")
            fabricated.add_run(store, **run, recipe=recipe, of_folds=4)
    table = tables.ours_beside_published(results.load_runs(tmp_path))
    labels = tables.first_look(table).query("reported_by == 'this study'")["label"].tolist()
    assert sorted(labels) == ["CPAC modern", "CPAC modern, 2 of 4 folds"]
    assert tables.side_by_side(table).empty


def test_the_best_honest_score_of_each_place_is_bold(runs, tmp_path):
    table = tables.ours_beside_published(runs)
    shown = cells.as_text(table)
    bold = cells.best_of(table, shown)["UAR %"]
    for _, place in table.groupby(["corpus", "source", "target", "protocol"]):
        honest = place[~place["optimistic"].astype(bool)]
        assert bold[place.index].sum() == 1 and bold[honest["uar"].idxmax()]
    _, markdown, latex = write(table, tmp_path, "t")
    assert markdown.read_text().count("| **") == 2 * bold.sum()
    assert latex.read_text().count(r"\bfseries") == 2 * bold.sum()


def test_the_best_of_ours_is_bold_where_a_published_score_is_higher(runs):
    table = tables.ours_beside_published(runs).query("corpus != ''")
    table.loc[table["method"] == "TIM-Net", "uar"] = 99.9
    wide = tables.at_a_glance(table)
    shown = cells.as_text(wide)
    assert "reported by" not in shown and next(iter(shown)) == "method"
    ours = ~shown["method"].str.contains("et al.")
    scores = shown["EmoDB, shuffled"].str.extract(r"^([0-9.]+)")[0].astype(float)
    assert scores[~ours].max() > scores[ours].max()
    bold = cells.best_of(wide, shown)["EmoDB, shuffled"]
    assert bold[bold].index.tolist() == [scores[ours].idxmax()]


def test_sets_of_classes_do_not_share_a_column(tmp_path):
    store = RunStore(tmp_path)
    for classes, accuracy in ((["angry", "sad"], 0.9), (fabricated.EMOTIONS["emodb"], 0.5)):
        run = {"corpus": "emodb", "split": "fold 0", "of_folds": 1, "classes": classes}
        fabricated.add_run(store, method="a+linear", accuracy=accuracy, **run)
        run |= {"protocol": "loso", "split": "speaker 03"}
        if len(classes) == 2:
            fabricated.add_run(store, method="a+linear", accuracy=accuracy, **run)
    table = tables.ours_beside_published(results.load_runs(store))
    ours = table[table["reported_by"] == "this study"]
    columns = [column for column in tables.at_a_glance(ours) if column.startswith("EmoDB")]
    assert columns == [
        "EmoDB, shuffled, 2 classes",
        "EmoDB, shuffled, 7 classes",
        "EmoDB, held out, 2 classes",
    ]
    assert tables.first_look(ours)["classes"].nunique() == 1


def test_scores_that_need_speech_of_the_test_voices_have_columns_of_their_own(tmp_path):
    store = RunStore(tmp_path)
    for kind in ("global", "speaker", "corpus", "speaker-5s"):
        run = {"corpus": "emodb", "protocol": "loso", "split": "speaker 03", "of_folds": 1}
        recipe = {"name": "", "normalisation": kind}
        fabricated.add_run(store, method="a+linear", recipe=recipe, **run)
    table = tables.ours_beside_published(results.load_runs(store))
    wide = tables.at_a_glance(table[table["reported_by"] == "this study"])
    columns = [column for column in wide if column.startswith("EmoDB")]
    held = "EmoDB, held out"
    assert columns == [held, f"{held}, per corpus", f"{held}, per speaker"]
    assert len(wide) == 1


def test_the_best_with_and_without_speech_of_the_test_voices_is_bold(tmp_path):
    store = RunStore(tmp_path)
    for kind, accuracies in (("global", (0.1, 0.3)), ("speaker", (0.5, 0.9))):
        for method, accuracy in zip(("a+linear", "b+linear"), accuracies, strict=True):
            run = {"corpus": "emodb", "split": "fold 0", "of_folds": 1}
            recipe = {"name": "", "normalisation": kind}
            fabricated.add_run(store, method=method, accuracy=accuracy, recipe=recipe, **run)
    table = tables.ours_beside_published(results.load_runs(store))
    table = table[table["reported_by"] == "this study"]
    best = cells.as_table(table).bold["UAR %"].to_numpy()
    assert table["normalisation"][best].tolist() == ["global", "speaker"]
    wide = cells.as_table(tables.at_a_glance(table)).bold
    assert wide[["EmoDB, shuffled", "EmoDB, shuffled, per speaker"]].sum().tolist() == [1, 1]


def test_a_part_of_the_folds_is_bold_where_nothing_is_whole_alone(tmp_path):
    store = RunStore(tmp_path)
    for method, accuracy, count in (("a+linear", 0.3, 3), ("b+linear", 0.9, 2), ("c+linear", 0, 2)):
        for fold in range(count):
            run = {"corpus": "emodb", "split": f"fold {fold}", "folds": 3, "of_folds": 3}
            fabricated.add_run(store, method=method, accuracy=accuracy, **run)
    runs = results.load_runs(store)
    for left, best in ((runs, "a"), (runs[runs["method"] != "a+linear"], "b")):
        table = tables.ours_beside_published(left).query("reported_by == 'this study'")
        for frame in (table, tables.at_a_glance(table)):
            shown = cells.as_text(frame)
            bold = cells.best_of(frame, shown).drop(columns="method").any(axis=1)
            (name,) = shown["method"][bold]
            assert name[0] == best


def test_optimistic_rows_have_a_dagger_and_a_note(runs, tmp_path):
    table = tables.ours_beside_published(runs)
    shown = cells.as_text(table)
    dagger = shown["method"].str.endswith(DAGGER)
    assert (dagger == table["optimistic"]).all() and dagger.sum() == 2
    csv, markdown, latex = write(table, tmp_path, "single", "Single corpus", "Ours.")
    assert cells.DAGGER_NOTE in markdown.read_text() and "Ours." in markdown.read_text()
    assert "Ye et al. 2023: README of github.com" in markdown.read_text()
    assert r"\textdagger{} optimistic" in latex.read_text()
    assert pd.read_csv(csv)["optimistic"].sum() == 2


def test_csv_keeps_numbers_and_writing_twice_gives_the_same_bytes(runs, tmp_path):
    table = tables.ours_beside_published(runs)
    first = write(table, tmp_path / "a", "t")
    second = write(table, tmp_path / "b", "t")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert np.allclose(pd.read_csv(first[0])["uar"], table["uar"], atol=1e-4)


def test_tables_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StudyError, match=r"cannot write .*t\.csv"):
        write(pd.DataFrame({"a": [1]}), tmp_path / "file", "t")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_leaves_what_was_there(tmp_path):
    paths = write(pd.DataFrame({"a": [1]}), tmp_path, "t")
    first = [path.read_bytes() for path in paths]
    (tmp_path / f".t.csv.{os.getpid()}").symlink_to("/dev/full")
    with pytest.raises(StudyError, match="No space left on device"):
        write(pd.DataFrame({"a": [2]}), tmp_path, "t")
    assert [path.read_bytes() for path in paths] == first
    assert len(list(tmp_path.iterdir())) == 3


def test_per_speaker_and_per_emotion_by_counting(runs, predictions):
    mine = fabricated.one_condition(runs, predictions, corpus="emodb", protocol="loso")
    speakers = tables.scores_by(mine, "speaker").set_index("speaker")
    of_03 = mine[mine["speaker"] == "03"]
    assert speakers.loc["03", "uar"] == pytest.approx(
        100 * scores.uar(of_03["emotion"], of_03["predicted"])
    )
    assert speakers["utterances"].sum() == len(mine) and len(speakers) == 10
    emotions = tables.scores_by(mine).set_index("emotion")
    angry, called = mine["emotion"] == "angry", mine["predicted"] == "angry"
    hits = 100 * (angry & called).sum()
    assert emotions.loc["angry", "recall"] == pytest.approx(hits / angry.sum())
    assert emotions.loc["angry", "precision"] == pytest.approx(hits / called.sum())
    assert emotions["recall"].mean() == pytest.approx(
        100 * scores.uar(mine["emotion"], mine["predicted"])
    )


def test_seeds_do_not_narrow_an_interval(runs, predictions):
    mine = fabricated.one_condition(
        runs, predictions, corpus="emodb", recipe="modern", protocol="kfold"
    )
    one = mine[mine["seed"] == 0]
    copies = pd.concat([one, one.assign(seed=1)])
    pd.testing.assert_frame_equal(tables.scores_by(one), tables.scores_by(copies))
    pd.testing.assert_frame_equal(
        tables.scores_by(one, "speaker").drop(columns="utterances"),
        tables.scores_by(copies, "speaker").drop(columns="utterances"),
    )


def test_utterances_tested_again_do_not_narrow_an_interval(runs, predictions):
    mine = fabricated.one_condition(
        runs, predictions, corpus="emodb", recipe="modern", protocol="kfold"
    )
    one = mine[mine["seed"] == 0]
    again = pd.concat([one, one])  # by another division, say
    for by in ("emotion", "speaker"):
        pd.testing.assert_frame_equal(tables.scores_by(one, by), tables.scores_by(again, by))


def test_a_condition_stands_beside_the_recipe_s_own_and_is_named(tmp_path):
    store = RunStore(tmp_path)
    for kind, accuracy in (("global", 0.5), ("speaker", 0.9)):
        for speaker in ("03", "08", "09"):
            run = {"corpus": "emodb", "protocol": "loso", "split": f"speaker {speaker}"}
            recipe = fabricated.recipe("modern", kind)
            fabricated.add_run(store, accuracy=accuracy, recipe=recipe, **run)
    runs = results.load_runs(store)
    table = tables.ours_beside_published(runs, results.load_predictions(store, runs))
    ours = table.set_index("normalisation")
    for kind, part in runs.groupby("normalisation"):
        assert ours.loc[kind, "uar"] == pytest.approx(100 * part["uar"].mean())
    assert cells.as_text(table)["method"].tolist() == ["CPAC modern", "CPAC modern, per speaker"]
    assert not {"recipe", "normalisation"} & set(cells.as_text(table).columns)
    wide = tables.at_a_glance(table)
    assert list(wide)[2:] == ["EmoDB, held out", "EmoDB, held out, per speaker"]
    means = [
        f"{100 * runs['uar'][runs['normalisation'] == n].mean():.1f}" for n in ("global", "speaker")
    ]
    assert wide.to_numpy().tolist() == [
        ["CPAC modern", "this study", *(f"{m} (162 of 540 utterances)" for m in means)]
    ]


def fill_alike(store, *conditions, **more):
    """Put runs of one method under several protocols or selections into a store."""
    for protocol, selection, accuracy in conditions:
        for fold in range(3):
            run = {"corpus": "emodb", "split": f"fold {fold}", "folds": 3, "utterances": 30}
            run |= {"protocol": protocol, "selection": selection, "accuracy": accuracy}
            fabricated.add_run(store, recipe=fabricated.recipe("modern"), **run | more)


def test_no_table_takes_the_best_of_what_differs(tmp_path):
    store, kfold = RunStore(tmp_path), ("kfold", "last", 0.5)
    several = [("kfold", "validation", 0.8), ("stratified", "last", 1.5), ("loso", "last", 0.3)]
    fill_alike(store, kfold, *several, ("grouped", "last", 0.6))
    table = tables.ours_beside_published(results.load_runs(store))
    table = table[table["reported_by"] == "this study"]
    scores = {(r["protocol"], r["selection"]): r["uar"] for r in table.to_dict("records")}
    wide = tables.at_a_glance(table).set_index("method").drop(columns="reported_by")
    text = {key: f"{score:.1f}" for key, score in scores.items()}
    assert list(wide.index) == ["CPAC modern", "CPAC modern, epoch by validation"]
    assert wide.loc["CPAC modern"].to_dict() == {
        "EmoDB, shuffled": text["kfold", "last"],
        "EmoDB, shuffled, stratified": text["stratified", "last"],
        "EmoDB, held out": text["loso", "last"],
        "EmoDB, groups held out": text["grouped", "last"],
    }
    assert wide.iloc[1].to_list() == [text["kfold", "validation"], "", "", ""]
    first = tables.first_look(table)
    found = {(r["label"], r["condition"]): r["uar"] for r in first.to_dict("records")}
    assert found == {
        ("CPAC modern", "shuffled"): scores["kfold", "last"],
        ("CPAC modern, epoch by validation", "shuffled"): scores["kfold", "validation"],
        ("CPAC modern, stratified k-fold", "shuffled"): scores["stratified", "last"],
        ("CPAC modern", "held out"): scores["loso", "last"],
        ("CPAC modern, speaker-grouped k-fold", "held out"): scores["grouped", "last"],
    }


def test_a_first_look_has_what_tests_a_published_number_however_weak(tmp_path):
    store = RunStore(tmp_path)
    for fold in range(3):
        run = {"corpus": "emodb", "split": f"fold {fold}", "folds": 3}
        fabricated.add_run(store, accuracy=0.2, recipe=fabricated.recipe("released"), **run)
        for number in range(9):
            other = {"method": "timnet", "recipe": fabricated.recipe(f"other {number}")}
            fabricated.add_run(store, accuracy=0.9, **other, **run)
    table = tables.ours_beside_published(results.load_runs(store))
    for most in (2, 6):
        first = tables.first_look(table, most)
        assert len(first) == most and "CPAC released" in first["label"].tolist()


def test_a_first_look_has_the_best_fusion_and_the_best_that_is_none(tmp_path):
    store = RunStore(tmp_path)
    methods = {"mean(a, b)": 0.9, "mean(a, c)": 0.8, "egemaps+rbf": 0.7, "egemaps+linear": 0.6}
    for method, accuracy in methods.items():
        run = {"corpus": "emodb", "method": method, "utterances": 300, "accuracy": accuracy}
        fabricated.add_run(store, split="fold 0", protocol="kfold", **run)
    table = tables.ours_beside_published(results.load_runs(store))
    table = table[table["reported_by"] == "this study"]
    assert len(table) == 4
    assert tables.first_look(table, most=2)["uar"].tolist() == sorted(table["uar"])[::-2]


def test_a_first_look_is_at_one_set_of_classes_of_a_corpus(tmp_path):
    store = RunStore(tmp_path)
    fill_alike(store, ("kfold", "last", 0.4))
    fill_alike(store, ("kfold", "last", 1.5), utterances=12, classes=["angry", "sad"])
    table = tables.ours_beside_published(results.load_runs(store))
    larger = table.loc[table["utterances"].idxmax(), "uar"]
    assert larger < table["uar"].max()
    (wide,) = tables.at_a_glance(table).to_dict("records")
    assert wide["EmoDB, shuffled, 7 classes"] == f"{larger:.1f}"
    assert tables.first_look(table)["uar"].tolist() == [larger]


def test_what_ran_in_part_says_so_and_has_no_interval(tmp_path):
    store, recipe = RunStore(tmp_path), fabricated.recipe("quick")
    fabricated.add_run(store, split="fold 0", corpus="emodb", recipe=recipe, folds=4)
    fabricated.add_run(store, split="fold 1", corpus="emodb", recipe=recipe, folds=4)
    run = {"corpus": "emodb", "protocol": "loso", "recipe": recipe}
    fabricated.add_run(store, split="speaker 03", **run)
    table = tables.ours_beside_published(results.load_runs(store))
    table = table[table["reported_by"] == "this study"]
    shown = cells.as_text(table)
    assert shown["folds"].tolist() == ["2 of 4", "1"]
    assert shown["utterances"].tolist() == ["108 of 216", "54 of 540"]
    assert shown["UAR %"].str.fullmatch(r"\d+\.\d \[–\]").all()
    parts = [part_of(row) for row in table.to_dict("records")]
    assert parts == ["2 of 4 folds", "54 of 540 utterances"]
    (wide,) = tables.at_a_glance(table).to_dict("records")
    assert wide["EmoDB, shuffled"].endswith(" (2 of 4)")
    assert wide["EmoDB, held out"].endswith(" (54 of 540 utterances)")


def test_a_score_is_the_same_wherever_it_stands(tmp_path):
    store = RunStore(tmp_path)
    for fold in range(2):
        for corpus in ("emodb", "casia")[fold:]:
            run = {"corpus": corpus, "folds": 3, "utterances": 30 + 30 * fold}
            fabricated.add_run(store, split=f"fold {fold}", **run)
    runs = results.load_runs(store)
    table = tables.ours_beside_published(runs, results.load_predictions(store, runs))
    casia, emodb = table.to_dict("records")
    assert casia["pooled_uar"] != pytest.approx(casia["uar"], abs=0.1)
    assert tables.interval_of(casia)[0] == casia["uar"]
    assert np.isnan(tables.interval_of(casia)[1:]).all()
    whole = tables.interval_of(emodb)  # one fold: the pooled score is the fold's
    assert whole[0] == emodb["uar"] and whole[1:] == (
        emodb["pooled_uar_low"],
        emodb["pooled_uar_high"],
    )


HOSTILE = ["<script>alert(1)</script>", "[x](javascript:alert(1))", "a|b_c*d", r"\input{x}&$%#~^"]


def test_hostile_names_are_escaped_in_every_form(tmp_path):
    frame = pd.DataFrame({"speaker": HOSTILE, "a_b|<i>": 1.0})
    _, markdown, latex = write(frame, tmp_path, "t", HOSTILE[0], HOSTILE[1])
    page = mistune.create_markdown(escape=False, plugins=["table"])(markdown.read_text())
    found = parse(page)
    assert found.tags <= {"p", "strong", "em", "table", "thead", "tbody", "tr", "th", "td"}
    assert found.cells == [c for name in HOSTILE for c in (name, "1.0")]
    latex = latex.read_text()
    assert r"\textbackslash{}input\{x\}\&\$\%\#\textasciitilde{}\textasciicircum{}" in latex
    assert r"a b\textbar{}\textless{}i\textgreater{}" in latex
    assert latex.count(r"\begin{") == latex.count(r"\end{") == 2
    assert [latex.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    *_, latex = write(frame, tmp_path, r"t-a}\input{x}%~ü-emotions")
    (label,) = re.findall(r"\\label\{(.*)\}", latex.read_text())
    assert re.fullmatch(r"tab:t-a[\w.-]+-emotions", label, re.ASCII)
    found = parse(cells.as_table(frame, HOSTILE[0], HOSTILE[1]).html())
    assert found.tags <= {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "p"}
    assert found.cells == [c for name in HOSTILE for c in (name, "1.0")]


class Parsed(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.cells, self.inside = set(), [], False

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        assert not {name for name, _ in attributes} - {"class", "style", "scope"}
        self.inside = tag == "td"
        self.cells += [""] * self.inside

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.cells[-1] += data


def parse(page):
    parser = Parsed()
    parser.feed(page)
    return parser


def test_recalls_and_confidences_by_counting(tmp_path):
    store = fabricated.fill_conditions(tmp_path)
    fabricated.add_run(store, method="mean(a, b)", corpus="emodb", split="fold 0")
    runs = results.load_runs(store)
    predictions = results.load_predictions(store, runs)
    wide = tables.recalls(runs, predictions)
    assert len(wide) == 5 and list(wide.columns[-7:]) == fabricated.EMOTIONS["emodb"]
    mine = fabricated.one_condition(
        runs, predictions, method="egemaps+rbf", normalisation="speaker"
    )
    sad = mine[mine["emotion"] == "sad"]
    row = wide[(wide["method"] == "egemaps+rbf") & (wide["normalisation"] == "speaker")]
    assert row["sad"].item() == pytest.approx(100 * (sad["predicted"] == "sad").mean())
    unnamed = tables.recalls(runs, predictions.assign(speaker=""), "speaker")
    assert unnamed.columns[-1] == "(not named)"
    sure = tables.confidences(runs, predictions)
    assert set(sure["method"]) == {"cpac"}  # those of the others are not meant as probabilities
    mine = fabricated.one_condition(runs, predictions, method="cpac", normalisation="speaker")
    row = sure[sure["normalisation"] == "speaker"]
    assert row["ece"].item() == pytest.approx(100 * calibration(mine)[0])
