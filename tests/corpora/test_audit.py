import shutil

import numpy as np
import pytest
from conftest import SHARED, lay_out, needs_shared, noise, write_wav
from layouts import PUBLISHED, emovo_names, ravdess_names, savee_names

from ctl_helpers.corpora import audit
from ctl_helpers.corpora.catalogue import LAYOUTS
from ctl_helpers.errors import StudyError


def rows(result, **values):
    """Paths of the problems that have the given values."""
    found = result.problems
    for column, value in values.items():
        found = found[found[column] == value]
    return sorted(found["path"])


def test_whole_corpus(tmp_path):
    lay_out(tmp_path / "SAVEE", savee_names("AudioData/{speaker}/{text}.wav"))
    result = audit(tmp_path, "savee")
    assert result.line == "savee: 480 of 480 utterances, 4 speakers"
    assert (result.found, result.expected) == (480, 480)
    assert result.counts["found"].to_dict() == PUBLISHED["savee"]
    assert result.counts["published"].to_dict() == PUBLISHED["savee"]
    assert result.speakers.loc["DC"].to_dict() == {"sex": "m", "found": 120, "published": 120}
    assert result.problems.empty
    assert result.manifest.attrs["folder"] == str(tmp_path / "SAVEE")


def test_missing_utterances_are_named(tmp_path):
    names = ravdess_names()
    gone = [name for name in names if "Actor_07" in name] + [names[0]]
    lay_out(tmp_path / "RAVDESS", [name for name in names if name not in gone])
    result = audit(tmp_path, "ravdess")
    assert result.line == "ravdess: 1379 of 1440 utterances, 23 speakers; 61 missing"
    assert rows(result, kind="missing") == sorted(gone)
    assert result.speakers.loc["07", ["sex", "found", "published"]].tolist() == ["m", 0, 60]


@pytest.mark.parametrize("name", [e.name for e in LAYOUTS.values() if e.published])
def test_whichever_part_is_there_the_rest_is_missing(tmp_path, name):
    published = list(LAYOUTS[name].published.values())
    there = np.random.default_rng(0).choice(published, 12, replace=False)
    lay_out(tmp_path / name, there.tolist())
    result = audit(tmp_path, name)
    assert result.found == 12
    assert rows(result, kind="missing") == sorted(set(published) - set(there))


def test_a_file_that_the_table_of_a_corpus_does_not_list_is_there(tmp_path):
    first, second, third, *_ = LAYOUTS["ravdess"].published.values()
    folder = lay_out(tmp_path / "ravdess", [first, second])
    (folder / "metadata.csv").write_text(f"path,emotion,speaker\n{first},neutral,01\n")
    missing = audit(tmp_path, "ravdess").problems.set_index("path")["reason"]
    assert missing[second] == "its table has no row for it" and missing[third] == "no such file"


def test_missing_utterances_are_counted_where_names_are_not_known(tmp_path):
    lay_out(tmp_path / "EMOVO", emovo_names()[2:])
    result = audit(tmp_path, "emovo")
    assert result.line == "emovo: 586 of 588 utterances, 6 speakers; 2 missing"
    missing = result.problems["reason"].tolist()
    assert missing == ["speaker f1: 96 of 98 utterances"]


def test_every_kind_of_problem(tmp_path):
    folder = lay_out(tmp_path / "RAVDESS", ravdess_names())
    one, two = (f"Actor_01/03-01-03-01-0{n}-01-01.wav" for n in (1, 2))
    shutil.copy(folder / one, folder / "Actor_05" / one.split("/")[1])
    shutil.copy(folder / two, folder / two.split("/")[1])
    lone = "03-01-04-01-01-01-02.wav"
    (folder / "Actor_02" / lone).rename(folder / "Actor_06" / lone)
    others = {
        kind: f"Actor_03/03-01-0{code}-01-01-01-03.wav"
        for code, kind in enumerate(
            ("unreadable", "empty", "silent", "nan", "short", "clipped", "stereo", "long"), start=1
        )
    }
    (folder / others["unreadable"]).write_text("no recording")
    (folder / others["empty"]).write_bytes(b"")
    write_wav(folder / others["silent"], np.zeros(4000))
    write_wav(folder / others["nan"], np.full(4000, np.nan), subtype="FLOAT")
    write_wav(folder / others["short"], noise(0.05))
    write_wav(folder / others["clipped"], np.clip(10 * noise(seed=1), -1, 1))
    write_wav(folder / others["stereo"], noise(0.3, channels=2, seed=2))
    write_wav(folder / others["long"], noise(6, seed=3))
    same = "Actor_04/03-01-02-01-01-01-04.wav"
    shutil.copy(folder / one, folder / same)
    song = "Actor_01/03-02-03-01-01-01-01.wav"
    write_wav(folder / song)

    result = audit(tmp_path, "ravdess")
    gone = {
        kind: rows(result, kind=kind, left_out=True)
        for kind in set(result.problems.loc[result.problems["left_out"], "kind"])
    }
    left_out = ("unreadable", "empty", "silent", "nan", "short")
    assert gone == {kind: [others[kind]] for kind in left_out} | {
        "misplaced": [f"Actor_05/{one.split('/')[1]}"],
        "duplicate": [two],  # the copy nearest to the corpus's folder is kept
        "extra": [song],
        "contradiction": [one, same],  # one of the two names is wrong
    }
    noted = {
        kind: rows(result, kind=kind, left_out=False)
        for kind in set(result.problems.loc[~result.problems["left_out"], "kind"])
    }
    assert noted == {
        "misplaced": [f"Actor_06/{lone}"],
        "clipped": [others["clipped"]],
        "stereo": [others["stereo"]],
        "long": [others["long"]],
    }
    assert result.line == (
        "ravdess: 1433 of 1440 utterances, 24 speakers; 10 left out (2 contradiction, "
        "1 duplicate, 1 empty, 1 extra, 1 misplaced, 1 nan, 1 short, 1 silent, 1 unreadable); "
        "4 noted (1 clipped, 1 long, 1 misplaced, 1 stereo)"
    )


def test_own_corpus_has_nothing_to_be_compared_with(tmp_path):
    lay_out(tmp_path / "mine", ["angry/1.wav", "sad/2.wav", "sad/3.wav"])
    result = audit(tmp_path, "mine")
    assert result.line == "mine: 3 utterances"
    assert result.expected is None
    assert result.counts["found"].to_dict() == {"angry": 1, "sad": 2}
    assert result.counts["published"].isna().all()


def test_unknown_words_and_idle_words_of_the_label_map_are_named(tmp_path):
    names = [f"{n:02}.wav" for n in range(13)]
    lay_out(tmp_path, names)
    words = ["sad", "it's plain", *(f"word{n}" for n in range(11))]
    rows_of = [f"{name},{word}\n" for name, word in zip(names, words, strict=True)]
    (tmp_path / "mine.csv").write_text("path,emotion\n" + "".join(rows_of))
    listed = "it's plain, word0, word1, word2, word3, word4, word5, word6, word7, word8, ..."
    hint = f"unknown: {listed} (to use them: --emotions 'it'\"'\"'s plain:neutral')"
    assert audit(tmp_path, "mine").line == f"mine: 1 utterances; 12 left out (12 extra); {hint}"
    labels = {word: "neutral" for word in words[1:]} | {"cros": "angry"}
    result = audit(tmp_path, "mine", labels=labels)
    assert result.line == "mine: 13 utterances; 1 noted (1 label)"
    assert "'cros'" in result.problems["reason"][0]
    (tmp_path / "mine.csv").write_text("path,emotion\n00.wav,plain\n01.wav,plain\n")
    with pytest.raises(StudyError, match=r"unknown: plain \(to use them: --emotions plain:neutral"):
        audit(tmp_path, "mine")
    (tmp_path / "ravdess.csv").write_text("path,emotion\n00.wav,5\n01.wav,3\n")
    with pytest.raises(StudyError, match=r"unknown: 5, 3 \(to use them: --emotions 5:neutral\)$"):
        audit(tmp_path, "ravdess")


@pytest.mark.parametrize(
    ("names", "labels", "idle"),
    [
        (["grr/1.wav", "Wut/2.wav"], {"GRR": "angry", "anger": "a", "angry": "b"}, ["anger"]),
        (["IEMOCAP/exc/Ses01F_impro01_F000.wav"], {"exc": "happy", "fru": "sad"}, ["fru"]),
    ],
)
def test_idle_words_of_the_label_map_by_folders(tmp_path, names, labels, idle):
    lay_out(tmp_path / "mine", names)
    corpus = "iemocap" if "IEMOCAP" in names[0] else "mine"
    noted = audit(tmp_path, corpus, labels=labels).problems["reason"].tolist()
    assert [reason.split("'")[1] for reason in noted] == idle


def test_speakers_that_are_not_named_are_called_so(tmp_path):
    lay_out(tmp_path / "mine", ["angry/1.wav", "sad/2.wav"])
    speakers = audit(tmp_path, "mine").speakers
    assert speakers["found"].to_dict() == {"(not named)": 2}


def test_miniature_corpus_is_not_said_to_lack_utterances(miniature):
    result = audit(miniature, "emodb")
    assert result.line == "emodb: 105 utterances, 5 speakers"
    assert result.problems.empty


def test_csv_manifest_named_after_a_corpus(tmp_path):
    lay_out(tmp_path, ["x/1.wav", "x/2.wav"])
    (tmp_path / "savee.csv").write_text("path,emotion,speaker\nx/1.wav,sad,DC\nx/2.wav,angry,JE\n")
    result = audit(tmp_path, "savee")
    assert result.line == "savee: 2 of 480 utterances, 2 speakers; 478 missing"


def test_audit_of_what_is_not_there(tmp_path):
    with pytest.raises(StudyError, match="no such folder"):
        audit(tmp_path / "nowhere", "emodb")


@needs_shared
@pytest.mark.parametrize(("name", "total"), [("emodb", 535), ("casia", 1200)])
def test_real_corpus(name, total):
    result = audit(SHARED / "corpora", name)
    assert result.line.startswith(f"{name}: {total} of {total} utterances")
    assert result.counts["found"].to_dict() == PUBLISHED[name]
    assert (result.counts["found"] == result.counts["published"]).all()
    assert (result.speakers["found"] == result.speakers["published"]).all()
    assert not result.problems["left_out"].any()
