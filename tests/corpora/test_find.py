import logging
import os

import pytest
from conftest import lay_out, write_wav
from layouts import casia_names, counts, emovo_names, ravdess_names, savee_names

from ctl_helpers.cli import main
from ctl_helpers.corpora import find_corpora, load_manifest
from ctl_helpers.errors import StudyError


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


@pytest.mark.parametrize("copy", ["ravdess_noisy", "Augmented RAVDESS", "ravdess 16k"])
def test_a_corpus_comes_before_changed_copies_of_it(tmp_path, copy, caplog):
    for folder in (copy, "ravdess_original"):
        lay_out(tmp_path / folder, ravdess_names()[:3])
    assert find_corpora(tmp_path) == {"ravdess": tmp_path / "ravdess_original"}
    assert f"not understood: {copy} (" in caplog.text


@pytest.mark.parametrize("root", ["", "mine"])
@pytest.mark.parametrize("others", [[], ["Berlin/wav/03a01Fa.wav"]])
def test_a_table_of_ones_own_wins_over_names_like_those_of_a_known_corpus(tmp_path, root, others):
    lay_out(tmp_path, ["mine/03a01Wa.wav", "mine/08b02Na.wav", *others])
    (tmp_path / "mine" / "manifest.csv").write_text(
        "path,emotion\n03a01Wa.wav,happy\n08b02Na.wav,sad\n"
    )
    known = {"emodb"} if others and not root else set()
    assert find_corpora(tmp_path / root).keys() == {"mine"} | known
    assert [*load_manifest(tmp_path / root, "mine")["emotion"]] == ["happy", "sad"]


@pytest.mark.parametrize("known", [{}, {"emodb": "Berlin/wav/03a01Fa.wav"}])
@pytest.mark.parametrize("folder", ["mine", "my esd"])
def test_a_table_beside_its_folder_wins_over_names_like_those_of_a_known_corpus(
    tmp_path, folder, known
):
    names = [f"{folder}/0001_000001.wav", f"{folder}/0002_000038.wav"]
    lay_out(tmp_path, [*names, *known.values()])
    rows = f"path,emotion\n{folder}/0001_000001.wav,angry\n{folder}/0002_000038.wav,sad\n"
    (tmp_path / f"{folder}.csv").write_text(rows)
    assert find_corpora(tmp_path).keys() == {folder, *known}
    assert load_manifest(tmp_path, folder)["emotion"].tolist() == ["angry", "sad"]


def test_tables_that_a_corpus_comes_with_do_not_take_its_place(tmp_path):
    lay_out(tmp_path / "EmoDB 2.0", ["wav/03a01Fa.wav", "wav/08a01Na.wav"])
    rows = "file,emotion\nwav/03a01Fa.wav,angry\nwav/08a01Na.wav,sad\n"
    (tmp_path / "EmoDB 2.0" / "db.emotion.csv").write_text(rows)
    for root in (tmp_path, tmp_path / "EmoDB 2.0"):
        assert set(find_corpora(root)) == {"emodb"}
        assert load_manifest(root, "emodb")["emotion"].tolist() == ["happy", "neutral"]


def test_names_that_differ_in_case_or_signs_alone_are_two_corpora(tmp_path):
    names = ["Mine", "mine", "set 1", "set-1"]
    for name in names:
        lay_out(tmp_path / name, ["angry/1.wav"])
    folders = [load_manifest(tmp_path, name).attrs["folder"] for name in names]
    assert folders == [str(tmp_path / name) for name in names]
    assert load_manifest(tmp_path, "SET1")["corpus"].unique() == ["set 1"]


def test_a_folder_that_happens_to_be_called_like_an_emotion_can_be_passed_over(tmp_path):
    lay_out(tmp_path / "mine", ["angry/normal/1.wav", "sad/normal/2.wav", "sad/strong/3.wav"])
    found = load_manifest(tmp_path, "mine")
    (reason,) = {problem["reason"].split(" ", 3)[-1] for problem in found.attrs["problems"]}
    assert len(found) == 1 and "--emotions FOLDER:" in reason
    assert len(load_manifest(tmp_path, "mine", labels={"normal": ""})) == 3


def test_actors_right_under_the_root(tmp_path):
    lay_out(tmp_path, ravdess_names()[::100])
    assert find_corpora(tmp_path) == {"ravdess": tmp_path}


LOOSE = {
    "ravdess": ravdess_names()[:120],
    "casia": casia_names()[:600],
    "savee": savee_names()[:240],
}


@pytest.mark.parametrize("known", LOOSE)
def test_what_lies_beside_a_corpus_right_under_the_root_is_found_or_named(tmp_path, caplog, known):
    others = ["mine/201.wav", "clips/1.wav", "sorted/angry/201.wav", "mystery/a.wav"]
    lay_out(tmp_path, [*LOOSE[known], *others, "EMOVO/f1/dis-f1-b1.wav"])
    (tmp_path / "mine" / "manifest.csv").write_text("path,emotion\n201.wav,sad\n")
    (tmp_path / "clips.csv").write_text("path,emotion\nclips/1.wav,fear\n")
    with caplog.at_level(logging.WARNING, "ctl_helpers"):
        found = find_corpora(tmp_path)
    assert found[known] == tmp_path
    assert found.keys() == {known, "mine", "clips", "sorted", "emovo"}
    assert "not understood: mystery (" in caplog.text
    manifest = load_manifest(tmp_path, known)
    assert len(manifest) == len(LOOSE[known]) and not manifest.attrs["problems"]
    own = {name: load_manifest(tmp_path, name)["emotion"].item() for name in found.keys() - {known}}
    assert own == {"mine": "sad", "clips": "fear", "sorted": "angry", "emovo": "disgust"}


@pytest.mark.parametrize("listed", [1, 2])
def test_a_table_of_recordings_of_a_known_corpus_takes_none_of_them(tmp_path, listed, caplog):
    names = [
        f"Actor_0{actor}/03-01-0{code}-01-01-01-0{actor}.wav" for actor in (1, 2) for code in "34"
    ]
    lay_out(tmp_path / "data", names)
    rows = [f"{name},angry" for name in names if int(name[7]) <= listed]
    (tmp_path / "data" / "pilot.csv").write_text("\n".join(["path,emotion", *rows]))
    assert set(find_corpora(tmp_path / "data")) == {"ravdess"}
    assert counts(load_manifest(tmp_path / "data", "ravdess")) == {"happy": 2, "sad": 2}


def test_names_that_are_not_utf_8_can_be_shown(tmp_path):
    lay_out(tmp_path / "mine", ["angry/1.wav", "happy/2.wav"])
    for name, kind in ((b"k\xf6ln.zip", "archive"), (b"k\xf6ln", "link")):
        place = os.fsdecode(os.fsencode(tmp_path / "mine") + b"/" + name)
        open(place, "w").close() if kind == "archive" else os.symlink("nowhere", place)
    manifest = load_manifest(tmp_path, "mine")
    said = manifest.attrs["notes"] + manifest.attrs["problems"]
    assert {one["kind"] for one in said} == {"archive", "link"}
    assert [one["path"].encode() for one in said] == [rb"k\udcf6ln.zip", rb"k\udcf6ln"]


def test_two_corpora_right_under_the_root_do_not_count_each_other(tmp_path):
    lay_out(tmp_path, [*ravdess_names()[:120], *emovo_names()[:196], "loose.wav"])
    assert find_corpora(tmp_path) == {"emovo": tmp_path, "ravdess": tmp_path}
    for name, size in {"emovo": 196, "ravdess": 120}.items():
        manifest = load_manifest(tmp_path, name)
        assert len(manifest) == size
        assert [one["path"] for one in manifest.attrs["problems"]] == ["loose.wav"]


def test_a_table_in_the_folder_of_a_known_corpus_is_noted(tmp_path):
    root = lay_out(tmp_path / "berlin", ["wav/03a01Fa.wav", "wav/08a01Na.wav"])
    (root / "labels.csv").write_text("path,emotion\nwav/03a01Fa.wav,sad\n")
    for place in (tmp_path, root):
        assert set(find_corpora(place)) == {"emodb"}
        (note,) = load_manifest(place, "emodb").attrs["notes"]
        assert note["path"] == "labels.csv" and "save it as manifest.csv" in note["reason"]


def test_song_folder_beside_the_speech(tmp_path):
    lay_out(tmp_path / "Audio_Song_Actors_01-24", ["Actor_01/03-02-01-01-01-01-01.wav"])
    lay_out(tmp_path / "Audio_Speech_Actors_01-24", ravdess_names()[:4])
    assert len(load_manifest(tmp_path, "ravdess")) == 4


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


def test_archives_that_are_still_packed_are_named(tmp_path):
    (tmp_path / "ravdess").mkdir()
    (tmp_path / "ravdess" / "Audio_Speech_Actors_01-24.ZIP").touch()
    with pytest.raises(StudyError, match=r"be unpacked: Audio_Speech_Actors_01-24\.ZIP$"):
        load_manifest(tmp_path, "ravdess")
    with pytest.raises(StudyError, match=r"expected .*be unpacked: Audio.*ZIP$"):
        find_corpora(tmp_path / "ravdess")
    lay_out(tmp_path / "EMOVO", emovo_names()[:2])
    for name in ("a.tar.gz", "b.zip"):
        (tmp_path / name).touch()
    with pytest.raises(StudyError, match=r"no corpus 'tess' .*be unpacked: a\.tar\.gz and 2 more$"):
        load_manifest(tmp_path, "tess")


def test_corpus_with_nothing_of_use(tmp_path):
    write_wav(tmp_path / "emodb" / "song.wav")
    with pytest.raises(StudyError, match=r"none of 1 files .* song\.wav: its name is not like"):
        load_manifest(tmp_path, "emodb")


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        *(("EmoDB 2.0", True), ("Berlin_EmoDB", True), ("emodb2", True), ("my emodb copy", True)),
        ("The Berlin Database of the Emotional Speech of Ten German Actors (EmoDB)", True),
        *(("TurkishEmoDB", False), ("memodb", False), ("berliner", False)),
    ],
)
def test_names_of_folders_are_matched_as_whole_words(tmp_path, folder, found):
    # Half of the names are those of EmoDB: less than what is known without the folder's name.
    lay_out(tmp_path / folder, ["angry/03a01Wa.wav", *(f"angry/{n}.wav" for n in "abc")])
    assert find_corpora(tmp_path) == {"emodb" if found else folder: tmp_path / folder}


def test_a_folder_named_like_a_corpus_with_other_files(tmp_path):
    lay_out(tmp_path / "Turkish EmoDB", ["kızgın/a.wav", "mutlu/b.wav"])
    assert find_corpora(tmp_path) == {"Turkish EmoDB": tmp_path / "Turkish EmoDB"}


@pytest.mark.parametrize("place", ["mine", ""])
def test_folders_by_emotion_in_words_of_your_own_are_a_corpus(tmp_path, place):
    root = tmp_path / "speech"
    lay_out(root / place, ["grr/a.wav", "grr/b.wav", "yay/c.wav"])
    labels = {"grr": "angry", "yay": "happy"}
    name = place or "speech"
    assert find_corpora(root, labels=labels) == {name: root / place}
    emotions = load_manifest(root, name, labels=labels)["emotion"]
    assert emotions.tolist() == ["angry", "angry", "happy"]


def test_a_root_above_the_working_directory_has_the_name_of_its_folder(tmp_path, monkeypatch):
    root = tmp_path / "speech"
    lay_out(root, ["angry/a.wav", "sad/b.wav"])
    monkeypatch.chdir(root / "sad")
    assert find_corpora("..") == {"speech": root}


def test_rows_without_a_path_hide_nothing_that_is_not_understood(tmp_path, caplog):
    lay_out(tmp_path, ["files/a.wav", "files/b.wav", "mystery/c.wav"])
    rows = "path,emotion\nfiles/a.wav,sad\nfiles/b.wav,angry\n,sad\n/elsewhere/1.wav,sad\n"
    (tmp_path / "mine.csv").write_text(rows)
    assert set(find_corpora(tmp_path)) == {"mine"}
    assert "not understood: mystery" in caplog.text


@pytest.mark.parametrize("most", ["Crema", "Savee"])
def test_several_corpora_in_one_folder_below_the_root(tmp_path, caplog, most):
    archive = tmp_path / "archive"  # as Kaggle packs four of them
    names = [f"Crema/{1001 + i}_DFA_HAP_XX.wav" for i in range(60 if most == "Crema" else 6)]
    names += [f"Savee/{name}" for name in savee_names()[: 60 if most == "Savee" else 6]]
    lay_out(archive, names)
    expected = {"cremad": archive / "Crema", "savee": archive / "Savee"}
    assert find_corpora(archive) == find_corpora(tmp_path) == expected
    lay_out(tmp_path / "strange", ["one.wav"])
    lay_out(archive / "odd", ["one.wav"])
    lay_out(tmp_path / "SAVEE", savee_names()[:9])
    lay_out(tmp_path / "mine", ["happy/1.wav", "sad/2.wav"])
    expected |= {"savee": tmp_path / "SAVEE", "mine": tmp_path / "mine"}
    assert find_corpora(tmp_path) == expected
    assert "not understood: strange" in caplog.text and "not understood: odd" in caplog.text
    assert f"there twice, not used: {archive / 'Savee'}" in caplog.text
    assert len(load_manifest(tmp_path, "savee")) == 9
    assert len(load_manifest(tmp_path, "cremad")) == (60 if most == "Crema" else 6)


def test_a_folder_of_corpora_that_a_table_lists_is_one_and_beside_a_loose_one_no_part(tmp_path):
    both = [f"Crema/{1001 + i}_DFA_HAP_XX.wav" for i in range(3)] + ["Savee/DC_a01.wav"]
    lay_out(tmp_path / "listed" / "mine", both)
    rows = "".join(f"mine/{name},sad\n" for name in both)
    (tmp_path / "listed" / "mine.csv").write_text("path,emotion\n" + rows)
    assert list(find_corpora(tmp_path / "listed")) == ["mine"]
    assert len(load_manifest(tmp_path / "listed", "mine")) == 4
    loose = [name for name in ravdess_names() if "Actor_01" in name or "Actor_02" in name]
    names = [f"archive/Ravdess/{name}" for name in ravdess_names()[-3:]]
    lay_out(tmp_path / "loose", [*loose, *names, *(f"archive/{name}" for name in both)])
    places = find_corpora(tmp_path / "loose")
    assert places["ravdess"] == tmp_path / "loose" and {"cremad", "savee"} < places.keys()
    manifest = load_manifest(tmp_path / "loose", "ravdess")
    assert len(manifest) == len(loose) and not manifest.attrs["problems"]


def test_what_is_not_understood_is_named(tmp_path, caplog):
    lay_out(tmp_path / "emodb", ["wav/03a01Fa.wav"])
    lay_out(tmp_path, ["mystery/a.wav", "music/b.wav", "loose.wav"])
    (tmp_path / "pictures").mkdir()
    (tmp_path / "notes.csv").write_text("day,weather\n1,rain\n")
    with caplog.at_level(logging.WARNING, "ctl_helpers"):
        assert set(find_corpora(tmp_path)) == {"emodb"}
    (record,) = caplog.records
    assert "not understood: loose.wav, music, mystery, notes.csv" in record.getMessage()
    assert "<emotion>/*.wav" in record.getMessage()
    with pytest.raises(StudyError, match=r"not understood: loose\.wav, music, mystery, notes\.csv"):
        load_manifest(tmp_path, "mystery")


def test_recordings_that_are_not_read_are_named(tmp_path, caplog):
    lay_out(tmp_path, ["mine/sad/1.wav", "mine/angry/2.wav"])
    for name in ("mine/happy/3.m4a", "mine/happy/4.SPH", "phone/sad/5.amr", "clip.webm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"sound")
    with caplog.at_level(logging.WARNING, "ctl_helpers"):
        assert set(find_corpora(tmp_path)) == {"mine"}
    assert "not understood: clip.webm, phone (" in caplog.text and "read are .wav" in caplog.text
    problems = load_manifest(tmp_path, "mine").attrs["problems"]
    assert [(p["path"], p["reason"][:16]) for p in problems] == [
        ("happy/3.m4a", ".m4a is not read"),
        ("happy/4.SPH", ".SPH is not read"),
    ]


@pytest.mark.parametrize("table", ["mine.csv", "Mine.tsv"])
def test_a_table_beside_the_folder_whose_files_it_names_wins(tmp_path, table, caplog):
    lay_out(tmp_path / "mine", ["sad/1.wav", "angry/2.wav"])
    (tmp_path / table).write_text("path,emotion,speaker\nmine/sad/1.wav,sad,a\n")
    with caplog.at_level(logging.WARNING, "ctl_helpers"):
        assert find_corpora(tmp_path) == {"mine": tmp_path / table}
    assert not caplog.records
    assert load_manifest(tmp_path, "mine")["speaker"].tolist() == ["a"]


def test_a_table_named_as_a_known_corpus_wins_over_the_folder_it_names(tmp_path, caplog):
    lay_out(tmp_path, ["emodb/wav/03a01Fa.wav", "emodb/wav/08a01Na.wav"])
    (tmp_path / "emodb.csv").write_text("path,emotion\nemodb/wav/03a01Fa.wav,sad\n")
    with caplog.at_level(logging.WARNING, "ctl_helpers"):
        assert find_corpora(tmp_path) == {"emodb": tmp_path / "emodb.csv"}
    assert not caplog.records
    assert load_manifest(tmp_path, "emodb")["emotion"].tolist() == ["sad"]


def test_a_table_of_other_files_is_not_that_of_the_folder(tmp_path, caplog):
    lay_out(tmp_path, ["mine/sad/1.wav", "mine/angry/2.wav"])
    (tmp_path / "mine.csv").write_text("path,emotion\nsad/1.wav,sad\n")
    with caplog.at_level(logging.WARNING, "ctl_helpers"):
        assert find_corpora(tmp_path) == {"mine": tmp_path / "mine"}
    assert "not understood: mine.csv" in caplog.text


def test_folders_whose_files_a_table_names_are_understood(tmp_path, caplog):
    lay_out(tmp_path, ["wav/1.wav", "wav/2.wav", "loose.wav"])
    (tmp_path / "mine.csv").write_text("path,emotion\nwav/1.wav,sad\nloose.wav,angry\n")
    with caplog.at_level(logging.WARNING, "ctl_helpers"):
        assert find_corpora(tmp_path) == {"mine": tmp_path / "mine.csv"}
    assert not caplog.records


def test_folders_that_are_passed_over_for_a_link_or_an_archive_are_named(tmp_path, caplog):
    root = tmp_path / "root"
    lay_out(root, ["mine/angry/1.wav", "mine/happy/2.wav"])
    (root / "mine" / "sad").symlink_to(tmp_path / "disk" / "sad")
    (root / "mine" / "afraid").symlink_to("angry")
    (root / "mine" / "boredom.zip").touch()
    (root / "ravdess").symlink_to(tmp_path / "disk" / "ravdess")
    (root / "emovo.ZIP").touch()
    (root / "mine.zip").touch()  # which is unpacked
    for place in ("lost", "packed"):
        (root / place).mkdir()
    (root / "lost" / "angry").symlink_to(tmp_path / "disk" / "angry")
    (root / "packed" / "angry.tar.gz").touch()
    manifest = load_manifest(root, "mine")
    assert manifest["utterance"].tolist() == ["angry/1.wav", "happy/2.wav"]
    assert manifest.attrs["problems"] == [
        {"path": "afraid", "kind": "link", "reason": "by a link the same folder as angry"},
        {"path": "sad", "kind": "link", "reason": f"it leads nowhere ({tmp_path}/disk/sad)"},
    ]
    assert [(one["path"], one["kind"]) for one in manifest.attrs["notes"]] == [
        ("boredom.zip", "archive")
    ]
    assert set(find_corpora(root)) == {"mine"}
    said = (
        "links that lead nowhere: ravdess; not unpacked: emovo.ZIP; not understood: lost, packed ("
    )
    assert said in caplog.text


def test_an_unreadable_folder_is_named(tmp_path, monkeypatch):
    lay_out(tmp_path / "mine", ["angry/1.wav", "sad/2.wav"])
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("sad"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    manifest = load_manifest(tmp_path, "mine")
    assert manifest.attrs["problems"] == [
        {
            "path": "sad",
            "kind": "unreadable",
            "reason": "the folder cannot be read (Permission denied)",
        }
    ]


def test_what_a_table_at_the_root_does_not_name_is_named(tmp_path, caplog):
    lay_out(tmp_path, ["wav/1.wav", "wav/2.wav", "other/angry/3.wav"])
    (tmp_path / "manifest.csv").write_text("path,emotion\nwav/1.wav,sad\nwav/2.wav,happy\n")
    assert list(find_corpora(tmp_path).values()) == [tmp_path / "manifest.csv"]
    assert "not understood: other" in caplog.text and "wav (" not in caplog.text


def test_a_manifest_that_is_a_link_to_nothing_costs_its_corpus(tmp_path):
    lay_out(tmp_path, ["good/sad/1.wav", "good/happy/2.wav", "mine/sad/3.wav", "mine/happy/4.wav"])
    (tmp_path / "mine" / "manifest.csv").symlink_to(tmp_path / "nowhere.csv")
    assert len(load_manifest(tmp_path, "good")) == 2
    with pytest.raises(StudyError, match=r"corpus 'mine': .*manifest\.csv is a link that leads no"):
        load_manifest(tmp_path, "mine")


def test_tables_and_splits_that_are_not_read_are_named(tmp_path):
    lay_out(tmp_path / "mine", ["sad/1.wav", "happy/2.wav"])
    (tmp_path / "mine" / "labels.csv").write_text("path,emotion\nsad/1.wav,angry\n")
    (note,) = load_manifest(tmp_path, "mine").attrs["notes"]
    assert (note["path"], note["kind"]) == ("labels.csv", "table")
    inside = {"mine/manifest.csv": "", "mine/metadata.csv": ""}
    for name, above in ({"mine.csv": "mine/"} | inside).items():
        text = f"path,emotion\n{above}sad/1.wav,angry\n{above}happy/2.wav,sad\n"
        (tmp_path / name).write_text(text)
    notes = load_manifest(tmp_path, "mine").attrs["notes"]
    assert [one["path"] for one in notes] == ["manifest.csv", "metadata.csv"]
    assert all(one["reason"].endswith("not read: mine.csv is") for one in notes)
    lay_out(tmp_path / "hf", ["train/1.wav", "train/2.wav", "test/3.wav"])
    rows = "file_name,label,from\n1.wav,sad,0\n2.wav,happy,1\n"
    (tmp_path / "hf" / "train" / "metadata.csv").write_text(rows)
    found = load_manifest(tmp_path, "hf")
    assert len(found) == 2
    assert [one["path"] for one in found.attrs["problems"]] == ["test"]
    assert "'from' is not read" in found.attrs["notes"][0]["reason"]


def test_what_predict_wrote_is_no_corpus(tmp_path):
    lay_out(tmp_path / "mine", ["sad/1.wav", "happy/2.wav"])
    rows = "file,emotion,happy,sad\nmine/sad/1.wav,happy,0.7,0.3\n"
    (tmp_path / "predicted.csv").write_text(rows)
    assert set(find_corpora(tmp_path)) == {"mine"}


@pytest.mark.parametrize("name", ["splits.csv", "mine/metadata.csv"])
def test_what_splits_wrote_is_no_corpus(tmp_path, capsys, name):
    lay_out(
        tmp_path / "mine", [f"{emotion}/{n}.wav" for emotion in ("sad", "happy") for n in "123"]
    )
    assert main(["splits", "--corpora", str(tmp_path), "--protocols", "kfold", "--folds", "2"]) == 0
    (tmp_path / name).write_text(capsys.readouterr().out)
    assert find_corpora(tmp_path) == {"mine": tmp_path / "mine"}
    assert len(load_manifest(tmp_path, "mine")) == 6


def test_a_manifest_that_was_saved_is_a_table_of_its_utterances(tmp_path):
    lay_out(tmp_path / "mine", ["sad/1.wav", "happy/2.wav"])
    manifest = load_manifest(tmp_path, "mine")
    manifest.to_csv(tmp_path / "saved.csv", index=False)
    assert load_manifest(tmp_path, "saved")["digest"].tolist() == manifest["digest"].tolist()


@pytest.mark.parametrize("name", ["Berlin", "Tess", "SAVEE"])
def test_a_folder_of_ones_own_may_be_called_like_a_known_corpus(tmp_path, name):
    lay_out(tmp_path / name, ["sad/1.wav", "sad/2.wav", "happy/3.wav"])
    lay_out(tmp_path / "emodb", ["wav/03a01Fa.wav"])
    assert find_corpora(tmp_path)[name] == tmp_path / name
    assert len(load_manifest(tmp_path, name)) == 3


@pytest.mark.parametrize("name", ["Berlin", "My TESS", "Crema"])
def test_so_may_one_with_a_table_unless_its_files_are_named_as_the_corpus_names_them(
    tmp_path, name
):
    lay_out(tmp_path / name, ["000.wav", "001.wav"])
    table = tmp_path / name / "manifest.csv"
    table.write_text("path,emotion\n000.wav,sad\n001.wav,happy\n")
    for root in (tmp_path, tmp_path / name):
        assert set(find_corpora(root)) == {name}
        manifest = load_manifest(root, name)
        assert [*manifest["corpus"]] == [name, name] and [*manifest["emotion"]] == ["sad", "happy"]
    table.unlink()
    rows = f"path,emotion\n{name}/000.wav,fear\n{name}/001.wav,sad\n"
    (tmp_path / "labels.csv").write_text(rows)
    assert load_manifest(tmp_path, "labels")["emotion"].tolist() == ["fear", "sad"]
    assert set(find_corpora(tmp_path)) == {"labels"}
    other = tmp_path / "EmoDB 2.0"
    lay_out(other, ["wav/03a01Fa.wav"])
    (other / "manifest.csv").write_text("path,emotion\nwav/03a01Fa.wav,sad\n")
    assert find_corpora(tmp_path)["emodb"] == other / "manifest.csv"


def test_a_folder_of_ones_own_with_the_very_name_of_a_known_corpus_is_told_so(tmp_path):
    lay_out(tmp_path / "savee", ["sad/1.wav", "happy/3.wav"])
    with pytest.raises(StudyError, match="another corpus, give its folder another name"):
        load_manifest(tmp_path, "savee")


def test_names_of_corpora_have_no_signs_that_pairs_have(tmp_path, caplog):
    for folder in ("one+two", "three:four"):
        lay_out(tmp_path / folder, ["sad/1.wav", "happy/2.wav"])
    assert set(find_corpora(tmp_path)) == {"one-two", "three-four"}
    assert set(load_manifest(tmp_path, "one+two")["corpus"]) == {"one-two"}
    lay_out(tmp_path / "one-two", ["sad/3.wav", "happy/4.wav"])
    assert find_corpora(tmp_path)["one-two"] == tmp_path / "one-two"
    assert "not understood: one+two" in caplog.text


def test_tables_in_forms_that_are_not_read_are_named(tmp_path, caplog):
    lay_out(tmp_path / "mine", ["sad/1.wav", "happy/2.wav"])
    for place in ("labels.xlsx", "mine/labels.jsonl"):
        (tmp_path / place).write_bytes(b"PK")
    assert set(find_corpora(tmp_path)) == {"mine"}
    assert "not understood: labels.xlsx" in caplog.text
    (note,) = load_manifest(tmp_path, "mine").attrs["notes"]
    assert (note["path"], note["kind"]) == ("labels.jsonl", "table")
    assert "save it as manifest.csv" in note["reason"]


@pytest.mark.parametrize("name", ["data/train-00000-of-00001.parquet", "train/data.arrow"])
def test_folders_of_tables_that_hold_recordings_are_named(tmp_path, caplog, name):
    lay_out(tmp_path / "mine", ["sad/1.wav", "happy/2.wav"])
    (tmp_path / "hf" / name).parent.mkdir(parents=True)
    (tmp_path / "hf" / name).write_bytes(b"PAR1")
    assert set(find_corpora(tmp_path)) == {"mine"}
    assert "not understood: hf (" in caplog.text


def test_a_manifest_in_capital_letters_is_read(tmp_path):
    lay_out(tmp_path / "mine", ["sad/1.wav", "sad/2.wav"])
    (tmp_path / "mine" / "Manifest.CSV").write_text("path|emotion\nsad/1.wav|angry\n")
    assert load_manifest(tmp_path, "mine")["emotion"].tolist() == ["angry"]
