import logging
import sys

import numpy as np
import pytest
from conftest import lay_out, noise, write_wav
from layouts import counts

from ctl_helpers.corpora import check, find_corpora, load_manifest, read_audio
from ctl_helpers.corpora.signals import inspect, seconds_of
from ctl_helpers.errors import StudyError


def _nan():
    return np.where(np.arange(4000) == 100, np.nan, 0.1).astype("float32")


def long_claim(path, samples=2**35):
    """Write a FLAC whose header says that it has so many samples."""
    content = bytearray(write_wav(path, format="FLAC").read_bytes())
    content[21:26] = ((content[21] >> 4 << 36) + samples).to_bytes(5, "big")
    path.write_bytes(content)
    return path


BAD = {
    "says 2 ** 35 samples": ("unreadable", long_claim),
    "zero bytes": ("empty", lambda path: path.write_bytes(b"")),
    "text": ("unreadable", lambda path: path.write_text("this is no recording")),
    "truncated header": ("unreadable", lambda p: p.write_bytes(write_wav(p).read_bytes()[:20])),
    "no samples": ("empty", lambda path: write_wav(path, np.zeros(0))),
    "nan": ("nan", lambda path: write_wav(path, _nan(), subtype="FLOAT")),
    "infinite": ("nan", lambda path: write_wav(path, _nan() * 0 + np.inf, subtype="FLOAT")),
    "silence": ("silent", lambda path: write_wav(path, np.zeros(8000))),
    "constant": ("silent", lambda path: write_wav(path, np.full(8000, 0.25))),
    "0.05 s": ("short", lambda path: write_wav(path, noise(0.05))),
    "1e20": ("absurd", lambda path: write_wav(path, 1e20 * noise(), subtype="FLOAT")),
    "antiphase": ("antiphase", lambda p: write_wav(p, np.outer(noise(), [1, -0.99]))),
    "Git LFS": (
        "unreadable",
        lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\n"),
    ),
    "1 Hz": ("unreadable", lambda path: write_wav(path, rate=1)),
    "2 MHz": ("unreadable", lambda path: write_wav(path, noise(), 2_000_000)),
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
    "GSM": (noise(0.48, 8000), 8000, {"subtype": "GSM610"}),
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


def test_segments_of_a_recording_that_is_only_read_from_its_start(tmp_path):
    file = write_wav(tmp_path / "gsm.wav", noise(2, 8000), 8000, subtype="GSM610")
    whole = read_audio(file, 8000)
    for start, end in ((0.0, 0.5), (0.5, 1.25), (1.25, None)):
        last = None if end is None else round(end * 8000)
        expected = whole[round(start * 8000) : last]
        np.testing.assert_array_equal(read_audio(file, 8000, start, end), expected)


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
def test_a_name_of_two_lines_is_named_in_one(tmp_path, caplog):
    folder = lay_out(tmp_path / "mine", ["angry/1.wav"])
    write_wav(folder / "angry" / "two\nlines.wav", np.zeros(8000))
    with caplog.at_level(logging.WARNING, "ctl_helpers"):
        load_manifest(tmp_path, "mine")
    assert "\n" not in caplog.text.strip() and "two?lines.wav" in caplog.text


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


@pytest.mark.parametrize(
    ("fault", "reason"), [("Git LFS", "git lfs pull"), ("1 Hz", "its header says 1 Hz")]
)
def test_reasons_say_what_to_do(tmp_path, fault, reason):
    lay_out(tmp_path / "mine", ["angry/1.wav", "angry/2.wav"])
    BAD[fault][1](tmp_path / "mine" / "angry" / "2.wav")
    (problem,) = load_manifest(tmp_path, "mine").attrs["problems"]
    assert reason in problem["reason"]


@pytest.mark.parametrize(("before", "middle", "used"), [(3, 0, True), (7, 0, False), (2, 5, False)])
def test_what_is_silent_in_the_part_that_counts_is_left_out(tmp_path, before, middle, used):
    lay_out(tmp_path / "mine", ["sad/1.wav"])
    parts = [noise(0.5), np.zeros(8000 * middle), np.zeros(8000 * before), noise(1, seed=1)]
    parts = parts if middle else parts[1:]
    write_wav(tmp_path / "mine" / "angry" / "2.wav", np.concatenate(parts))
    manifest = load_manifest(tmp_path, "mine")
    assert len(manifest) == 1 + used
    reasons = [p["reason"] for p in manifest.attrs["problems"] if p["kind"] == "silent"]
    assert reasons == ["silent in the middle 4.35 s, which are kept"] * (not used)


@pytest.mark.parametrize("suffix", ["wav", "aiff", "mp3"])
def test_half_a_recording_is_noted(tmp_path, suffix):
    path = write_wav(tmp_path / "mine" / "angry" / f"1.{suffix}", noise(20))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    manifest = load_manifest(tmp_path, "mine")
    note = manifest.attrs["notes"][0]
    assert note["kind"] == "truncated"
    assert int(note["reason"].split()[2].strip("%")) == pytest.approx(50, abs=2)
    assert manifest["duration"][0] == pytest.approx(10, abs=0.4)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])  # of ffmpeg and of sox
def test_a_recording_from_a_pipe_is_not_truncated(tmp_path, size):
    path = write_wav(tmp_path / "mine" / "angry" / "1.wav", noise(1))
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = size.to_bytes(4, "little")
    path.write_bytes(content)
    manifest = load_manifest(tmp_path, "mine")
    assert manifest["duration"].tolist() == [1.0] and manifest.attrs["notes"] == []


def test_a_flac_that_does_not_say_its_length_is_named(tmp_path):
    path = write_wav(tmp_path / "pipe.flac", noise(1))
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    found = inspect((str(path), np.nan, np.nan))
    assert found["kind"] == "unreadable" and "how long it is" in found["reason"]
    assert seconds_of(path) == 0 and seconds_of(tmp_path / "none.wav") == 0
    assert seconds_of(write_wav(tmp_path / "one.wav", noise(1))) == 1
    assert seconds_of(long_claim(tmp_path / "long.flac", 2**31)) == 0
    whole = write_wav(tmp_path / "half.flac", noise(60)).read_bytes()
    (tmp_path / "half.flac").write_bytes(whole[: len(whole) // 2])
    assert 20 < seconds_of(tmp_path / "half.flac") < 31


@pytest.mark.parametrize(
    ("samples", "kind"),
    [
        (noise(0.5), ""),
        (noise(0.5, channels=2), ""),
        (np.outer(noise(0.5), [1, 0]), ""),
        (np.zeros(0), "empty"),
        (np.zeros(8000), "silent"),
        (np.zeros((8000, 2)), "silent"),
        (noise(0.05), "short"),
        (_nan(), "nan"),
        (32_768 * noise(0.5), "absurd"),
        (np.outer(noise(0.5), [1, -1]), "antiphase"),
    ],
)
def test_check_says_what_the_audit_says(samples, kind):
    assert check(samples, 8000)[0] == kind


def test_read_audio_reads_a_segment(tmp_path):
    samples = noise(2, 8000)
    path = write_wav(tmp_path / "a.wav", samples, subtype="FLOAT")
    for start, end in ((0.5, 1.25), (None, 0.5), (1.5, None), (0.5, float("nan"))):
        first = round(8000 * (start or 0))
        last = round(8000 * end) if end and end == end else None
        np.testing.assert_allclose(
            read_audio(path, 8000, start, end), samples[first:last], atol=1e-6
        )
    with pytest.raises(StudyError, match=r"no segment 2\.01 to 2\.04 s in 2 s"):
        read_audio(path, 8000, 2.01, 2.04)
    with pytest.raises(StudyError, match="no segment 1 to 3 s in 2 s"):
        read_audio(path, 8000, 1, 3)
