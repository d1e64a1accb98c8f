import os
import signal
from collections import Counter
from itertools import product
from unicodedata import normalize

import numpy as np
import pytest
import soundfile
from conftest import SHARED, lay_out, needs_shared, noise, write_wav
from layouts import PUBLISHED, counts

from ctl_helpers.corpora import CATALOGUE, find_corpora, load_manifest
from ctl_helpers.corpora.signals import inspect
from ctl_helpers.errors import StudyError
from ctl_helpers.study.settings import spelled

PAIR = ("angry", "sad")

COLUMNS = [
    *("path", "corpus", "emotion", "speaker", "sex", "text", "duration", "sampling_rate"),
    *("start", "end", "utterance", "digest", "fingerprint", "version"),
]


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


def test_links_that_lead_nowhere_or_in_a_circle(tmp_path):
    folder = lay_out(tmp_path / "mine", ["rabbia/a.wav", "生气/b.Wav", "Freude/deeper/c.FLAC"])
    (folder / "rabbia" / "loop").symlink_to(folder)
    (folder / "rabbia" / "lost.wav").symlink_to(tmp_path / "nowhere.wav")
    manifest = load_manifest(tmp_path, "mine")
    assert counts(manifest) == {"angry": 2, "happy": 1}
    assert [p["kind"] for p in manifest.attrs["problems"]] == ["missing"]


def test_a_recording_whose_process_dies_is_left_out_by_name(tmp_path, monkeypatch):
    lay_out(tmp_path / "mine", ["angry/1.wav", "sad/2.wav", "sad/3.wav"])
    monkeypatch.setattr("ctl_helpers.corpora.utterances.inspect", deadly)
    manifest = load_manifest(tmp_path, "mine", jobs=2)
    assert manifest["utterance"].tolist() == ["angry/1.wav", "sad/3.wav"]
    (problem,) = manifest.attrs["problems"]
    assert problem["path"] == "sad/2.wav" and "process that reads it dies" in problem["reason"]


def deadly(item, **how):
    if item[0].endswith("2.wav"):
        os.kill(os.getpid(), signal.SIGKILL)
    return inspect(item, **how)


def test_copies_are_found_behind_a_whole_file_that_is_left_out(tmp_path):
    for number, name in enumerate(("a", "b")):
        write_wav(tmp_path / f"{name}.wav", np.roll(noise(3, 8000), 777 * number)[number * 900 :])
    signal, rate = soundfile.read(tmp_path / "b.wav")
    write_wav(tmp_path / "c.wav", 0.5 * signal, rate)
    rows = ["a.wav,,,angry", "a.wav,0.5,1.5,angry", "b.wav,,,sad", "c.wav,,,sad"]
    (tmp_path / "mine.csv").write_text("\n".join(["path,start,end,emotion", *rows]))
    manifest = load_manifest(tmp_path, "mine")
    left_out = {found["path"]: found["kind"] for found in manifest.attrs["problems"]}
    assert left_out.pop("a.wav") == "overlap" and manifest["emotion"].tolist()[0] == "angry"
    assert manifest["utterance"][0] == "a.wav[0.50-1.50]" and len(manifest) + len(left_out) == 3


def lay_out_tree(folder, lengths, seed=0):
    """Write noise of some lengths under the same names, whatever the folder."""
    for number, length in enumerate(lengths):
        path = folder / ("angry", "sad")[number % 2] / f"{number}.wav"
        write_wav(path, noise(length, seed=100 * seed + number))


LENGTHS = np.array([0.2, 0.25, 0.31, 0.38, 0.46, 0.55, 0.65])


@pytest.mark.parametrize("kept", ["wav", ""])
def test_one_of_several_folders_of_changed_copies_is_kept(tmp_path, kept, caplog):
    for seed, (name, factor) in enumerate(
        {kept: 1, "laryngo": 1, "back to front": 1, "slower": 1.25}.items()
    ):
        lay_out_tree(tmp_path / "mine" / name, LENGTHS * factor, seed)
    (tmp_path / "mine" / "laryngo" / "sad" / "1.wav").unlink()
    manifest = load_manifest(tmp_path, "mine")
    assert len(manifest) == 7 and manifest["utterance"].str.match(f"{kept}/?(angry|sad)/").all()
    assert [(p["path"], p["kind"]) for p in manifest.attrs["problems"]] == [
        *(("back to front", "folder"), ("laryngo", "folder"), ("slower", "folder"))
    ]
    reason = manifest.attrs["problems"][1]["reason"]
    assert reason == f"6 files with the names of {kept or '.'}, in proportion as long"
    assert "mine: 20 of 27 files under" in caplog.text and "left out (3 folder)" in caplog.text
    assert manifest.attrs["left_out"] == 20


def syllables(seed: int, seconds: float = 1.5) -> np.ndarray:
    """Noise that grows louder and softer, like speech, at 16 kHz."""
    rng = np.random.default_rng(seed)
    times = np.arange(int(16_000 * seconds)) / 16_000
    loudness = np.interp(times, np.arange(0, seconds + 0.1, 0.1), rng.random(int(seconds * 10) + 1))
    return 0.3 * loudness**2 * rng.standard_normal(len(times))


@pytest.mark.parametrize(("folder", "count"), [("hall", 6), ("noisy", 1)])
def test_changed_copies_of_one_length_are_told_by_their_sound(tmp_path, folder, count):
    echo = np.concatenate([[2.0], np.random.default_rng(0).standard_normal(3000) * 0.03])
    for n in range(count):
        for emotion in ("angry", "sad"):
            signal = syllables(2 * n + (emotion == "sad"))
            other = syllables(1000 + 2 * n + (emotion == "sad"))
            changed = np.convolve(signal, echo)[: len(signal)]
            for name, samples in (("a", signal), ("b", other), (folder, changed)):
                write_wav(tmp_path / "mine" / name / emotion / f"{n}.wav", samples, 16_000)
    manifest = load_manifest(tmp_path, "mine")
    assert set(manifest["utterance"].str[0]) == {"a", "b"} and len(manifest) == 4 * count
    reason = f"{2 * count} files with the names of a, their sounds alike"
    assert manifest.attrs["problems"] == [{"path": folder, "kind": "folder", "reason": reason}]


@pytest.mark.parametrize("like", ["16k/{0}/{1}/{2}", "S{0}_1Kai/{1}/{2}", "{0}/{1}/{2}_loud"])
def test_what_all_sets_are_called_makes_none_a_copy(tmp_path, like):
    for speaker, n, emotion in product((1, 2), range(4), PAIR):
        sentence = 2 * n + (emotion == "sad")  # the same of both speakers
        alike = 0.6 * syllables(sentence) + 0.4 * syllables(100 * speaker + sentence)
        name = like.format(speaker, emotion, n)
        write_wav(tmp_path / "mine" / f"{name}.wav", alike, 16_000)
    manifest = load_manifest(tmp_path, "mine")
    assert "folder" not in {problem["kind"] for problem in manifest.attrs["problems"]}


@pytest.mark.parametrize(
    "like", ["augmented/aug_{}_0.wav", "{}_pitch.wav", "pitch_{}.wav", "fast-{}.wav", "{} copy.wav"]
)
def test_changed_copies_under_other_names_are_left_out(tmp_path, like):
    for number, length in enumerate(LENGTHS + 0.4):
        folder = tmp_path / "mine" / ("angry", "sad")[number % 2]
        write_wav(folder / f"{number}.wav", noise(length, seed=number))
        write_wav(folder / like.format(number), noise(0.8 * length, seed=100 + number))
    write_wav(tmp_path / "mine" / "sad" / "99_fast.wav", noise(0.5, seed=99))  # there is no 99
    manifest = load_manifest(tmp_path, "mine")
    assert len(manifest) == len(LENGTHS) + 1
    (problem,) = manifest.attrs["problems"]
    assert problem["kind"] == "folder" and "*" in problem["path"]
    assert problem["reason"] == f"{len(LENGTHS)} files with the names of ., in proportion as long"


def test_recordings_of_one_speaker_in_a_hurry_are_kept(tmp_path):
    for number, length in enumerate(LENGTHS + 0.4):
        folder = tmp_path / "mine" / ("angry", "sad")[number % 2]
        write_wav(folder / f"{number}.wav", noise(length, seed=number))
        hurried = length * (0.6 + 0.05 * (number * 3 % 7))  # each time another
        write_wav(folder / f"{number}_fast.wav", noise(hurried, seed=100 + number))
    manifest = load_manifest(tmp_path, "mine")
    assert len(manifest) == 2 * len(LENGTHS) and not manifest.attrs["problems"]


@pytest.mark.parametrize(
    "lengths",
    [
        [LENGTHS, LENGTHS[::-1], LENGTHS[[3, 1, 0, 2, 6, 4, 5]]],
        [[0.3] * 7] * 3,  # cut to one length
        [LENGTHS[:4]] * 3,  # too few to tell
    ],
)
def test_folders_of_speakers_with_the_same_names_are_kept(tmp_path, lengths):
    for seed, (speaker, some) in enumerate(zip("abc", lengths, strict=True)):
        lay_out_tree(tmp_path / "mine" / speaker, some, seed)
    manifest = load_manifest(tmp_path, "mine")
    assert len(manifest) == sum(map(len, lengths)) and manifest.attrs["problems"] == []


def test_what_tells_an_emotion_without_its_sound_is_noted(tmp_path):
    lines = ["path,emotion,speaker"]
    for number, speaker in enumerate("aabbcc"):
        sad, rate = speaker == "c", 4000 * (2 + (number < 4))
        name = f"{number}.{'flac' if number % 2 else 'wav'}"
        write_wav(tmp_path / "own" / name, noise(0.2, rate, number), rate)
        lines.append(f"{name},{'sad' if sad else ['angry', 'happy'][number % 2]},{speaker}")
    (tmp_path / "own" / "manifest.csv").write_text("\n".join(lines))
    notes = load_manifest(tmp_path, "own").attrs["notes"]
    said = [note["reason"].split(":")[0] for note in notes if note["kind"] == "telling"]
    assert said == ["the speaker alone tells sad apart", "the sampling rate alone tells sad apart"]


@pytest.mark.parametrize(
    ("others", "noted"),
    [(["sad,", "sad,b"], ["the speaker alone tells happy, sad apart"]), (["happy,a"] * 5, [])],
)
def test_a_few_exceptions_hide_nothing_that_tells_an_emotion(tmp_path, others, noted):
    said = [*["sad,a"] * 20, *["happy,b"] * 20, *others]
    names = [f"{at}.wav" for at in range(len(said))]
    lay_out(tmp_path / "own", names)
    lines = map(",".join, zip(names, said, strict=True))
    (tmp_path / "own" / "manifest.csv").write_text("\n".join(["path,emotion,speaker", *lines]))
    notes = load_manifest(tmp_path, "own").attrs["notes"]
    assert [note["reason"].split(":")[0] for note in notes] == noted


def test_a_corpus_whose_folders_contradict_its_names_is_another(tmp_path):
    names = [f"esd/{folder}/0001_{n:06}.wav" for folder in ("Happy", "Sad") for n in (1, 2, 3)]
    lay_out(tmp_path, names)
    with pytest.raises(StudyError, match=r"contradict their folders.*list its files in a manifest"):
        load_manifest(tmp_path, "esd")


def test_audiofolder_by_class(tmp_path):
    lay_out(tmp_path / "hub", ["train/angry/1.wav", "test/happy/2.wav"])
    assert counts(load_manifest(tmp_path, "hub")) == {"angry": 1, "happy": 1}


def test_the_parts_of_an_audiofolder_are_one_corpus_wherever_one_stands(tmp_path):
    lay_out(tmp_path / "mine", [f"{part}/{e}/1.wav" for part in ("train", "test") for e in PAIR])
    for root in (tmp_path, tmp_path / "mine"):
        assert find_corpora(root) == {"mine": tmp_path / "mine"}
        assert len(load_manifest(root, "mine")) == 4


def test_a_corpus_is_found_in_either_form_of_its_letters(tmp_path):
    lay_out(tmp_path / normalize("NFD", "größe"), ["angry/1.wav", "sad/1.wav"])
    (found,) = find_corpora(tmp_path)
    assert spelled(normalize("NFC", "größe"), [found]) == found
    assert len(load_manifest(tmp_path, normalize("NFC", "größe"))) == 2


def test_folders_that_contradict_each_other(tmp_path):
    lay_out(tmp_path / "mine", ["angry/sad/1.wav", "angry/2.wav"])
    manifest = load_manifest(tmp_path, "mine")
    assert manifest["utterance"].tolist() == ["angry/2.wav"]
    assert "contradict" in manifest.attrs["problems"][0]["reason"]


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
