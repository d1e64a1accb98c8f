import logging
import shutil
import sys
from collections import Counter
from pathlib import PurePosixPath

import numpy as np
import pytest
import soundfile
from conftest import SHARED, lay_out, needs_shared, noise, write_wav
from hypothesis import given
from hypothesis import strategies as st

from ctl_helpers.corpora import (
    CATALOGUE,
    EMOTIONS,
    corpus,
    emotion_named,
    find_corpora,
    load_manifest,
    read_audio,
    shared_emotions,
    signal_length,
)
from ctl_helpers.errors import StudyError

COLUMNS = ["path", "corpus", "emotion", "speaker", "sex", "text", "duration", "sampling_rate"]

# Table S2 of the paper's appendix, and for EMOVO 14 sentences x 6 speakers for 7 emotions.
PUBLISHED = {
    "casia": dict.fromkeys(("angry", "fear", "happy", "neutral", "sad", "surprise"), 200),
    "emodb": {
        "angry": 127,
        "boredom": 81,
        "disgust": 46,
        "fear": 69,
        "happy": 71,
        "neutral": 79,
        "sad": 62,
    },
    "savee": dict.fromkeys(("angry", "disgust", "fear", "happy", "sad", "surprise"), 60)
    | {"neutral": 120},
    "ravdess": dict.fromkeys(("angry", "calm", "disgust", "fear", "happy", "sad", "surprise"), 192)
    | {"neutral": 96},
    "emovo": dict.fromkeys(("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"), 84),
}


def ravdess_names():
    return [
        f"Actor_{actor:02d}/03-01-{code:02d}-{intensity:02d}-{statement:02d}-{take:02d}-{actor:02d}.wav"
        for actor in range(1, 25)
        for code in range(1, 9)
        for intensity in (1, 2)
        for statement in (1, 2)
        for take in (1, 2)
        if (code, intensity) != (1, 2)
    ]


def savee_names(pattern="{speaker}/{text}.wav"):
    texts = [
        f"{code}{number:02d}"
        for code in ("a", "d", "f", "h", "sa", "su")
        for number in range(1, 16)
    ]
    texts += [f"n{number:02d}" for number in range(1, 31)]
    return [pattern.format(speaker=s, text=t) for s in ("DC", "JE", "JK", "KL") for t in texts]


def casia_names(pattern="{speaker}/{emotion}/{number}.wav"):
    return [
        pattern.format(speaker=speaker, emotion=emotion, number=number)
        for speaker in ("liuchanhg", "zhaoquanyin", "wangzhe", "ZhaoZuoxiang")
        for emotion in ("angry", "fear", "happy", "neutral", "sad", "surprise")
        for number in range(201, 251)
    ]


def emovo_names():
    texts = ("b1", "b2", "b3", "d1", "d2", "l1", "l2", "l3", "l4", "n1", "n2", "n3", "n4", "n5")
    return [
        f"{speaker}/{emotion}-{speaker}-{text}.wav"
        for speaker in ("f1", "f2", "f3", "m1", "m2", "m3")
        for emotion in ("dis", "gio", "neu", "pau", "rab", "sor", "tri")
        for text in texts
    ]


def counts(manifest):
    return dict(Counter(manifest["emotion"]))


# --- the catalogue ---------------------------------------------------------------------------


def test_catalogue_repeats_the_published_counts():
    assert {name: entry.emotions for name, entry in CATALOGUE.items()} == PUBLISHED
    assert {name: entry.size for name, entry in CATALOGUE.items()} == {
        "casia": 1200,
        "emodb": 535,
        "savee": 480,
        "ravdess": 1440,
        "emovo": 588,
    }
    for entry in CATALOGUE.values():
        assert sum(entry.speaker_counts.values()) == entry.size
        assert entry.speaker_counts.keys() == entry.speakers.keys()
        assert not entry.utterances or len(entry.utterances) == entry.size
        assert set(entry.emotions) <= set(EMOTIONS)


def test_catalogue_knows_the_sex_of_the_speakers():
    sexes = {name: Counter(entry.speakers.values()) for name, entry in CATALOGUE.items()}
    assert sexes == {
        "casia": {"m": 2, "f": 2},
        "emodb": {"m": 5, "f": 5},
        "savee": {"m": 4},
        "ravdess": {"m": 12, "f": 12},
        "emovo": {"m": 3, "f": 3},
    }


def test_each_example_of_the_catalogue_is_parsed():
    for entry in CATALOGUE.values():
        labels = entry.parse(PurePosixPath(entry.example))
        assert labels.emotion in entry.emotions and labels.speaker in entry.speakers


def test_five_emotions_are_shared_by_the_four_corpora_of_the_paper():
    names = ("casia", "emodb", "savee", "ravdess")
    five = ["angry", "fear", "happy", "neutral", "sad"]
    assert shared_emotions(*names) == five
    sizes = [sum(corpus(name).emotions[emotion] for emotion in five) for name in names]
    assert sizes == [1000, 408, 360, 864]


def test_signal_lengths():
    lengths = [signal_length(name) for name in (*CATALOGUE, "mine")]
    assert lengths == [88_000, 96_000, 130_000, 110_000, 96_000, 96_000]


def test_unknown_corpus_is_one_line():
    with pytest.raises(StudyError, match="no corpus 'iemocap' in the catalogue; it has casia"):
        corpus("iemocap")


@given(st.text())
def test_parsers_judge_any_name(name):
    path = PurePosixPath(f"a/{name}.wav")
    for entry in CATALOGUE.values():
        labels = entry.parse(path)
        assert isinstance(labels, str) or labels.emotion in entry.emotions


@given(st.sampled_from(EMOTIONS), st.sampled_from((str.upper, str.title, str.lower)))
def test_emotions_are_known_in_any_case(emotion, case):
    assert emotion_named(f" {case(emotion)} ") == emotion


# --- native layouts --------------------------------------------------------------------------

LAYOUTS = {
    "casia by speaker": ("casia", "CASIA", casia_names()),
    "casia by emotion": (
        "casia",
        "casia_chinese",
        casia_names("{emotion}/{number}-{emotion}-{speaker}.wav"),
    ),
    "casia in capitals, deeper": (
        "casia",
        "Casia database",
        [f"CASIA/{name.upper()}" for name in casia_names()],
    ),
    "casia other spellings": (
        "casia",
        "casia",
        [n.replace("fear", "Fearful").replace("surprise", "surprised") for n in casia_names()],
    ),
    "savee": ("savee", "SAVEE", savee_names("AudioData/{speaker}/{text}.wav")),
    "savee without AudioData": ("savee", "savee", savee_names()),
    "savee flat": ("savee", "Savee-flat", savee_names("{speaker}_{text}.wav")),
    "savee flat in AudioData": (
        "savee",
        "SAVEE",
        savee_names("audiodata/{speaker}_{text}.WAV"),
    ),
    "ravdess": ("ravdess", "RAVDESS", ravdess_names()),
    "ravdess by its archive's name": ("ravdess", "Audio_Speech_Actors_01-24", ravdess_names()),
    "ravdess nested": (
        "ravdess",
        "ravdess_speech",
        [f"Audio_Speech_Actors_01-24/{n}" for n in ravdess_names()],
    ),
    "ravdess flat": ("ravdess", "r", [n.split("/")[1] for n in ravdess_names()]),
    "emovo": ("emovo", "EMOVO", emovo_names()),
    "emovo nested": ("emovo", "emovo", [f"EMOVO/{n.upper()}" for n in emovo_names()]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout(tmp_path, layout):
    name, folder, names = LAYOUTS[layout]
    lay_out(tmp_path / folder, names)
    manifest = load_manifest(tmp_path, name)
    assert counts(manifest) == PUBLISHED[name]
    assert dict(Counter(manifest["speaker"])) == CATALOGUE[name].speaker_counts
    assert manifest.attrs["problems"] == []
    # The corpus's own folder is accepted as the root, too.
    assert len(load_manifest(tmp_path / folder, name)) == len(names)


@pytest.mark.parametrize("folder", ["EmoDB", "emo-db", "EMODB", "Berlin", "emodb", "some_name"])
@pytest.mark.parametrize("prefix", ["wav/", "WAV/", "", "download/wav/"])
def test_emodb_layouts(tmp_path, folder, prefix):
    names = ["03a01Fa.wav", "03a01Nc.wav", "16b10Td.WAV", "08b03Lc.wav", "11a02E.wav"]
    lay_out(tmp_path / folder, [prefix + name for name in names])
    manifest = load_manifest(tmp_path, "emodb")
    by_name = manifest.set_index(manifest["path"].str.rsplit("/").str[-1])
    assert by_name["emotion"].to_dict() == {
        "03a01Fa.wav": "happy",
        "03a01Nc.wav": "neutral",
        "16b10Td.WAV": "sad",
        "08b03Lc.wav": "boredom",
        "11a02E.wav": "disgust",
    }
    assert list(by_name.loc["08b03Lc.wav", ["speaker", "sex", "text"]]) == ["08", "f", "b03"]


def test_a_manifest_has_the_agreed_columns_and_order(tmp_path):
    lay_out(tmp_path / "emodb", ["wav/11a02Ea.wav", "wav/03a01Fa.wav"])
    manifest = load_manifest(tmp_path, "EmoDB")
    assert list(manifest.columns) == COLUMNS
    assert list(manifest.index) == [0, 1]
    assert [path[-11:] for path in manifest["path"]] == ["03a01Fa.wav", "11a02Ea.wav"]
    assert manifest["path"].str.startswith(str(tmp_path)).all()
    assert manifest["duration"].tolist() == [0.12, 0.12]
    assert manifest["sampling_rate"].tolist() == [8000, 8000]
    assert (manifest["corpus"] == "emodb").all()
    assert manifest.attrs["folder"] == str(tmp_path / "emodb")


def test_several_corpora_under_one_root(tmp_path):
    lay_out(tmp_path / "Berlin", ["wav/03a01Fa.wav"])
    lay_out(tmp_path / "RAVDESS", ravdess_names()[:3])
    lay_out(tmp_path / "archive (3)", emovo_names()[:3])
    lay_out(tmp_path / "My Corpus", ["angry/1.wav", "joy/deeper/2.flac"])
    (tmp_path / "pictures").mkdir()
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    (tmp_path / "readme.txt").write_text("hello")
    assert find_corpora(tmp_path) == {
        "My Corpus": tmp_path / "My Corpus",
        "emodb": tmp_path / "Berlin",
        "emovo": tmp_path / "archive (3)",
        "ravdess": tmp_path / "RAVDESS",
    }


def test_an_exact_name_wins_over_a_similar_one(tmp_path):
    lay_out(tmp_path / "emodb", ["wav/03a01Fa.wav"])
    lay_out(tmp_path / "emodb_augmented", ["wav/03a01Fa.wav", "wav/03a01Nc.wav"])
    assert find_corpora(tmp_path) == {"emodb": tmp_path / "emodb"}


def test_actors_right_under_the_root(tmp_path):
    lay_out(tmp_path, ravdess_names()[::100])
    assert find_corpora(tmp_path) == {"ravdess": tmp_path}


def test_song_folder_beside_the_speech(tmp_path):
    lay_out(tmp_path / "Audio_Song_Actors_01-24", ["Actor_01/03-02-01-01-01-01-01.wav"])
    lay_out(tmp_path / "Audio_Speech_Actors_01-24", ravdess_names()[:4])
    assert len(load_manifest(tmp_path, "ravdess")) == 4


# --- files that are not part -----------------------------------------------------------------


def test_ravdess_with_a_second_copy_of_the_whole_tree(tmp_path):
    folder = lay_out(tmp_path / "RAVDESS", ravdess_names())
    copy = folder / "audio_speech_actors_01-24"
    for actor in sorted(folder.glob("Actor_*")):
        shutil.copytree(actor, copy / actor.name)
    for root in (tmp_path, folder):
        manifest = load_manifest(root, "ravdess")
        assert counts(manifest) == PUBLISHED["ravdess"]
        kinds = Counter(problem["kind"] for problem in manifest.attrs["problems"])
        assert kinds == {"duplicate": 1440}
        assert not manifest["path"].str.contains("audio_speech").any()


def test_ravdess_file_in_another_actors_folder(tmp_path):
    folder = lay_out(tmp_path / "RAVDESS", ravdess_names())
    stem = "03-01-03-01-01-01-02.wav"
    shutil.copy(folder / "Actor_02" / stem, folder / "Actor_01" / stem)
    manifest = load_manifest(tmp_path, "ravdess")
    assert len(manifest) == 1440
    assert manifest.attrs["problems"] == [
        {
            "path": f"Actor_01/{stem}",
            "kind": "misplaced",
            "reason": f"of actor 02, in the folder of actor 01; a second copy of Actor_02/{stem}",
        }
    ]
    # Without a copy in its place, the name is believed.
    (folder / "Actor_02" / stem).unlink()
    manifest = load_manifest(tmp_path, "ravdess")
    assert len(manifest) == 1440 and manifest.attrs["problems"] == []
    assert manifest["speaker"].value_counts()["02"] == 60


def test_songs_videos_and_strangers_are_left_out(tmp_path):
    folder = lay_out(tmp_path / "RAVDESS", ravdess_names()[:10])
    lay_out(folder, ["Actor_01/03-02-01-01-01-01-01.wav", "Actor_01/notes.wav"])
    (folder / "Actor_01" / "01-01-01-01-01-01-01.mp4").write_bytes(b"video")
    manifest = load_manifest(tmp_path, "ravdess")
    assert len(manifest) == 10
    assert [(p["kind"], p["reason"]) for p in manifest.attrs["problems"]] == [
        ("extra", "of a video (modality 01 or 02)"),
        ("extra", "a song (channel 02)"),
        ("extra", "its name is not like 03-01-01-01-01-01-01"),
    ]


def test_hidden_files_are_ignored(tmp_path):
    folder = lay_out(tmp_path / "emodb", ["wav/03a01Fa.wav"])
    (folder / "wav" / "._03a01Fa.wav").write_bytes(b"resource fork")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "03a01Na.wav").write_bytes(b"resource fork")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "03a01Na.wav").write_bytes(b"cached")
    manifest = load_manifest(tmp_path, "emodb")
    assert len(manifest) == 1 and manifest.attrs["problems"] == []


def test_the_readable_one_of_two_copies_is_kept(tmp_path):
    folder = lay_out(tmp_path / "emodb", ["wav/03a01Fa.wav", "copy/wav/03a01Fa.wav"])
    (folder / "wav" / "03a01Fa.wav").write_bytes(b"")
    manifest = load_manifest(tmp_path, "emodb")
    assert manifest["path"].tolist() == [str(folder / "copy/wav/03a01Fa.wav")]


@pytest.mark.parametrize(
    ("name", "path", "reason"),
    [
        ("emodb", "wav/03a01Xa.wav", "unknown emotion letter 'X'"),
        ("emodb", "wav/99a01Fa.wav", "unknown speaker '99'"),
        ("emodb", "wav/03c77Fa.wav", "its name is not like"),
        ("savee", "AudioData/DC/x01.wav", "unknown emotion code 'x'"),
        ("savee", "AudioData/DC/a16.wav", "there is no sentence a16"),
        ("savee", "AudioData/a01.wav", "none of the corpus's speakers"),
        ("casia", "wangzhe/bored/201.wav", "unknown emotion 'bored'"),
        ("casia", "wangzhe/angry/301.wav", "sentence 301 is not among 201 to 250"),
        ("casia", "somebody/angry/201.wav", "none of the corpus's four speakers"),
        ("ravdess", "Actor_01/03-01-09-01-01-01-01.wav", "unknown emotion code '09'"),
        ("ravdess", "Actor_25/03-01-01-01-01-01-25.wav", "unknown actor '25'"),
        ("emovo", "f1/xxx-f1-b1.wav", "unknown emotion code 'xxx'"),
    ],
)
def test_what_a_name_can_not_mean_costs_the_utterance(tmp_path, name, path, reason):
    lay_out(tmp_path / name, [path, CATALOGUE[name].example])
    manifest = load_manifest(tmp_path, name)
    assert len(manifest) == 1
    (problem,) = manifest.attrs["problems"]
    assert problem["kind"] == "extra" and problem["path"] == path
    assert reason in problem["reason"]


# --- bad recordings --------------------------------------------------------------------------


def _nan():
    return np.where(np.arange(4000) == 100, np.nan, 0.1).astype("float32")


BAD = {
    "zero bytes": ("empty", lambda path: path.write_bytes(b"")),
    "text": ("unreadable", lambda path: path.write_text("this is no recording")),
    "truncated header": ("unreadable", lambda p: p.write_bytes(write_wav(p).read_bytes()[:20])),
    "no samples": ("empty", lambda path: write_wav(path, np.zeros(0))),
    "nan": ("nan", lambda path: write_wav(path, _nan(), subtype="FLOAT")),
    "infinite": ("nan", lambda path: write_wav(path, _nan() * 0 + np.inf, subtype="FLOAT")),
    "silence": ("silent", lambda path: write_wav(path, np.zeros(8000))),
    "constant": ("silent", lambda path: write_wav(path, np.full(8000, 0.25))),
    "0.05 s": ("short", lambda path: write_wav(path, noise(0.05))),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_recording_costs_one_utterance(tmp_path, fault, caplog):
    kind, spoil = BAD[fault]
    lay_out(tmp_path / "emodb", ["wav/03a01Fa.wav", "wav/03a01Nc.wav", "wav/03a01Wa.wav"])
    spoil(tmp_path / "emodb" / "wav" / "03a01Nc.wav")
    with caplog.at_level(logging.WARNING, "ctl_helpers"):
        manifest = load_manifest(tmp_path, "emodb")
    assert manifest["emotion"].tolist() == ["happy", "angry"]
    (problem,) = manifest.attrs["problems"]
    assert (problem["path"], problem["kind"]) == ("wav/03a01Nc.wav", kind)
    (record,) = caplog.records
    line = record.getMessage()
    assert "1 of 3 files" in line and "wav/03a01Nc.wav" in line and "\n" not in line


GOOD = {
    "60 s": (noise(60, 8000), 8000, {}),
    "8 kHz": (noise(0.5, 8000), 8000, {}),
    "96 kHz": (noise(0.5, 96_000), 96_000, {}),
    "stereo": (noise(0.5, 16_000, channels=2), 16_000, {}),
    "24 bit": (noise(0.5, 16_000), 16_000, {"subtype": "PCM_24"}),
    "float": (noise(0.5, 16_000), 16_000, {"subtype": "FLOAT"}),
}


@pytest.mark.parametrize("kind", GOOD)
def test_unusual_recording_is_used(tmp_path, kind):
    samples, rate, options = GOOD[kind]
    write_wav(tmp_path / "emodb" / "03a01Fa.wav", samples, rate, **options)
    manifest = load_manifest(tmp_path, "emodb")
    assert manifest["sampling_rate"].tolist() == [rate]
    assert manifest["duration"].tolist() == [pytest.approx(len(samples) / rate)]
    signal = read_audio(manifest["path"][0], 22_050)
    assert signal.dtype == np.float32 and signal.ndim == 1
    assert len(signal) == pytest.approx(len(samples) / rate * 22_050, abs=2)


def test_unicode_and_spaces_in_paths(tmp_path):
    root = tmp_path / "Ünïcode 语料 (copy)"
    lay_out(root / "emo db", ["mit Leerzeichen ü/03a01Fa.wav"])
    lay_out(root / "情感", ["angry/愤怒 1.wav", "sad/é.wav"])
    lay_out(root / "語料", ["happy/1.wav"])
    assert set(find_corpora(root)) == {"emodb", "情感", "語料"}
    assert counts(load_manifest(root, "情感")) == {"angry": 1, "sad": 1}
    assert counts(load_manifest(root, "語料")) == {"happy": 1}
    assert len(read_audio(load_manifest(root, "emodb")["path"][0], 8000)) == 960


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_no_text_costs_the_utterance(tmp_path):
    folder = lay_out(tmp_path / "mine", ["angry/1.wav"])
    (folder / "angry" / b"\xff.wav".decode(errors="surrogateescape")).write_bytes(b"")
    manifest = load_manifest(tmp_path, "mine")
    assert len(manifest) == 1
    assert manifest.attrs["problems"][0]["reason"] == "its name is not UTF-8"


def test_links_are_followed_once(tmp_path):
    lay_out(tmp_path / "disk", ["wav/03a01Fa.wav"])
    root = tmp_path / "root"
    (root / "emodb").mkdir(parents=True)
    (root / "emodb" / "wav").symlink_to(tmp_path / "disk" / "wav")
    (tmp_path / "disk" / "wav" / "again").symlink_to(root / "emodb")
    assert len(load_manifest(root, "emodb")) == 1


# --- corpora of one's own --------------------------------------------------------------------


def test_folders_by_emotion(tmp_path):
    lay_out(tmp_path / "mine", ["Anger/1.wav", "anger/b/2.WAV", "contentment/3.wav", "4.wav"])
    manifest = load_manifest(tmp_path, "Mine")
    assert list(manifest.columns) == COLUMNS
    assert counts(manifest) == {"angry": 2}
    assert set(manifest["speaker"]) | set(manifest["sex"]) | set(manifest["text"]) == {""}
    assert [p["reason"] for p in manifest.attrs["problems"]] == [
        "not in a folder named after an emotion",
        "unknown emotion 'contentment'",
    ]
    assert find_corpora(tmp_path / "mine") == {"mine": tmp_path / "mine"}


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
        ("path,speaker\na.wav,x\n", "no column 'emotion' in .*; expected path, emotion, speaker"),
        ("path,emotion\na.wav,sad\n", "no column 'speaker'"),
        ("file,emotion,speaker\na.wav,sad,x\n", "no column 'path' .* got file, emotion, speaker"),
        ("", "no column 'path', 'emotion', 'speaker'"),
        ("path,emotion,speaker\n", "no wav files"),
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


# --- what is not there -----------------------------------------------------------------------


def test_root_that_is_not_there(tmp_path):
    with pytest.raises(StudyError, match="no such folder; expected a folder of corpora"):
        find_corpora(tmp_path / "nowhere")
    file = write_wav(tmp_path / "a.wav")
    with pytest.raises(StudyError, match="not a folder"):
        load_manifest(file, "emodb")


def test_empty_root(tmp_path):
    with pytest.raises(StudyError, match="the folder is empty; expected"):
        find_corpora(tmp_path)


def test_root_without_corpora(tmp_path):
    (tmp_path / "pictures").mkdir()
    write_wav(tmp_path / "music" / "song.wav")
    with pytest.raises(StudyError, match="no corpus found; expected"):
        load_manifest(tmp_path, "emodb")


def test_corpus_that_is_not_under_the_root(tmp_path):
    lay_out(tmp_path / "EMOVO", emovo_names()[:2])
    with pytest.raises(StudyError) as error:
        load_manifest(tmp_path, "emodb")
    assert str(error.value) == (
        f"no corpus 'emodb' under {tmp_path} (found: emovo); "
        f"expected {tmp_path}/emodb/wav/03a01Fa.wav"
    )


def test_corpus_without_recordings(tmp_path):
    (tmp_path / "emodb").mkdir()
    with pytest.raises(StudyError) as error:
        load_manifest(tmp_path, "emodb")
    folder = tmp_path / "emodb"
    assert str(error.value) == (
        f"corpus 'emodb': no wav files under {folder}; expected {folder}/wav/03a01Fa.wav"
    )


def test_corpus_with_nothing_of_use(tmp_path):
    write_wav(tmp_path / "emodb" / "song.wav")
    with pytest.raises(StudyError, match=r"none of 1 files .* song\.wav: its name is not like"):
        load_manifest(tmp_path, "emodb")


# --- reading ---------------------------------------------------------------------------------


def test_read_audio_averages_channels_and_keeps_the_scale(tmp_path):
    samples = noise(0.3, 22_050, channels=2)
    path = write_wav(tmp_path / "a.wav", samples, 22_050, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path, 22_050), samples.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000, 96_000])
def test_read_audio_resamples_a_tone_to_the_same_tone(tmp_path, rate):
    def tone(at):
        return 0.5 * np.sin(2 * np.pi * 440 * np.arange(at) / at)

    path = write_wav(tmp_path / "a.flac", tone(rate), rate, subtype="PCM_24")
    signal = read_audio(path, 22_050)
    assert len(signal) == 22_050
    np.testing.assert_allclose(signal[2000:-2000], tone(22_050)[2000:-2000], atol=2e-3)


@pytest.mark.parametrize("fault", ["zero bytes", "text", "truncated header", "no samples", "nan"])
def test_read_audio_names_the_bad_file(tmp_path, fault):
    path = tmp_path / "a.wav"
    BAD[fault][1](path)
    with pytest.raises(StudyError) as error:
        read_audio(path, 22_050)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_read_audio_of_a_file_that_is_not_there(tmp_path):
    with pytest.raises(StudyError, match=r"nowhere\.wav"):
        read_audio(tmp_path / "nowhere.wav", 22_050)


# --- the real corpora ------------------------------------------------------------------------


@needs_shared
@pytest.mark.parametrize("name", ["emodb", "casia"])
def test_real_corpus(name):
    manifest = load_manifest(SHARED / "corpora", name)
    assert counts(manifest) == PUBLISHED[name]
    assert manifest.attrs["problems"] == []
    assert dict(Counter(manifest["speaker"])) == CATALOGUE[name].speaker_counts
    assert manifest["path"].is_unique and manifest["path"].is_monotonic_increasing
    first = soundfile.info(manifest["path"][0])
    assert manifest["duration"][0] == first.duration
