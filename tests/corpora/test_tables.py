"""Tables of somebody's own: columns, times, speakers, sentences and words."""

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import lay_out, noise, write_wav
from layouts import counts

from ctl_helpers.corpora import find_corpora, load_manifest, read_audio
from ctl_helpers.corpora.signals import inspect
from ctl_helpers.errors import StudyError


@pytest.mark.parametrize("table", ["mine.csv", "mine/manifest.csv"])
def test_csv_manifest(tmp_path, table):
    lay_out((tmp_path / table).parent, ["a/1.wav", "a/2.flac", "a/4.wav"])
    (tmp_path / table).write_text(
        "\ufeffPath,emotion,speaker,sex,note\n"
        "a/1.wav,Happiness,anna,female,x\n"
        "a\\2.flac,sad,bert,m,\n"
        "a/3.wav,sad,bert,m,\n"
        "a/4.wav,hungry,bert,m,\n"
        "a/1.wav,happy,anna,f,twice\n",
        encoding="utf-8",
    )
    manifest = load_manifest(tmp_path, "mine")
    assert manifest[["emotion", "speaker", "sex", "text"]].values.tolist() == [
        ["happy", "anna", "f", ""],
        ["sad", "bert", "m", ""],
    ]
    assert [(p["path"], p["kind"]) for p in manifest.attrs["problems"]] == [
        ("a/1.wav", "duplicate"),
        ("a/3.wav", "missing"),
        ("a/4.wav", "extra"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,speaker\na.wav,x\n", "no column 'emotion' in .*; expected path, emotion"),
        (
            "name,emotion,speaker\na.wav,sad,x\n",
            "no column 'path' .* got name, emotion, speaker; --columns",
        ),
        ("", "no column 'path', 'emotion'"),
        ("path,emotion,Emotion\na.wav,sad,x\n", "the column 'emotion' is there twice"),
        ("path,label,class\na.wav,sad,x\n", "'label' and 'class' .* may both be the emotion"),
        ("path,emotion,speaker\n", "no rows in"),
        ("path,emotion,speaker\na.wav,sad,x\n", "none of 1 files .* a.wav: there is no such file"),
    ],
)
def test_csv_manifest_that_is_no_use(tmp_path, text, message):
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(StudyError, match=message) as error:
        load_manifest(tmp_path, "mine")
    assert "\n" not in str(error.value)


def test_csv_manifest_in_no_encoding(tmp_path):
    (tmp_path / "mine.csv").write_bytes(b"path,emotion,speaker\n\xff\xfe,sad,x\n")
    with pytest.raises(StudyError, match="is not a CSV table"):
        load_manifest(tmp_path, "mine")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_of_tables(tmp_path, encoding):
    lay_out(tmp_path / "a", ["ü1.wav", "2.WAV"])
    text = "path;emotion;speaker\r\na\\ü1.wav;Ärger;3\r\n.\\a\\2.WAV;traurig;3,0\r\n"
    (tmp_path / "mine.csv").write_bytes(text.encode(encoding))
    assert find_corpora(tmp_path) == {"mine": tmp_path / "mine.csv"}
    manifest = load_manifest(tmp_path, "mine")
    assert manifest[["utterance", "emotion", "speaker"]].values.tolist() == [
        ["a/2.WAV", "sad", "3"],
        ["a/ü1.wav", "angry", "3"],
    ]


def test_a_table_of_another_encoding_is_found_and_named(tmp_path):
    lay_out(tmp_path / "a", ["1.wav"])
    (tmp_path / "mine.csv").write_bytes("path,emotion\na/1.wav,Ärger\n".encode("latin-1"))
    assert set(find_corpora(tmp_path)) == {"mine"}
    with pytest.raises(StudyError, match=r"mine\.csv is not a CSV table in UTF-8: save it"):
        load_manifest(tmp_path, "mine")


@pytest.mark.parametrize("table", ["survey.csv", "survey/metadata.csv"])
def test_a_table_whose_columns_are_all_foreign_is_found_by_what_they_mean(tmp_path, table):
    columns = {"clip": "path", "feeling": "emotion", "who": "speaker"}
    (tmp_path / table).parent.mkdir(exist_ok=True)
    text = "clip,feeling,who\n1.wav,sad,x\n2.wav,fear,y\n"
    write_table((tmp_path / table).parent, text, Path(table).name, ["1.wav", "2.wav"])
    with pytest.raises(StudyError, match="no corpus found"):
        find_corpora(tmp_path)
    assert set(find_corpora(tmp_path, columns)) == {"survey"}
    manifest = load_manifest(tmp_path, "survey", columns=columns, labels={"fear": ""})
    assert manifest[["emotion", "speaker"]].values.tolist() == [["sad", "x"]]
    assert manifest.attrs["problems"] == [
        {"path": "2.wav", "kind": "extra", "reason": "left out by the label map"}
    ]


def write_table(folder, text, name="mine.csv", recordings=()):
    """Write a table, and other noise under the name of each recording."""
    for seed, file in enumerate(recordings):
        write_wav(folder / file, noise(0.3, seed=seed))
    (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize(
    "header", [("file", "label", "gender", "speaker_id"), ("wav", "class", "Sex ", "spk")]
)
def test_separators_and_names_of_columns(tmp_path, separator, suffix, header):
    lines = [header, ("a\\1.wav", "Freude", "weiblich", "x"), ("./a/2.wav", "sad", "male", "y")]
    text = "\n".join(map(separator.join, lines))
    write_table(tmp_path, text, f"mine.{suffix}", ["a/1.wav", "a/2.wav"])
    assert set(find_corpora(tmp_path)) == {"mine"}
    manifest = load_manifest(tmp_path, "mine")
    assert manifest[["emotion", "speaker", "sex", "utterance"]].values.tolist() == [
        ["happy", "x", "f", "a/1.wav"],
        ["sad", "y", "m", "a/2.wav"],
    ]


def test_columns_and_labels_of_ones_own(tmp_path):
    text = "clip,mood,file\n1.wav,3,x\n2.wav,furious,y\n3.wav,sad,z\n"
    write_table(tmp_path, text, recordings=["1.wav", "2.wav", "3.wav"])
    manifest = load_manifest(
        tmp_path,
        "mine",
        columns={"clip": "path", "mood": "emotion"},
        labels={"3": "positive", "furious": "negative", "sad": "negative"},
    )
    assert manifest["emotion"].tolist() == ["positive", "negative", "negative"]
    with pytest.raises(StudyError, match="no column 'clop'"):
        load_manifest(tmp_path, "mine", columns={"clop": "path"})


def test_segments_are_utterances(tmp_path):
    samples = noise(20, 8000)
    write_wav(tmp_path / "long.wav", samples, subtype="FLOAT")
    spans = [(n / 2, n / 2 + 0.5) for n in range(38)]
    lines = [f"long.wav,{a},{b},{'sad' if a < 5 else 'happy'}" for a, b in spans]
    lines += ["long.wav,0 days 00:00:19,0 days 00:00:19.250000,fear", "long.wav,19.5,,angry"]
    lines += ["long.wav,19,25,sad", "long.wav,3,2,sad", "long.wav,x,2,sad"]
    (tmp_path / "mine.csv").write_text("\n".join(["file,start,end,emotion", *lines]))
    manifest = load_manifest(tmp_path, "mine")
    assert len(manifest) == 40 and manifest["utterance"].is_unique
    assert counts(manifest) == {"sad": 10, "happy": 28, "fear": 1, "angry": 1}
    assert manifest["utterance"][1] == "long.wav[0.50-1.00]"
    last = manifest.iloc[-1]
    assert (last["start"], last["end"], last["duration"]) == (19.5, 20.0, 0.5)
    assert [p["kind"] for p in manifest.attrs["problems"]] == ["segment"] * 3
    for row in manifest.itertuples():
        signal = read_audio(row.path, 8000, row.start, row.end)
        np.testing.assert_allclose(
            signal, samples[round(8000 * row.start) : round(8000 * row.end)], atol=1e-6
        )


def test_segments_hold_the_sound_of_their_own_times(tmp_path):
    samples = noise(6, 8000)
    write_wav(tmp_path / "long.wav", samples, subtype="FLOAT")
    spans = [(0, 1.5), (0, 3), (1.5, 4.5)]
    lines = [f"long.wav,{a},{b},{emotion}" for (a, b), emotion in zip(spans, "abc", strict=True)]
    (tmp_path / "mine.csv").write_text("\n".join(["path,start,end,emotion", *lines]))
    manifest = load_manifest(tmp_path, "mine", labels={"a": "sad", "b": "angry", "c": "happy"})
    assert len(manifest) == 3 and manifest["digest"].is_unique
    for (start, end), digest in zip(spans, manifest["digest"], strict=True):
        part = write_wav(
            tmp_path / "part.wav",
            samples[8000 * start if start == 0 else 12000 : int(8000 * end)],
            subtype="FLOAT",
        )
        assert inspect((str(part), np.nan, np.nan))["digest"] == digest
    assert {note["kind"] for note in manifest.attrs["notes"]} == {"overlap"}


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('path,emotion,text\na.wav,sad,fine\nb.wav,sad,"oh no\nc.wav,angry,well\n', "not a CSV"),
        ("path,emotion\na.wav,sad\na.wav,xxx\na.wav,xxx\nb.wav,angry", {"b.wav": (None, None)}),
        ("path,emotion,start\na.wav,sad,-2.5\nb.wav,angry,", {"b.wav": (None, None)}),
        ("path,emotion,duration\na.wav,sad,short\nb.wav,angry,", {"a.wav": 0, "b.wav": 0}),
        (
            'path,emotion,start,end\na.wav,sad,"00:00:01,5","00:00:02,250"\nb.wav,angry,,',
            {"a.wav[1.50-2.25]": 0, "b.wav": 0},
        ),
    ],
)
@pytest.mark.parametrize("votes", [False, True])
def test_tables_that_could_be_misread(tmp_path, table, expected, votes):
    for number, name in enumerate(("a", "b", "c")):
        signal = np.random.default_rng(number).normal(0, 0.1, 24_000)
        write_wav(tmp_path / f"{name}.wav", signal)
    (tmp_path / "mine.csv").write_text(table)
    if isinstance(expected, str):
        with pytest.raises(StudyError, match=expected):
            load_manifest(tmp_path, "mine", votes=votes)
        return
    manifest = load_manifest(tmp_path, "mine", votes=votes)
    assert set(manifest["utterance"]) == set(expected)
    assert all("a.wav" in one["path"] for one in manifest.attrs["problems"])


OPENED = ("path", "emotion", "text"), ("1.wav", "sad", '"Where were you'), ("2.wav", "fear", "here")
CLOSED = ("3.wav", "happy", 'when I needed you?"'), ("4.wav", "angry", "fine")


def with_texts_first(rows):
    return [(text, path, emotion) for path, emotion, text in rows]


@pytest.mark.parametrize("order", [list, with_texts_first])
@pytest.mark.parametrize("separator", [",", ";", "|"])
@pytest.mark.parametrize("between", [0, 1, 2])
def test_quotes_that_swallow_rows_are_named_with_their_lines(tmp_path, order, separator, between):
    rows = order([*OPENED[:2], *OPENED[2:] * between, *CLOSED])
    write_table(tmp_path, "\n".join(map(separator.join, rows)))
    with pytest.raises(StudyError, match=rf"mine\.csv .*lines 2 to {between + 3}: .* holds rows"):
        load_manifest(tmp_path, "mine")


@pytest.mark.parametrize("order", [list, with_texts_first])
@pytest.mark.parametrize("closed", [CLOSED, CLOSED[1:]])
def test_a_table_by_tabs_may_have_quotes_that_are_none(tmp_path, order, closed):
    rows = order([*OPENED, *closed])
    text = "\n".join(map("\t".join, rows))
    write_table(tmp_path, text, recordings=[f"{n}.wav" for n in (1, 2, 3, 4)])
    manifest = load_manifest(tmp_path, "mine")
    expected = {row[0]: row[2] for row in (*OPENED[1:], *closed)}
    assert manifest.set_index("utterance")["text"].to_dict() == expected
    (note,) = manifest.attrs["notes"]
    assert "quotes are read as part of the texts (lines 2 to" in note["reason"]
    write_table(tmp_path, text + "\tand more")
    with pytest.raises(StudyError, match="lines 2 to"):
        load_manifest(tmp_path, "mine")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('path,emotion\n1.wav,sad\n2.wav,"sad\n3.wav,sad\n', "lines 3 to 4: "),
        ('path,emotion\n"1.wav,sad\n', "line 2: "),
        ('sep=,\n\npath,emotion\n1.wav,"sad" or not\n', "line 4: "),
    ],
)
@pytest.mark.parametrize("name", ["mine.csv", "mine/metadata.csv"])
def test_the_line_of_a_quote_that_is_not_closed_is_named(tmp_path, text, lines, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert set(find_corpora(tmp_path)) == {"mine"}
    with pytest.raises(StudyError, match=rf"\.csv is not a CSV table \({lines}"):
        load_manifest(tmp_path, "mine")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_texts_in_quotes_may_have_several_lines(tmp_path, separator, ends):
    said = ["Oh, no, no, no;", 'not "you", she; he', "", "and I, too, said,", "well,"]
    quoted = '"' + ends.join(said).replace('"', '""') + '"'
    rows = [("text", "path", "emotion", "speaker"), (quoted, "1.wav", "sad", quoted)]
    rows += [("", "2.wav", "fear", "b")]
    (tmp_path / "mine.csv").write_bytes(ends.join(map(separator.join, rows)).encode())
    write_table(tmp_path, "", "empty.txt", ["1.wav", "2.wav"])
    manifest = load_manifest(tmp_path, "mine")
    assert manifest["utterance"].tolist() == ["1.wav", "2.wav"]
    assert manifest["text"][0].split() == " ".join(said).split()


def test_a_label_map_writes_emotions_as_the_study_does(tmp_path):
    lay_out(tmp_path / "mine", ["excited/1.wav", "happy/2.wav", "sad/3.wav"])
    manifest = load_manifest(tmp_path, "mine", labels={"excited": "Happy", "sad": "Low"})
    assert counts(manifest) == {"happy": 2, "Low": 1}


def test_segments_that_share_a_part_of_their_file_are_noted(tmp_path):
    write_wav(tmp_path / "a.wav", noise(6))
    write_wav(tmp_path / "b.wav", noise(6, seed=1))
    spans = [("a", 0, 2), ("a", 1, 3), ("a", 3, 4), ("b", 2.5, 3), ("b", 4, 5)]
    rows = [f"{name}.wav,{start},{end},sad" for name, start, end in spans] + ["b.wav,,,sad"]
    (tmp_path / "mine.csv").write_text("\n".join(["path,start,end,emotion", *rows]))
    manifest = load_manifest(tmp_path, "mine")
    assert len(manifest) == 5
    assert [(n["path"], n["kind"], n["reason"]) for n in manifest.attrs["notes"]] == [
        ("a.wav[0.00-2.00]", "overlap", "it shares a part of the file with a.wav[1.00-3.00]"),
        ("a.wav[1.00-3.00]", "overlap", "it shares a part of the file with a.wav[0.00-2.00]"),
    ]
    assert [(p["path"], p["kind"]) for p in manifest.attrs["problems"]] == [("b.wav", "overlap")]


TIMED = {
    "start,duration": ("0,0.5", "0.5,1"),
    "Offset,Duration": ("0,0.5", "0.5,1"),
    "start_ms,end_ms": ("0,500", "500,1500"),
    "begin_time_ms,stop_ms": ("0,500", "500,1500"),
    "offset_ms,duration": ("0,0.5", "500,1"),
    "onset,offset": ("0,0.5", "0.5,1.5"),
    "onset_ms,offset_ms": ("0,500", "500,1500"),
    "Onset Time,Offset Time": ("0,0.5", "0.5,1.5"),
    "onset_s,OffsetTime_ms": ("0,500", "0.5,1500"),
    "start_s,end_sec": ("0,0.5", "0.5,1.5"),
    "start,end,duration": ("0,0.5,9", "0.5,1.5,9"),
}


@pytest.mark.parametrize("header", TIMED)
def test_times_of_segments_by_their_other_names(tmp_path, header):
    one, two = TIMED[header]
    text = f"path,emotion,{header}\nlong.wav,sad,{one}\nlong.wav,happy,{two}\n"
    write_table(tmp_path, text, recordings=["other.wav"])
    write_wav(tmp_path / "long.wav", noise(2))
    manifest = load_manifest(tmp_path, "mine")
    assert manifest["utterance"].tolist() == ["long.wav[0.00-0.50]", "long.wav[0.50-1.50]"]
    assert manifest["duration"].tolist() == [0.5, 1.0]


def test_a_duration_alone_is_no_segment_and_a_time_that_is_not_read_is_named(tmp_path):
    text = "path,duration,start of turn,end_frame,emotion\n1.wav,0.1,2,3,sad\n"
    write_table(tmp_path, text, recordings=["1.wav"])
    manifest = load_manifest(tmp_path, "mine")
    assert manifest["utterance"].tolist() == ["1.wav"]
    assert [(n["path"], n["reason"].split(";")[0]) for n in manifest.attrs["notes"]] == [
        ("mine.csv", "'end_frame' is not read"),
        ("mine.csv", "'start_of_turn' is not read"),
    ]


def test_one_speaker_however_it_is_spelled(tmp_path):
    spelled = ["03", "3", "3.0", " 03 ", "nan", "None", "unknown", "", "30", "anna"]
    names = [f"{n}.wav" for n in range(len(spelled))]
    lines = [f"{name},sad,{speaker}" for name, speaker in zip(names, spelled, strict=True)]
    write_table(tmp_path, "\n".join(["path,emotion,speaker", *lines]), recordings=names)
    manifest = load_manifest(tmp_path, "mine")
    assert manifest["speaker"].tolist() == ["03"] * 4 + [""] * 4 + ["30", "anna"]
    (note,) = manifest.attrs["notes"]
    assert note["kind"] == "speaker" and "are one speaker, 03" in note["reason"]


def test_accents_tell_speakers_apart_and_punctuation_no_sentences(tmp_path):
    said = [
        ("Thủy", "Es ist kalt"),
        ("Thúy", "es ist  KALT."),
        ("thủy", "Es ist alt"),
        ("かな", "a"),
    ]
    said += [("がな", "b")]
    lines = [f'{n}.wav,sad,{who},"{text}"' for n, (who, text) in enumerate(said)]
    names = [f"{n}.wav" for n in range(len(said))]
    write_table(tmp_path, "\n".join(["path,emotion,speaker,text", *lines]), recordings=names)
    manifest = load_manifest(tmp_path, "mine")
    assert manifest["speaker"].nunique() == 4 and manifest["text"].nunique() == 4
    assert manifest["speaker"][0] == manifest["speaker"][2]
    assert manifest["text"][0] == manifest["text"][1]
    assert {note["kind"] for note in manifest.attrs["notes"]} == {"speaker", "text"}


def test_starts_without_ends_are_refused_where_several_rows_share_a_file(tmp_path):
    rows = "path,emotion,start,finish\na.wav,sad,0,1\na.wav,happy,1,2\n"
    write_table(tmp_path, rows, recordings=["a.wav"])
    with pytest.raises(StudyError, match=r"expected an end or a duration, got .*finish"):
        load_manifest(tmp_path, "mine")
    columns = {"finish": "end"}
    with pytest.raises(StudyError, match="none of 2 files"):  # they last 0.12 s
        load_manifest(tmp_path, "mine", columns=columns)


def test_speakers_of_a_known_corpus_are_spelled_as_it_does(tmp_path):
    write_table(tmp_path, "path,emotion,speaker\na.wav,sad,3\n", "emodb.csv", ["a.wav"])
    assert load_manifest(tmp_path, "emodb")["speaker"].tolist() == ["03"]


RATERS = "path,emotion\n" + "".join(
    f"{name}.wav,{word}\n"
    for name, words in {
        "most": ("sad", "sad", "happy"),
        "tie": ("sad", "happy"),
        "same": ("happy", "joy"),
    }.items()
    for word in words
)


def test_rows_that_contradict_each_other_are_left_out(tmp_path):
    write_table(tmp_path, RATERS, recordings=["most.wav", "tie.wav", "same.wav"])
    manifest = load_manifest(tmp_path, "mine")
    assert manifest["utterance"].tolist() == ["same.wav"]
    assert [(p["path"], p["kind"]) for p in manifest.attrs["problems"]] == [
        ("most.wav", "contradiction"),
        ("same.wav", "duplicate"),
        ("tie.wav", "contradiction"),
    ]
    assert manifest.attrs["problems"][0]["reason"] == "its rows say sad (2), happy (1)"


def test_rows_of_one_segment_without_an_end_are_taken_together(tmp_path):
    table = "path,start,end,emotion\na.wav,0.1,,happy\na.wav,0.1,,happy\na.wav,0.1,,sad\n"
    write_table(tmp_path, table, recordings=["a.wav"])
    assert load_manifest(tmp_path, "mine", votes=True)["emotion"].tolist() == ["happy"]
    with pytest.raises(StudyError, match=r"its rows say happy \(2\), sad \(1\)"):
        load_manifest(tmp_path, "mine")


def test_carriage_returns_in_names_and_cells_reach_no_other_table(tmp_path):
    write_table(tmp_path, 'path,emotion,speaker\na.wav,happy,"A\rB"\n', recordings=["a.wav"])
    assert load_manifest(tmp_path, "mine")["speaker"].tolist() == ["A B"]
    lay_out(tmp_path / "other", ["sad/a.wav", "sad/b\rc.wav"])
    manifest = load_manifest(tmp_path, "other")
    assert manifest["utterance"].tolist() == ["sad/a.wav"]
    (problem,) = manifest.attrs["problems"]
    assert problem["reason"] == "its name holds a carriage return"


def test_rows_of_raters_vote_where_that_is_asked_for(tmp_path):
    write_table(tmp_path, RATERS, recordings=["most.wav", "tie.wav", "same.wav"])
    manifest = load_manifest(tmp_path, "mine", votes=True)
    assert manifest.set_index("utterance")["emotion"].to_dict() == {
        "most.wav": "sad",
        "same.wav": "happy",
    }
    assert [p["path"] for p in manifest.attrs["problems"]] == ["tie.wav"]
    assert [n["path"] for n in manifest.attrs["notes"]] == ["most.wav"]


def test_rows_that_name_two_speakers_and_rows_with_too_many_cells(tmp_path):
    text = "path,emotion,speaker\n1.wav,sad,a\n1.wav,sad,b\n2.wav,sad,a,b\n3.wav,sad,,,\n"
    write_table(tmp_path, text, recordings=["1.wav", "2.wav", "3.wav"])
    manifest = load_manifest(tmp_path, "mine")
    assert manifest["utterance"].tolist() == ["3.wav"]
    assert [p["kind"] for p in manifest.attrs["problems"]] == ["contradiction", "extra"]


def test_sexes_that_contradict_each_other_or_are_not_known_are_noted(tmp_path):
    text = "path,emotion,speaker,sex\n1.wav,sad,x,f\n2.wav,happy,x,m\n3.wav,sad,y,boy\n"
    write_table(
        tmp_path, f"{text}3.wav,sad,y,f\n3.wav,sad,y,m\n", recordings=["1.wav", "2.wav", "3.wav"]
    )
    notes = [one["reason"] for one in load_manifest(tmp_path, "mine").attrs["notes"]]
    assert sorted(notes) == [
        "its rows say 'f' and 'm': 'f' is taken",
        "not known as a sex: 'boy' (female, male, f and m are, among others)",
        "speaker x is f in some rows and m in others",
    ]


def test_columns_that_are_not_read(tmp_path):
    text = "path,,emotion,cells,\n1.wav,a,sad,b,\n"
    write_table(tmp_path, text, recordings=["1.wav"])
    assert load_manifest(tmp_path, "mine")["utterance"].tolist() == ["1.wav"]


@pytest.mark.parametrize(
    ("named", "there"),
    [
        ("1.wav", "wav/1.wav"),
        ("audio/A1.WAV", "audio/a1.wav"),
        ("C:\\data\\1.wav", "wav/1.wav"),
        ("1", "1.wav"),
        ("1.mp3", "1.flac"),
        ("\u00fc.wav", "u\u0308.wav"),
    ],
)
def test_the_file_that_may_have_been_meant_is_named(tmp_path, named, there):
    write_table(tmp_path, f"path,emotion\n{named},sad\nx.wav,happy\n", recordings=["x.wav", there])
    (problem,) = load_manifest(tmp_path, "mine").attrs["problems"]
    assert problem["kind"] == "missing"
    ours, theirs = ascii(there), ascii(named)
    meant = f"{ours} on the disk and {theirs} in" if "\u00fc" in named else f"did you mean {there}"
    assert meant in problem["reason"]


@pytest.mark.parametrize("above", ["/other/data/", "C:\\data\\", "mine/", "WAV/"])
def test_of_files_of_one_name_the_one_in_the_same_folder_may_have_been_meant(tmp_path, above):
    there = ["wav/anna/1.wav", "wav/bob/1.wav"]
    text = f"path,emotion\n{above}bob/1.wav,sad\n{above}cora/1.wav,sad\nx.wav,happy\n"
    write_table(tmp_path, text, recordings=["x.wav", *there])
    bob, cora = sorted(one["reason"] for one in load_manifest(tmp_path, "mine").attrs["problems"])[
        ::-1
    ]
    assert bob.endswith("did you mean wav/bob/1.wav?") and "did you mean" not in cora


def test_a_division_in_a_table_is_named_and_so_is_a_speaker_who_is_none(tmp_path):
    text = "path,emotion,speaker,Split\n1.wav,sad,NA,train\n2.wav,sad,b,test\n3.wav,fear,,test\n"
    write_table(tmp_path, text, recordings=["1.wav", "2.wav", "3.wav"])
    manifest = load_manifest(tmp_path, "mine")
    assert manifest["speaker"].tolist() == ["", "b", ""]
    notes = {note["kind"]: note["reason"] for note in manifest.attrs["notes"]}
    assert "'split' is not read" in notes["column"] and "partition" in notes["column"]
    assert notes["speaker"] == "'NA' is taken for no speaker"


def test_times_of_another_recording_can_be_left_out(tmp_path):
    text = "path,emotion,StartTime,EndTime\n1.wav,sad,0:16:16,0:16:21\n2.wav,fear,0:20:00,0:21:00\n"
    write_table(tmp_path, text, recordings=["1.wav", "2.wav"])
    with pytest.raises(StudyError, match="--columns NAME: if rows are whole files"):
        load_manifest(tmp_path, "mine")
    columns = {"StartTime": "", "EndTime": ""}
    manifest = load_manifest(tmp_path, "mine", columns=columns)
    assert len(manifest) == 2 and manifest.attrs["notes"] == []


def test_recordings_without_a_row_are_counted(tmp_path):
    names = ["1.wav", "2.wav", "deep/3.wav", "deep/4.wav"]
    text = "path,emotion\n1.wav,sad\n2.wav,fear\n"
    write_table(tmp_path / "mine", text, "manifest.csv", recordings=names)
    (note,) = load_manifest(tmp_path, "mine").attrs["notes"]
    assert note["kind"] == "unlisted" and note["path"] == "manifest.csv"
    assert note["reason"] == "recordings in its folder without a row in it: 2, such as deep/3.wav"


def test_many_rows_that_name_few_files_are_read_once(tmp_path):
    names = [f"{n}.wav" for n in range(12)]
    rows = [f"{names[n % 12]},{('sad', 'happy')[n % 12 % 2]},{n % 3}" for n in range(100_000)]
    write_table(tmp_path, "\n".join(["path,emotion,speaker", *rows]), recordings=names)
    start = time.process_time()
    manifest = load_manifest(tmp_path, "mine")
    assert time.process_time() - start < 20
    assert len(manifest) == 12 and len(manifest.attrs["problems"]) == 12


def test_audiofolder_with_metadata(tmp_path):
    for split in ("train", "test"):
        for n in (1, 2):
            write_wav(tmp_path / "hub" / split / f"{n}.wav", noise(0.3, seed=len(split) + 7 * n))
        text = "file_name,label\n1.wav,anger\n2.wav,joy\n"
        write_table(tmp_path / "hub" / split, text, "metadata.csv")
    manifest = load_manifest(tmp_path, "hub")
    assert manifest["utterance"].tolist() == [
        *("test/1.wav", "test/2.wav", "train/1.wav", "train/2.wav")
    ]
    assert counts(manifest) == {"angry": 2, "happy": 2}


def lay_out_parts(folder, parts, metadata="metadata.csv"):
    """Lay out two recordings and their table in each part of an audiofolder."""
    for at, part in enumerate(parts):
        for n in (1, 2):
            write_wav(folder / part / f"{n}.wav", noise(0.3, seed=2 * at + n))
        write_table(folder / part, "file_name,label\n1.wav,anger\n2.wav,joy\n", metadata)


@pytest.mark.parametrize(
    "parts",
    [
        ["testing", "training", "validation"],
        ["evaluation", "train"],
        ["test", "train", "unseen_speakers"],
        ["Test", "Train"],
    ],
)
@pytest.mark.parametrize("metadata", ["metadata.csv", "Metadata.CSV"])
def test_all_parts_of_an_audiofolder_are_put_together(tmp_path, parts, metadata):
    lay_out_parts(tmp_path / "hub", parts, metadata)
    expected = [f"{part}/{n}.wav" for part in parts for n in (1, 2)]
    for root in (tmp_path, tmp_path / "hub"):  # which may also be given by itself
        assert set(find_corpora(root)) == {"hub"}
        manifest = load_manifest(root, "hub")
        assert manifest["utterance"].tolist() == expected
        assert manifest.attrs["problems"] == manifest.attrs["notes"] == []


def test_recordings_of_an_audiofolder_that_no_part_lists_are_named(tmp_path):
    folder = tmp_path / "hub"
    lay_out_parts(folder, ["test", "train"])
    (folder / "empty").mkdir()
    names = ["loose.wav", "more/3.wav", "sounds/4.wav", "test/5.wav"]
    write_table(folder / "train", "file_name,label\n../sounds/4.wav,anger\n", "metadata.csv")
    for seed, name in enumerate(names, 20):
        write_wav(folder / name, noise(0.3, seed=seed))
    manifest = load_manifest(tmp_path, "hub")
    assert manifest["utterance"].tolist() == ["sounds/4.wav", "test/1.wav", "test/2.wav"]
    assert [(p["path"], p["kind"]) for p in manifest.attrs["problems"]] == [
        (".", "folder"),
        ("more", "folder"),
    ]
    assert [(n["path"], n["reason"].split(": ")[1]) for n in manifest.attrs["notes"]] == [
        ("test/metadata.csv", "1, such as test/5.wav"),
        ("train/metadata.csv", "2, such as train/1.wav"),
    ]


def test_audiofolders_beside_each_other_are_corpora_of_their_own(tmp_path):
    lay_out_parts(tmp_path, ["one", "two"])
    assert set(find_corpora(tmp_path)) == {"one", "two"}


def test_audformat_tables_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "audformat", None)
    folder = tmp_path / "database"
    for seed, name in enumerate(("a", "b")):
        write_wav(folder / "audio" / f"{name}.wav", noise(2, seed=seed))
    (folder / "db.yaml").write_text("name: database\n")
    (folder / "db.emotion.csv").write_text(
        "file,start,end,emotion\n"
        "audio/a.wav,0 days 00:00:00,0 days 00:00:01.200000,anger\n"
        "audio/a.wav,0 days 00:00:01.200000,,happiness\n"
        "audio/b.wav,0 days,,sadness\n"
    )
    (folder / "db.files.csv").write_text("file,speaker\naudio/a.wav,3\naudio/b.wav,4\n")
    check_database(load_manifest(tmp_path, "database"))


@pytest.mark.parametrize("package", [True, False])
@pytest.mark.parametrize("broken", ["name: [", "- a", 'file,emotion\n"a.wav,sad\n'])
def test_a_broken_audformat_database_is_named(tmp_path, monkeypatch, package, broken):
    if package:
        pytest.importorskip("audformat", reason="needs the extra audb")
    else:
        monkeypatch.setitem(sys.modules, "audformat", None)
    (folder := tmp_path / "database").mkdir()
    lines = broken.startswith("file")
    (folder / "db.yaml").write_text("name: database\n" if lines else broken)
    (folder / "db.emotion.csv").write_text(broken if lines else "file\n")
    with pytest.raises(StudyError, match=r"db\.yaml") as caught:
        load_manifest(tmp_path, "database")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("storage", ["csv", "parquet", "pkl"])
def test_audformat_database(tmp_path, storage):
    audformat = pytest.importorskip("audformat", reason="needs the extra audb")
    database = audformat.Database("database")
    database.schemes["emotion"] = audformat.Scheme(labels=["anger", "happiness", "sadness"])
    database.schemes["speaker"] = audformat.Scheme(
        labels={3: {"gender": "female"}, 4: {"gender": "male"}}
    )
    index = audformat.segmented_index(
        ["audio/a.wav", "audio/a.wav", "audio/b.wav"],
        ["0s", "1.2s", "0s"],
        ["1.2s", None, None],
    )
    database["emotion"] = audformat.Table(index)
    database["emotion"]["emotion"] = audformat.Column(scheme_id="emotion")
    database["emotion"]["emotion"].set(["anger", "happiness", "sadness"])
    database["files"] = audformat.Table(audformat.filewise_index(["audio/a.wav", "audio/b.wav"]))
    database["files"]["speaker"] = audformat.Column(scheme_id="speaker")
    database["files"]["speaker"].set([3, 4])
    folder = tmp_path / "database"
    for seed, name in enumerate(("a", "b")):
        write_wav(folder / "audio" / f"{name}.wav", noise(2, seed=seed))
    database.save(str(folder), storage_format=storage)
    manifest = load_manifest(tmp_path, "database")
    check_database(manifest)
    assert manifest["sex"].tolist() == ["f", "f", "m"]


@pytest.mark.parametrize("package", [True, False])
def test_parts_of_an_audformat_database_are_put_together(tmp_path, monkeypatch, package):
    audformat = pytest.importorskip("audformat", reason="needs the extra audb")
    database = audformat.Database("parts")
    tables = {
        "train": ["train1.wav", "train2.wav"],
        "test": ["test1.wav"],
        "raters": ["train1.wav"],
    }
    for name, files in tables.items():
        database[name] = audformat.Table(audformat.filewise_index(files))
        database[name]["affect"] = audformat.Column()
        database[name]["affect"].set(["angry", "sad"][: len(files)])
    lay_out(tmp_path / "parts", ["train1.wav", "train2.wav", "test1.wav"])
    database.save(str(tmp_path / "parts"), storage_format="csv")
    if not package:
        monkeypatch.setitem(sys.modules, "audformat", None)
    with pytest.raises(StudyError, match=r"--columns COLUMN:emotion.* got .*: path, affect") as e:
        load_manifest(tmp_path, "parts")
    assert ("pip install" in str(e.value)) is not package
    manifest = load_manifest(tmp_path, "parts", columns={"affect": "emotion"})
    assert counts(manifest) == {"angry": 2, "sad": 1}
    (note,) = manifest.attrs["notes"]
    assert "raters has emotions of files of another table" in note["reason"]


def save_database(folder, tables):
    """Save an audformat database: columns of each table by rows of file, or file, start and end."""
    audformat = pytest.importorskip("audformat", reason="needs the extra audb")
    database = audformat.Database(folder.name)
    for name, (rows, columns) in tables.items():
        index = audformat.filewise_index(rows)
        if isinstance(rows[0], tuple):
            index = audformat.segmented_index(*map(list, zip(*rows, strict=True)))
        database[name] = audformat.Table(index)
        for column, values in columns.items():
            database[name][column] = audformat.Column()
            database[name][column].set(values)
    database.save(str(folder), storage_format="csv")


@pytest.fixture(params=[True, False], ids=["with audformat", "without it"])
def hide_audformat(request, monkeypatch):
    """Hide the package audformat, or not, from what is called after this."""
    return lambda: None if request.param else monkeypatch.setitem(sys.modules, "audformat", None)


@pytest.mark.parametrize("order", [1, -1])
def test_speakers_of_audformat_databases_may_be_in_several_tables(tmp_path, hide_audformat, order):
    files = {"train": ["1.wav", "2.wav"], "dev": ["3.wav"], "test": ["4.wav"]}
    tables = {}
    for part, names in list(files.items())[::order]:
        tables[f"emotion.{part}"] = names, {"emotion": ["sad", "happy"][: len(names)]}
        tables[f"speaker.{part}"] = names[::-1], {"speaker": [f"of {name}" for name in names[::-1]]}
    tables["others"] = ["elsewhere.wav"], {"speaker": ["x"], "text": ["y"]}
    write_table(tmp_path / "base", "", "empty.txt", [f"{n}.wav" for n in (1, 2, 3, 4)])
    save_database(tmp_path / "base", tables)
    hide_audformat()
    manifest = load_manifest(tmp_path, "base")
    assert manifest["speaker"].tolist() == [f"of {n}.wav" for n in (1, 2, 3, 4)]
    (note,) = manifest.attrs["notes"]
    assert "others names speakers of other files or segments, and is not used" in note["reason"]


def test_segments_of_audformat_databases_are_joined_by_their_times(tmp_path, hide_audformat):
    said = {("a", 0, 1): "x", ("a", 1, 2.5): "y", ("b", 0, 1): "z", ("b", 1, None): "x"}
    rows = [(f"{name}.wav", f"{a}s", f"{b}s" if b else None) for name, a, b in said]
    tables = {
        "train": (rows[:1] + rows[2:3], {"emotion": ["sad", "happy"]}),
        "test": (rows[1:2] + rows[3:], {"emotion": ["fear", "angry"]}),
        "speakers": (rows[::-1], {"speaker": list(said.values())[::-1]}),
        "files": (["a.wav", "b.wav"], {"text": ["one", "two"], "speaker": ["nobody", "nobody"]}),
        "rated": (rows[:1], {"emotion": ["happy"]}),
        "turns": ([("a.wav", "0s", "0.5s")], {"speaker": ["w"]}),
    }
    for seed, name in enumerate(("a", "b")):
        write_wav(tmp_path / "base" / f"{name}.wav", noise(3, seed=seed))
    save_database(tmp_path / "base", tables)
    hide_audformat()
    manifest = load_manifest(tmp_path, "base")
    assert manifest["emotion"].tolist() == ["sad", "fear", "happy", "angry"]
    assert manifest["speaker"].tolist() == list(said.values())
    assert manifest["text"].tolist() == ["one", "one", "two", "two"]
    assert manifest["duration"].tolist() == pytest.approx([1, 1.5, 1, 2])
    named = {note["reason"].split()[2].removeprefix("db.") for note in manifest.attrs["notes"]}
    assert named == {"rated", "turns"}


def test_what_a_misc_table_of_an_audformat_database_says_of_speakers(tmp_path):
    audformat = pytest.importorskip("audformat", reason="needs the extra audb")
    database = audformat.Database("base")
    index = pd.Index([7, 8], dtype="Int64", name="speaker")
    database["speaker"] = audformat.MiscTable(index)
    database["speaker"]["gender"] = audformat.Column()
    database["speaker"]["gender"].set(["female", "male"])
    database.schemes["speaker"] = audformat.Scheme("int", labels="speaker")
    database["emotion"] = audformat.Table(audformat.filewise_index(["1.wav", "2.wav"]))
    database["emotion"]["emotion"] = audformat.Column()
    database["emotion"]["emotion"].set(["sad", "happy"])
    database["emotion"]["speaker"] = audformat.Column(scheme_id="speaker")
    database["emotion"]["speaker"].set([8, 7])
    write_table(tmp_path / "base", "", "empty.txt", ["1.wav", "2.wav"])
    database.save(str(tmp_path / "base"), storage_format="csv")
    manifest = load_manifest(tmp_path, "base")
    assert manifest[["speaker", "sex"]].values.tolist() == [["8", "m"], ["7", "f"]]


def test_a_column_that_only_another_table_has_is_no_mistake(tmp_path):
    write_table(tmp_path, "path,feeling\n1.wav,sad\n", "one.csv", ["1.wav", "2.wav"])
    write_table(tmp_path, "path,emotion\n2.wav,sad\n", "two.csv")
    for name, notes in (("one", []), ("two", ["there is no column 'feeling'"])):
        manifest = load_manifest(tmp_path, name, columns={"feeling": "emotion"})
        assert counts(manifest) == {"sad": 1}
        assert [note["reason"] for note in manifest.attrs["notes"]] == notes


def check_database(manifest):
    assert manifest[["utterance", "emotion", "speaker"]].values.tolist() == [
        ["audio/a.wav[0.00-1.20]", "angry", "3"],
        ["audio/a.wav[1.20-2.00]", "happy", "3"],
        ["audio/b.wav", "sad", "4"],
    ]
    assert manifest["duration"].tolist() == pytest.approx([1.2, 0.8, 2.0])
    assert np.isnan(manifest["start"][2]) and manifest.attrs["problems"] == []


@pytest.mark.parametrize("folders", [False, True])
def test_words_that_are_taken_for_one_emotion_are_named(tmp_path, folders):
    words = ["Annoyed", "angry", "sad", "SAD", "angry"]
    names = [f"{word if folders else 'x'}/{at}.wav" for at, word in enumerate(words)]
    lay_out(tmp_path / "mine", names)
    if not folders:
        rows = "".join(f"{one},{word}\n" for one, word in zip(names, words, strict=True))
        (tmp_path / "mine" / "manifest.csv").write_text("path,emotion\n" + rows)
    manifest = load_manifest(tmp_path, "mine")
    assert counts(manifest) == {"angry": 3, "sad": 2}
    (note,) = manifest.attrs["notes"]
    assert note["kind"] == "merged" and note["reason"] == (
        "'angry' (2) and 'annoyed' (1) are taken for angry "
        "(to keep them apart: --emotions annoyed:annoyed)"
    )
    manifest = load_manifest(tmp_path, "mine", labels={"annoyed": "annoyed"})
    assert counts(manifest) == {"annoyed": 1, "angry": 2, "sad": 2}
    assert manifest.attrs["notes"] == []
