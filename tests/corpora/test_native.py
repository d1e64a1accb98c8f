import shutil
from collections import Counter

import pytest
from conftest import lay_out, noise, write_wav
from layouts import PUBLISHED, casia_names, counts, emovo_names, ravdess_names, savee_names

from ctl_helpers.corpora import CATALOGUE, audit, find_corpora, load_manifest
from ctl_helpers.errors import StudyError
from ctl_helpers.protocols import make_splits

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
    assert set(find_corpora(tmp_path / folder)) == {name}
    if layout == name:
        assert len(load_manifest(tmp_path / folder, name)) == len(names)


def test_sentences_of_savee_are_not_told_apart_by_their_numbers(tmp_path):
    lay_out(tmp_path / "savee", savee_names()[::20])
    manifest = load_manifest(tmp_path, "savee")
    with pytest.raises(
        StudyError, match="'sentences': expected a text for every utterance, got 24 of"
    ):
        make_splits(manifest, "sentences")


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


EMODB = ["03a01Fa.wav", "03a01Nc.wav", "16b10Td.wav", "08b03Lc.wav"]


@pytest.mark.parametrize("kept", ["wav", "", "download/wav"])
def test_the_folder_that_the_layout_names_wins(tmp_path, kept):
    folder = tmp_path / "emodb"
    lay_out(folder / kept, EMODB)
    for seed, other in enumerate(("augmented", "laryngo", "noisy", "wav16k"), start=1):
        for number, name in enumerate([*EMODB, "09a01Ea.wav"]):
            write_wav(folder / other / name, noise(0.12, seed=10 * seed + number))
    manifest = load_manifest(tmp_path, "emodb")
    assert sorted(manifest["path"]) == sorted(str(folder / kept / name) for name in EMODB)
    assert [(p["path"], p["kind"]) for p in manifest.attrs["problems"]] == [
        *(("augmented", "folder"), ("laryngo", "folder"), ("noisy", "folder"), ("wav16k", "folder"))
    ]
    reason = manifest.attrs["problems"][0]["reason"]
    assert reason == f"5 files with other signals under the names of {kept or '.'}"


def test_a_lone_folder_named_like_one_of_changed_copies_is_noted(tmp_path):
    lay_out(tmp_path / "emodb" / "laryngo", EMODB)
    manifest = load_manifest(tmp_path, "emodb")
    assert len(manifest) == 4
    assert [(n["path"], n["kind"]) for n in manifest.attrs["notes"]] == [("laryngo", "folder")]


def test_same_signals_in_another_folder_are_second_copies(tmp_path):
    for folder in ("a", "wav"):
        lay_out(tmp_path / "emodb" / folder, EMODB)
    manifest = load_manifest(tmp_path, "emodb")
    assert manifest["utterance"].str.startswith("wav/").all() and len(manifest) == 4
    assert {p["kind"] for p in manifest.attrs["problems"]} == {"duplicate"}


def test_halves_of_a_corpus_in_two_folders_are_one(tmp_path):
    names = ravdess_names()[::60]
    lay_out(tmp_path / "RAVDESS" / "part 1", names[:12])
    lay_out(tmp_path / "RAVDESS" / "part 2", names)
    for name in names[:12]:
        (tmp_path / "RAVDESS" / "part 2" / name).unlink()
    assert len(load_manifest(tmp_path, "ravdess")) == 24


def test_unpublished_utterances_of_emodb_are_an_option(tmp_path):
    lay_out(tmp_path / "emodb" / "wav", [*EMODB, "03a01Fb.wav", "16b10Ta.wav"])
    manifest = load_manifest(tmp_path, "emodb")
    assert len(manifest) == 4
    assert [(p["path"], p["kind"]) for p in manifest.attrs["problems"]] == [
        ("wav/03a01Fb.wav", "unpublished"),
        ("wav/16b10Ta.wav", "unpublished"),
    ]
    assert len(load_manifest(tmp_path, "emodb", unpublished=True)) == 6
    assert audit(tmp_path, "emodb").line.startswith("emodb: 4 of 535 utterances")
    assert audit(tmp_path, "emodb", unpublished=True).line.startswith("emodb: 6 utterances")


def test_published_utterances_of_emodb_are_535():
    published = CATALOGUE["emodb"].published
    assert len(published) == 535
    emotions = Counter(identity.split("/")[1] for identity in published)
    assert emotions == PUBLISHED["emodb"]


def test_emodb_file_in_another_emotions_folder_is_noted(tmp_path):
    lay_out(tmp_path / "emodb", ["Wut/03a01Wa.wav", "Wut/03a01Fa.wav"])
    manifest = load_manifest(tmp_path, "emodb")
    assert manifest["emotion"].tolist() == ["happy", "angry"]
    assert manifest.attrs["notes"] == [
        {
            "path": "Wut/03a01Fa.wav",
            "kind": "misplaced",
            "reason": "named happy, in the folder Wut",
        }
    ]


def test_a_label_map_of_other_words_leaves_a_known_corpus_as_it_is(tmp_path):
    lay_out(tmp_path / "emodb", ["wav/03a01Fa.wav", "wav/03a01Wa.wav", "wav/03a04Ad.wav"])
    others = {"annoyed": "annoyed", "anxious": "", "f": "delighted", "fear": "afraid"}
    manifest = load_manifest(tmp_path, "emodb", labels=others)
    assert counts(manifest) == {"delighted": 1, "angry": 1, "afraid": 1}
    idle = [note["reason"] for note in manifest.attrs["notes"] if note["kind"] == "label"]
    assert idle == [
        f"the label map has {word!r}, which no utterance has" for word in ("annoyed", "anxious")
    ]


def test_labels_are_mapped(tmp_path):
    lay_out(tmp_path / "IEMOCAP", [f"{c}/Ses01F_impro01_F00{i}.wav" for i, c in enumerate(
        ("ang", "exc", "hap", "fru", "xxx"))])  # fmt: skip
    plain = load_manifest(tmp_path, "iemocap")
    assert counts(plain) == {"angry": 1, "excited": 1, "happy": 1, "frustrated": 1}
    merged = load_manifest(tmp_path, "iemocap", labels={"excited": "happy", "frustrated": ""})
    assert counts(merged) == {"angry": 1, "happy": 2}
    assert [p["reason"] for p in merged.attrs["problems"]] == [
        "left out by the label map",
        "unknown emotion 'xxx'",
    ]


@pytest.mark.parametrize(
    ("folder", "name", "files", "rows"),
    [
        (
            "TESS Toronto emotional speech set data",
            "tess",
            ["OAF_Fear/OAF_back_fear.wav", "YAF_pleasant_surprised/YAF_bar_ps.wav"],
            [("fear", "OAF", "back"), ("surprise", "YAF", "bar")],
        ),
        (
            "CREMA-D",
            "cremad",
            ["AudioWAV/1001_DFA_ANG_XX.wav", "AudioWAV/1002_IEO_HAP_HI.wav"],
            [("angry", "1001", "dfa"), ("happy", "1002", "ieo")],
        ),
        (
            "Emotion Speech Dataset",
            "esd",
            ["0011/Angry/0011_000351.wav", "0012/Neutral/train/0012_000001.wav"],
            [("angry", "0011", "1"), ("neutral", "0012", "1")],
        ),
    ],
)
def test_further_corpora_are_found_and_read(tmp_path, folder, name, files, rows):
    lay_out(tmp_path / folder, files)
    assert set(find_corpora(tmp_path)) == {name}
    manifest = load_manifest(tmp_path, name)
    found = manifest[["emotion", "speaker", "text"]].itertuples(index=False, name=None)
    assert list(found) == rows


TURNS = {"F000": "neu", "M000": "xxx", "F001": "exc", "M001": "oth", "M002": "fru"}


@pytest.mark.parametrize("name", ["IEMOCAP_full_release", "some name"])
@pytest.mark.parametrize("below", [False, True])
def test_iemocap_as_it_is_distributed(tmp_path, name, below):
    folder = tmp_path / name
    dialogues = {"Session1": "Ses01F_impro01", "Session2": "Ses02M_script01_1b"}
    files = [
        f"{session}/sentences/wav/{dialogue}/{dialogue}_{turn}.wav"
        for session, dialogue in dialogues.items()
        for turn in TURNS
    ]
    lay_out(folder, [*files, "Session1/dialog/wav/Ses01F_impro01.wav"])
    for session, dialogue in dialogues.items():
        lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
        for second, (turn, code) in enumerate(TURNS.items()):
            lines.append(f"[{second}.29 - {second}.85]\t{dialogue}_{turn}\t{code}\t[2.5, 2.5, 2.5]")
            lines += ["C-E2:\tNeutral;\t()", "A-E3:\tval 3; act 2; dom  2;\t()", ""]
        labels = folder / session / "dialog" / "EmoEvaluation"
        (labels / "Categorical").mkdir(parents=True)
        (labels / f"{dialogue}.txt").write_text("\n".join(lines))
        (labels / f"._{dialogue}.txt").write_bytes(b"\0\xff[1 - 2]\ta\tb")
        (labels / "Categorical" / f"{dialogue}_e2_cat.txt").write_text("nothing of use")
    (folder / "Session2").rename(tmp_path.parent / f"{tmp_path.name}-elsewhere")
    (folder / "Session2").symlink_to(tmp_path.parent / f"{tmp_path.name}-elsewhere")
    root = folder if below else tmp_path
    manifest = load_manifest(root, "iemocap")
    rows = manifest[["emotion", "speaker", "sex", "text"]].values.tolist()
    assert rows == [
        *(["neutral", "01F", "f", "impro01"], ["excited", "01F", "f", "impro01"]),
        *(["frustrated", "01M", "m", "impro01"], ["neutral", "02F", "f", "script01_1"]),
        *(["excited", "02F", "f", "script01_1"], ["frustrated", "02M", "m", "script01_1"]),
    ]
    assert [problem["reason"] for problem in manifest.attrs["problems"]] == [
        "its name is not like Ses01F_impro01_F000",
        *(["unknown emotion 'xxx'", "unknown emotion 'oth'"] * 2),
    ]
    merged = load_manifest(root, "iemocap", labels={"exc": "happy", "frustrated": ""})
    assert counts(merged) == {"happy": 2, "neutral": 2}
    labels = folder / "Session1" / "dialog" / "EmoEvaluation" / "Ses01F_impro01.txt"
    labels.unlink()
    labels.symlink_to("nowhere")  # costs its dialogue
    manifest = load_manifest(root, "iemocap")
    assert set(manifest["text"]) == {"script01_1"}
    reason = "a file of labels that cannot be read (No such file or directory)"
    problems = manifest.attrs["problems"]
    said = [one["path"] for one in problems if one["reason"] == reason]
    assert len(said) == 1 and said[0].endswith("/EmoEvaluation/Ses01F_impro01.txt")
    without = [one["path"] for one in problems if one["reason"].startswith("no line of Emo")]
    assert len(without) == len(TURNS) and all("Ses01F_impro01_" in path for path in without)


@pytest.mark.parametrize("below", ["", "wav", "Session1/sentences/wav/Ses01F_impro01"])
def test_where_the_emotions_of_iemocap_are_looked_for_is_said(tmp_path, below):
    lay_out(tmp_path / "IEMOCAP" / below, [f"Ses01F_impro01_{turn}.wav" for turn in TURNS])
    with pytest.raises(
        StudyError, match=r"looked for in EmoEvaluation/\*\.txt and in names of fol"
    ):
        load_manifest(tmp_path, "iemocap")
