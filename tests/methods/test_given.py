"""Predictions of another tool, on the same splits."""

import numpy as np
import pandas as pd
import pytest
from toys import toy_manifest

from ctl_helpers.errors import StudyError
from ctl_helpers.methods import parse
from ctl_helpers.protocols import problems_across, problems_inside

MANIFEST = toy_manifest(("angry", "sad"), 12)
PROBLEMS = problems_inside(MANIFEST, "kfold", 2)


def predictions(manifest=MANIFEST, seed=0, **more):
    p = np.random.default_rng(seed).dirichlet([1, 1], len(manifest))
    frame = pd.DataFrame({"utterance": manifest["utterance"], "p_sad": p[:, 0], "p_angry": p[:, 1]})
    return frame.assign(**more)


def given(tmp_path, frame, problem=PROBLEMS[0]):
    frame.to_csv(tmp_path / "theirs.csv", index=False)
    method = parse(f"given:{tmp_path / 'theirs.csv'}")
    return method, method.run(problem, 0, tmp_path).probabilities["last"]


def test_rows_are_found_by_name_whatever_their_order(tmp_path):
    frame = predictions()
    for problem in PROBLEMS:
        method, found = given(tmp_path, frame.sample(frac=1, random_state=1), problem)
        expected = frame.iloc[problem.test][["p_angry", "p_sad"]]
        np.testing.assert_allclose(found, expected, atol=1e-12)
    assert method.kind == "given" and not method.seeded and method.suits(problem)
    assert method.spec()["name"] == "given:theirs.csv"


def test_what_cannot_be_checked_is_said(tmp_path, caplog):
    for frame in (predictions(), predictions(split="fold 0")):
        caplog.clear()
        (tmp_path / str(len(frame.columns))).mkdir()
        method, _ = given(tmp_path / str(len(frame.columns)), frame)
        assert all(method.suits(problem) for problem in PROBLEMS)
        said = [line for line in caplog.messages if "without a column split" in line]
        assert len(said) == ("split" not in frame)


def test_probabilities_of_other_emotions_are_named_and_left_out(tmp_path, caplog):
    frame = predictions()
    expected = frame.iloc[PROBLEMS[0].test][["p_angry", "p_sad"]]
    frame[["p_sad", "p_angry"]] *= 0.75
    _, found = given(tmp_path, frame.assign(p_calm=0.25))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert [line for line in caplog.messages if "p_calm is of no emotion" in line]


def test_a_column_that_is_there_twice_is_named(tmp_path):
    frame = predictions()
    frame = pd.concat([frame, 1 - frame["p_sad"]], axis=1)
    with pytest.raises(StudyError, match="the column 'p_sad' is there twice"):
        given(tmp_path, frame)


def test_predictions_that_are_not_the_likeliest_emotion_are_named(tmp_path, caplog):
    frame = predictions(predicted="sad")
    expected = frame.iloc[PROBLEMS[0].test][["p_angry", "p_sad"]]
    _, found = given(tmp_path, frame)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    count = (expected["p_angry"] > expected["p_sad"]).sum()
    assert f"is not the likeliest emotion of {count} rows" in caplog.text


def test_logits_are_named(tmp_path, caplog):
    said = "of logits give the softmax"
    numbers = np.random.default_rng(0).integers(1, 9, (len(MANIFEST), 2))
    given(tmp_path, predictions(p_sad=numbers[:, 0], p_angry=numbers[:, 1]))  # counts of votes
    assert said not in caplog.text
    halves = predictions()[["p_sad", "p_angry"]] / 2
    for changes in ({"p_sad": numbers[:, 0] + 0.1, "p_angry": numbers[:, 1] + 0.2}, halves):
        caplog.clear()
        given(tmp_path, predictions(**changes))
        assert said in caplog.text


def test_emotions_alone_are_certain(tmp_path):
    frame = predictions(predicted=["sad", "angry"] * 6, p_id=7)[["utterance", "predicted", "p_id"]]
    _, found = given(tmp_path, frame)
    np.testing.assert_array_equal(found.argmax(axis=1), 1 - PROBLEMS[0].test % 2)
    assert set(found.ravel()) == {0, 1}


def test_splits_and_corpora_tell_predictions_of_one_utterance_apart(tmp_path):
    frames = [predictions(split=problem.split, corpus="Toy") for problem in PROBLEMS]
    frames[1][["p_sad", "p_angry"]] = 0.5
    other = predictions(split="fold 0", corpus="other").assign(p_sad=0.9)
    both = pd.concat([*frames, other])
    _, first = given(tmp_path, both, PROBLEMS[0])
    np.testing.assert_allclose(first[:, 1], frames[0]["p_sad"].iloc[PROBLEMS[0].test])
    method, second = given(tmp_path, both, PROBLEMS[1])
    assert (second == 0.5).all() and method.suits(PROBLEMS[1])
    method, _ = given(tmp_path, both)
    elsewhere = problems_inside(toy_manifest(corpus="elsewhere"), "kfold", 2)[0]
    assert not method.suits(elsewhere)


def test_of_predictions_in_the_form_of_the_splits_those_of_the_test_part_alone_count(tmp_path):
    ways = [("kfold", 98), ("kfold", 7), ("stratified", 98)]
    problems = [p for way, seed in ways for p in problems_inside(MANIFEST, way, 2, seed)]
    tables = []
    for seed, problem in enumerate(problems):
        for part in ("train", "test"):
            where = {"protocol": problem.protocol, "division": problem.division, "part": part}
            frame = predictions(seed=seed, split=problem.split, corpus="toy", **where)
            tables.append(frame.iloc[getattr(problem, part)])
    for problem, expected in zip(problems, tables[1::2], strict=True):
        _, found = given(tmp_path, pd.concat(tables), problem)
        np.testing.assert_allclose(found, expected[["p_angry", "p_sad"]], atol=1e-12)
    for part, expected in [
        (tables[4:8], "rows of the division '98', got '7'"),
        (tables[8:], "rows of the protocol 'kfold', got 'stratified'"),
        (tables[:2:2], "rows of the part 'test', got 'train'"),
    ]:
        with pytest.raises(StudyError, match=expected):
            given(tmp_path, pd.concat(part), problems[0])


def test_rows_of_a_split_outside_its_test_part_are_named(tmp_path, caplog):
    for problem in PROBLEMS:
        tested = predictions(split=problem.split).iloc[problem.test]
        given(tmp_path, tested, problem)
        assert "outside its test part" not in caplog.text
    given(tmp_path, predictions(split="fold 0"))
    assert "outside its test part" in caplog.text


def test_across_corpora_predictions_of_the_source_do_not_count(tmp_path):
    manifests = {name: toy_manifest(corpus=name) for name in ("one", "two")}
    (problem,) = problems_across(manifests, "one", "two")
    frames = [predictions(m, seed, corpus=n) for seed, (n, m) in enumerate(manifests.items())]
    _, found = given(tmp_path, pd.concat(frames), problem)
    np.testing.assert_allclose(found[:, 1], frames[1]["p_sad"], atol=1e-12)
    with pytest.raises(StudyError, match=r"got none for 1, such as 000\.wav"):
        given(tmp_path, pd.concat([frames[0], frames[1][1:]]), problem)


def test_utterances_of_one_name_in_two_target_corpora_are_told_apart(tmp_path):
    manifests = {name: toy_manifest(corpus=name) for name in ("one", "two", "three")}
    (problem,) = problems_across(manifests, "one", "two+three")
    frames = [predictions(m, seed, corpus=n) for seed, (n, m) in enumerate(manifests.items())]
    _, found = given(tmp_path, pd.concat(frames[::-1]), problem)
    expected = pd.concat(frames[1:])["p_sad"]
    np.testing.assert_allclose(found[:, 1], expected, atol=1e-12)
    with pytest.raises(StudyError, match="got one for several of the same name"):
        given(tmp_path, frames[1].drop(columns="corpus"), problem)


def test_semicolons_tabs_and_decimal_commas_are_read(tmp_path):
    frame = predictions()
    expected = frame.iloc[PROBLEMS[0].test][["p_angry", "p_sad"]]
    for sign, decimal in ((";", ","), (";", "."), ("\t", "."), ("|", ".")):
        frame.to_csv(tmp_path / "other.csv", index=False, sep=sign, decimal=decimal)
        found = parse(f"given:{tmp_path / 'other.csv'}").run(PROBLEMS[0], 0, tmp_path)
        np.testing.assert_allclose(found.probabilities["last"], expected, atol=1e-12)


def test_the_content_names_the_run_and_the_place_does_not(tmp_path):
    specs = []
    for folder, frame in (("a", predictions()), ("b", predictions()), ("c", predictions(p_sad=1))):
        (tmp_path / folder).mkdir()
        specs.append(given(tmp_path / folder, frame)[0].spec())
    assert specs[0] == specs[1] != specs[2]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda f: f.iloc[1:],
            "a prediction for each of 6 utterances, got none for 1, such as 000.wav",
        ),
        (lambda f: f.assign(split="1"), "expected rows of the split 'fold [01]', got '1'"),
        (lambda f: pd.concat([f, f.iloc[:1]]), "got several for one"),
        (lambda f: f.drop(columns="p_angry"), "expected a column p_angry, found none"),
        (
            lambda f: f.drop(columns="p_angry").assign(predicted="sad"),
            "expected a column p_angry, found none",
        ),
        (lambda f: f.assign(p_sad=np.nan), "expected probabilities of 0 or more"),
        (lambda f: f.assign(p_sad=-0.5), "got -0.5 in the column p_sad of 000.wav"),
        (lambda f: f.rename(columns={"p_sad": "p_Sad"}), "did you mean 'p_Sad'"),
        (lambda f: f.drop(columns="utterance"), "expected the columns utterance and p_<emotion>"),
        (
            lambda f: f[["utterance"]].assign(predicted="anger"),
            "expected predictions among angry, sad, got 'anger'",
        ),
        (lambda f: f[["utterance"]], "expected the columns utterance and p_<emotion>"),
        (lambda f: f.assign(p_sad="much"), "given:.*theirs.csv: expected probabilities"),
    ],
)
def test_what_is_missing_is_named_in_one_line(tmp_path, change, expected):
    first = next(p for p in PROBLEMS if 0 in p.test)
    with pytest.raises(StudyError, match=expected) as caught:
        given(tmp_path, change(predictions()), first)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot read it (No such file or directory)"),
        (b"", "expected a CSV table, got: "),
        (b"\xff\xfe\x00", "expected a CSV table, got: "),
    ],
)
def test_a_file_that_cannot_be_read_is_named_once(tmp_path, content, expected):
    file = tmp_path / "theirs.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StudyError) as caught:
        _ = parse(f"given:{file}").suits(PROBLEMS[0])
        parse(f"given:{file}").run(PROBLEMS[0], 0, tmp_path)
    message = str(caught.value)
    assert message.startswith(f"given:{file}: {expected}")
    assert "\n" not in message and message.count("given:") == 1
