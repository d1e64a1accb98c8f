"""What runs a study asks for, and what is said of those that cannot be."""

import re

import numpy as np
import pandas as pd
import pytest
from conftest import lay_out, noise, write_wav
from toys import CLASSIFIER, NETWORK, PROTOCOL, toy_corpus, write_code

from ctl_helpers.errors import StudyError
from ctl_helpers.runs.store import RunStore
from ctl_helpers.study.plan import describe_runs, plan_study
from ctl_helpers.study.settings import Settings, read_study

SHALLOW = "mfcc+linear"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three corpora of a few tones; two share two emotions, the third one with either."""
    root = tmp_path_factory.mktemp("corpora")
    toy_corpus(root, "one", ("angry", "happy", "sad"), 18, 3)
    toy_corpus(root, "two", ("angry", "neutral", "sad"), 18, 3)
    return toy_corpus(root, "other", ("fear", "sad"), 8, 2)


@pytest.fixture
def plan(root, cache):
    def make(file=None, said=None, **settings):
        settings = {"corpora": str(root), "names": ["one", "two"], "folds": 2} | settings
        study = read_study(file, settings)
        return plan_study(study, said.append if said is not None else lambda line: None)

    return make


def asked(plan, *names):
    """Some facts of all runs: of the problem, the method or the run."""
    rows = []
    for run in plan.all_runs:
        spec = run.spec
        flat = spec["problem"] | spec["method"] | {"seed": run.seed, "label": run.method.label}
        flat["normalisation"] = spec["method"]["recipe"]["normalisation"]
        rows.append(tuple(flat[name] for name in names))
    return rows


def test_every_method_meets_the_problems_of_its_kind(plan, root):
    said = []
    methods = ["cpac/quick", SHALLOW, "mmd/quick", f"mean(cpac/quick, {SHALLOW})"]
    found = plan(said=said, methods=methods)
    assert found.problems == []
    assert said == [f"{name}: 18 utterances, 3 emotions" for name in ("one", "two")]
    inside = [row for row in asked(found, "corpus", "split", "label") if row[0]]
    assert len(inside) == 2 * 2 * 3 and ("two", "fold 1", "cpac/quick") in inside
    across = [row for row in asked(found, "source", "target", "label") if row[0]]
    assert sorted(across) == sorted(
        (*pair, label)
        for pair in (("one", "two"), ("two", "one"))
        for label in ("mfcc-statistics+linear", "mmd/quick")
    )
    table = describe_runs(found.runs)
    assert table["runs"].sum() == len(found.all_runs) == 16
    assert "one -> two" in set(table["place"])


def test_adaptation_meets_speakers_held_out_where_each_is_normalised(plan):
    kinds = ["own", "speaker", "global"]
    methods = ["cpac/quick", "mmd/quick", f"mean(mmd/quick, {SHALLOW})"]
    options = {"names": ["one"], "protocols": ["kfold", "loso"], "pairs": "none"}
    found = plan(methods=methods, normalisations=kinds, **options)
    assert found.problems == []
    rows = set(asked(found, "label", "protocol", "normalisation"))
    adapted = {row for row in rows if row[0] != "cpac/quick"}
    assert adapted == {
        (method, "loso", "speaker")
        for method in ("mmd/quick", "mean(mmd/quick, mfcc-statistics+linear)")
    }


def test_adaptation_that_no_speakers_held_out_suit_is_named(plan):
    options = {"names": ["one"], "methods": ["cpac/quick", "mmd/released"], "pairs": "none"}
    (line,) = plan(protocols=["kfold", "loso"], **options).problems
    assert line == "mmd/released: adaptation to speakers held out needs the normalisation 'speaker'"
    assert plan(protocols=["kfold"], **options).problems == []  # there it is never meant
    asked_for = plan(protocols=["loso"], normalisations=["own", "speaker"], **options)
    assert asked_for.problems == []
    nobody_named_it = plan(protocols=["loso"], **options | {"methods": list(Settings().methods)})
    assert nobody_named_it.problems == [] and nobody_named_it.runs


def test_protocols_seeds_and_divisions_multiply(plan):
    found = plan(
        names=["one"],
        methods=["cpac/quick", SHALLOW],
        protocols=["kfold", "loso"],
        seeds=[0, 1],
        divisions=[5, 6],
        pairs="none",
    )
    rows = asked(found, "kind", "protocol", "division", "split", "seed")
    assert len(rows) == len(set(rows))
    networks = [row for row in rows if row[0] == "network"]
    assert len(networks) == 2 * 2 * 2 + 3 * 2  # folds, divisions, seeds; of speakers one division
    assert {row[4] for row in rows if row[0] == "shallow"} == {0}  # they draw nothing
    words = {"names": ["one"], "methods": [SHALLOW], "protocols": ["loso"], "pairs": "none"}
    usual, other = plan(**words), plan(divisions=[5], **words)
    assert [run.name for run in usual.all_runs] == [run.name for run in other.all_runs]


def test_a_classifier_of_ones_own_that_takes_no_seed_runs_once_and_that_is_said(
    plan, tmp_path, caplog
):
    code = CLASSIFIER + "def seeded(seed):\n    return classifier()\n"
    file = write_code(tmp_path, "mine.py", code)
    methods = [f"mfcc+{file}:classifier", f"mfcc+{file}:seeded"]
    found = plan(methods=methods, names=["one"], pairs="none", seeds=(1, 2))
    assert len(found.all_runs) == 2 + 4
    (line,) = [one for one in caplog.messages if "takes no seed" in one]
    assert ":classifier: " in line
    caplog.clear()
    plan(methods=methods, names=["one"], pairs="none")
    assert not caplog.messages


def test_normalisations_are_conditions_that_come_once(plan):
    kinds = ["own", "speaker", "global"]
    found = plan(names=["one"], methods=["cpac/modern", SHALLOW], normalisations=kinds, pairs=[])
    rows = sorted(set(asked(found, "label", "normalisation")))
    names = ("cpac/modern", "mfcc-statistics+linear")
    assert rows == [(name, kind) for name in names for kind in ("global", "speaker")]
    assert len(found.runs) == 4 and len(found.all_runs) == 8


def test_changes_that_change_no_method_are_named(plan):
    asked = {"names": ["one"], "changes": [{"batch_size": 8}], "pairs": []}
    (line,) = plan(methods=[SHALLOW], **asked).problems
    assert line == "changes: none of its methods is a network, whose recipe they change"
    for method in ("cpac/modern", f"mean(cpac/modern, {SHALLOW})"):
        assert plan(methods=[SHALLOW, method], **asked).problems == []


def test_changes_are_conditions_of_their_own(plan):
    changes = [{}, {"settings": {"attention": None}}, {"epochs": 7}]
    found = plan(names=["one"], methods=["cpac/quick"], changes=changes, pairs=[])
    labels = {label for (label,) in asked(found, "label")}
    expected = {"", " (attention=None)", " (epochs=7)"}
    assert labels == {f"cpac/quick{change}" for change in expected}


def test_a_changed_normalisation_is_a_condition_of_its_own(plan):
    changes = [{}, {"normalisation": "none"}, {"normalisation": "speaker"}]
    found = plan(names=["one"], methods=["cpac/quick"], changes=changes, pairs=[])
    assert {group.normalisation for group in found.runs} == {"own", "none", "speaker"}
    for runs in found.runs.values():
        assert len({run.method.recipe.normalisation for run in runs}) == 1


def test_scorings_and_labels_are_conditions_of_their_own(plan):
    found = plan(
        protocols="none",
        pairs=["ONE:two"],
        scorings=["transductive", "inductive"],
        labels=["emotion", "arousal"],
        methods=["source-only/quick"],
        seeds=[0, 1],
    )
    rows = asked(found, "protocol", "labels", "split", "seed", "division")
    assert len(rows) == len(set(rows)) == 2 * 2 + 2 * 2 * 2
    halves = [row for row in rows if row[0] == "inductive"]
    assert all(seed == division for *_, seed, division in halves)  # each halves the target anew
    classes = {run.problem.classes for run in found.all_runs}
    assert classes == {("angry", "sad"), ("high", "low")}


def test_several_corpora_may_be_one_source(plan):
    found = plan(
        names=["one", "two", "other"],
        protocols=[],
        pairs=["one+two:other"],
        methods=[SHALLOW],
        labels=["arousal"],
    )
    assert asked(found, "source", "target") == [("one+two", "other")]
    assert set(found.all_runs[0].problem.manifest["corpus"]) == {"one", "two", "other"}


def test_only_some_splits(plan):
    found = plan(names=["one"], methods=[SHALLOW], pairs=[], only=[1], protocols=["kfold", "loso"])
    assert asked(found, "split") == [("fold 1",), ("speaker 01",)]
    assert [run.problem.of_folds for run in found.all_runs] == [2, 3]
    found = plan(names=["one"], methods=[SHALLOW], pairs=[], only=[2], protocols=["kfold", "loso"])
    assert asked(found, "split") == [("speaker 02",)]
    (line,) = found.problems
    assert "one" in line and "from 0 to 1, got 2" in line


def test_things_of_ones_own(plan, tmp_path):
    network = f"{write_code(tmp_path, 'network.py', NETWORK)}:network"
    classifier = f"mfcc+{write_code(tmp_path, 'classifier.py', CLASSIFIER)}:classifier"
    protocol = f"{write_code(tmp_path, 'protocol.py', PROTOCOL)}:halves"
    methods = [f"{network}/quick", classifier]
    found = plan(names=["one"], pairs=[], methods=methods, protocols=["kfold", protocol])
    rows = asked(found, "protocol", "split", "kind")
    assert len(rows) == 8 and (protocol, "second half", "shallow") in rows
    again = plan(names=["one"], pairs=[], methods=methods, protocols=["kfold", protocol])
    assert [run.name for run in again.all_runs] == [run.name for run in found.all_runs]


@pytest.mark.parametrize("methods", ["cpac/quick", SHALLOW, "mmd/quick"])
def test_signals_are_as_long_as_asked_for(plan, methods):
    usual, short = plan(methods=methods), plan(methods=methods, seconds=0.3)
    assert {run.name for run in usual.all_runs}.isdisjoint(run.name for run in short.all_runs)
    assert {run.problem.samples for run in short.all_runs} == {6615}
    assert not usual.manifests["one"].attrs["notes"]
    assert {note["kind"] for note in short.manifests["one"].attrs["notes"]} == {"long"}


def test_a_bad_corpus_is_named_and_the_rest_is_planned(plan, root, tmp_path):
    corpora = tmp_path / "corpora"
    toy_corpus(corpora, "good", utterances=8)
    toy_corpus(corpora, "few", utterances=4, speakers=2)
    lay_out(corpora, ["gloomy/sad/a.wav", "gloomy/sad/b.wav"])
    (corpora / "broken.csv").write_text("path,emotion\na.wav,sad\n")
    (corpora / "silent" / "sad").mkdir(parents=True)
    (corpora / "silent" / "sad" / "a.wav").write_bytes(b"")
    found = plan(corpora=str(corpora), names=[], folds=8, pairs=[], methods=[SHALLOW])
    said = "\n".join(found.problems)
    for word in ("gloomy", "few", "broken", "silent"):
        assert sum(word in line for line in found.problems) == 1, said
    assert "two emotions" in said and "8 folds and 4 utterances" in said
    assert all("\n" not in line for line in found.problems)
    assert set(asked(found, "corpus")) == {("good",)}


def test_a_corpus_of_a_short_name_is_named(plan, tmp_path):
    toy_corpus(tmp_path, "a", speakers=1)
    found = plan(corpora=str(tmp_path), names=[], methods=[SHALLOW], protocols=["loso"])
    assert found.problems[0].startswith("a: protocol 'loso': expected at least 2 speakers")


def test_predictions_of_another_corpus_are_named(plan, tmp_path):
    (tmp_path / "theirs.csv").write_text("utterance,corpus,p_sad,p_angry\n1.wav,three,0.5,0.5\n")
    theirs = f"given:{tmp_path}/theirs.csv"
    for text in (theirs, f"mean({theirs}, {SHALLOW})"):
        found = plan(methods=[text, SHALLOW], pairs="none")
        assert len(found.all_runs) == 4
        assert found.problems == [f"{text}: its column corpus names none of those here (one, two)"]


def test_a_fusion_of_what_cannot_be_had_is_named_and_the_rest_is_planned(plan):
    fusion = f"mean({SHALLOW}, gone.npz+linear)"
    found = plan(names=["one"], methods=[SHALLOW, fusion], pairs="none")
    assert found.all_runs and {run.method.name for run in found.all_runs} == {
        "mfcc-statistics+linear"
    }
    (line,) = found.problems
    assert "gone.npz" in line and fusion in line


def test_predictions_that_cannot_be_read_are_named_for_that_alone(plan, tmp_path):
    (tmp_path / "theirs.csv").write_text("utterance,P_SAD\n1.wav,1\n")
    found = plan(names="one", methods=[f"given:{tmp_path}/theirs.csv", SHALLOW], pairs="none")
    assert len(found.problems) == 1 and "expected the columns utterance" in found.problems[0]
    assert [group.label for group in found.runs] == ["mfcc-statistics+linear"]


def test_a_file_whose_rows_may_count_for_two_corpora_is_said(plan, tmp_path):
    names = [f"{number:03}.wav" for number in range(18)]
    np.savez(tmp_path / "mine.npz", values=np.eye(18), utterance=names)
    rows = pd.DataFrame({"utterance": names, "predicted": "sad"})
    rows.to_csv(tmp_path / "alike.csv", index=False)
    rows.assign(corpus="one").to_csv(tmp_path / "apart.csv", index=False)
    methods = [f"{tmp_path}/mine.npz+linear", f"given:{tmp_path}/alike.csv"]
    plan(said=(said := []), methods=[*methods, f"given:{tmp_path}/apart.csv"], pairs="none")
    warned = [line for line in said if "may count for both" in line]
    assert len(warned) == 2 and all(
        "one and two both have an utterance 000.wav" in w for w in warned
    )
    assert "longer paths" in warned[0] and "a column corpus" in warned[1]
    plan(said=(said := []), names="one", methods=methods, pairs="none")
    assert not any("may count for both" in line for line in said)


def test_a_pair_that_shares_too_little_is_named(plan):
    found = plan(names=["one", "other"], protocols=[], methods=[SHALLOW])
    assert not found.runs and len(found.problems) == 2
    assert all("shared emotions found: sad" in line for line in found.problems)
    assert plan(names=["one", "other"], protocols=[], methods=[SHALLOW], labels=["arousal"]).runs


def test_runs_that_two_blocks_ask_for_are_computed_once(plan, root, tmp_path):
    file = tmp_path / "two.yaml"
    file.write_text("blocks: {a: {names: one}, b: {names: [one, two]}}")
    study = read_study(file, {"corpora": str(root), "methods": SHALLOW, "folds": 2, "pairs": []})
    found = plan_study(study)
    assert sorted(asked(found, "corpus")) == [("one",)] * 2 + [("two",)] * 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"methods": ["nope"]}, "method 'nope': expected NETWORK/RECIPE"),
        ({"methods": ["cpac/nope"]}, "released, paper"),
        ({"methods": ["given:nowhere.csv"]}, "nowhere.csv"),
        ({"names": ["nope"]}, "corpus 'nope': expected one of those found: one, other, two"),
        ({"protocols": ["nope"]}, "kfold, stratified, loso"),
        ({"protocols": ["nowhere.py:f"]}, "nowhere.py"),
        ({"pairs": ["one"]}, "pair 'one': expected SOURCE:TARGET"),
        ({"pairs": ["one:nope"]}, "corpus 'nope'"),
        ({"pairs": ["one:ONE"]}, "expected two corpora, got one twice"),
        ({"folds": 1}, "folds: expected 2 or more, got 1"),
        ({"epochs": 0}, "whole number from 1"),
        ({"changes": [{"epoch": 3}]}, "no field 'epoch'"),
        ({"changes": [{1: 2}]}, "no field 1"),
        ({"corpora": "/no/such/folder"}, "/no/such/folder"),
    ],
)
def test_every_wrong_word_is_one_line(plan, change, expected):
    with pytest.raises(StudyError, match=re.escape(expected)) as caught:
        found = plan(**change)
        raise StudyError("; ".join(found.problems))  # what could not be told before
    assert "\n" not in str(caught.value)


def test_planning_computes_nothing(plan, tmp_path, monkeypatch):
    monkeypatch.setenv("CTL_CACHE", str(tmp_path / "cache"))
    found = plan(methods=["cpac/quick", "mmd/quick", SHALLOW])
    store = RunStore(tmp_path / "runs")
    assert found.all_runs and not any(store.has(run.name) for run in found.all_runs)
    assert not store.root.exists() and not (tmp_path / "cache" / "features").exists()


def test_a_corpus_without_speakers_or_with_foreign_columns_says_so(plan, tmp_path):
    names = ["1.wav", "2.wav", "3.wav", "4.wav"]
    lay_out(tmp_path / "clips", names)
    rows = [f"clips/{name},{('sad', 'happy')[number % 2]}" for number, name in enumerate(names)]
    (tmp_path / "survey.csv").write_text("\n".join(["clip,feeling", *rows]))
    columns = ["clip:path", "feeling:emotion"]
    said = []
    settings = {"corpora": str(tmp_path), "names": ["survey"], "columns": columns, "pairs": "none"}
    found = plan(said=said, methods=[SHALLOW], **settings)
    assert len(found.all_runs) == 2 and found.problems == []
    assert said == [
        "survey: 4 utterances, 2 emotions; no speakers are named: training and test may share "
        "voices"
    ]


def test_what_is_cropped_and_which_column_is_not_read_is_said(plan, tmp_path):
    names = ["1.wav", "2.wav", "3.wav", "4.wav"]
    lay_out(tmp_path, names)
    rows = [f"{name},{('sad', 'happy')[at % 2]},train" for at, name in enumerate(names)]
    (tmp_path / "mine.csv").write_text("\n".join(["path,emotion,split", *rows]))
    said = []
    settings = {"corpora": str(tmp_path), "names": ["mine"], "pairs": "none", "seconds": 0.1}
    plan(said=said, methods=[SHALLOW], **settings)
    assert "'split' is not read" in said[0]
    assert "; 4 longer than the signal: cropped to their middle" in said[0]


def test_a_part_of_a_known_corpus_says_of_how_many(plan, tmp_path):
    lay_out(tmp_path / "emodb", [f"wav/03a0{text}{code}.wav" for text in (1, 2) for code in "FWTN"])
    said, settings = [], {"corpora": str(tmp_path), "names": ["emodb"], "pairs": "none"}
    plan(said=said, methods=[SHALLOW], folds=2, **settings)
    assert said[0].startswith("emodb: 8 of 535 published utterances, 4 emotions")


def test_segments_that_overlap_and_speakers_that_are_not_named_are_said(plan, tmp_path):
    for seed, name in enumerate(("talk", "b")):
        loudness = np.repeat(np.random.default_rng(seed).random(60), 800)  # as of syllables
        write_wav(tmp_path / f"{name}.wav", noise(6.0, seed=seed) * loudness, 8_000)
    spans = [
        "talk.wav,0,2,sad,a",
        "talk.wav,1.8,4,happy,a",
        "talk.wav,4,6,sad,",
        "b.wav,0,3,happy,b",
    ]
    table = ["path,start,end,emotion,speaker", *spans]
    (tmp_path / "mine.csv").write_text("\n".join(table))
    said, settings = [], {"corpora": str(tmp_path), "names": ["mine"], "pairs": "none"}
    plan(said=said, methods=[SHALLOW], folds=2, **settings)
    assert "; of 1 no speaker is named: training and test may share voices" in said[0]
    assert "; 2 share sound with another: training and test may, too" in said[0]


def test_words_of_a_label_map_that_no_corpus_has_are_named(plan, tmp_path):
    for corpus in ("one", "two"):
        words = ["sad/1.wav", "sad/2.wav", "happy/3.wav", "happy/4.wav"]
        lay_out(tmp_path / corpus, [*words, f"grumpy {corpus}/5.wav"])
    said, emotions = [], {"grumpy one": "angry", "grumpy two": "angry", "hapy": "sad"}
    settings = {"corpora": str(tmp_path), "names": ["one", "two"], "pairs": "none"}
    plan(said=said, methods=[SHALLOW], emotions=emotions, **settings)
    assert said[2:] == ["warning: the label map has 'hapy', which no utterance has"]


def test_an_emotion_that_not_every_fold_can_test_is_named(plan, tmp_path):
    names = [f"{word}/{at}.wav" for word in ("sad", "happy") for at in range(4)]
    lay_out(tmp_path / "mine", [*names, "contempt/1.wav", "fear/1.wav", "fear/2.wav"])
    said, settings = [], {"corpora": str(tmp_path), "names": ["mine"], "pairs": "none"}
    plan(said=said, methods=[SHALLOW], folds=3, **settings)
    line = "; not every fold can test fear (2), contempt (1): fewer utterances than 3 folds"
    assert line in said[0]
