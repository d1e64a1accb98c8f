"""Studies from their file to their tables: what is computed, kept, left out, and killed."""

import pytest
import soundfile
from conftest import lay_out
from toys import toy_corpus, write_code

from ctl_helpers.errors import StudyError
from ctl_helpers.results.runs import load_runs
from ctl_helpers.study.run import dry_run, run_study
from ctl_helpers.study.settings import read_study

SHALLOW = ["mfcc+linear", "mfcc+logistic"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora")
    toy_corpus(root, "one", ("angry", "happy", "sad"), 18, 3)
    return toy_corpus(root, "two", ("angry", "neutral", "sad"), 18, 3)


@pytest.fixture
def study(root, tmp_path, cache):
    def make(**settings):
        common = {"corpora": str(root), "out": str(tmp_path / "report"), "folds": 2, "jobs": 1}
        common |= {"notebooks": False, "methods": SHALLOW}
        return read_study(None, common | settings)

    return make


def run(study):
    lines = []
    return run_study(study, lines.append), lines


def stamps(folder):
    return {path: path.stat().st_mtime_ns for path in (folder / "runs").glob("*/record.json")}


def test_a_study_computes_what_is_missing_and_nothing_twice(study, tmp_path):
    report, lines = run(study())
    assert report.problems == () and report.index == tmp_path / "report" / "index.html"
    assert len(load_runs(tmp_path / "report" / "runs")) == 2 * 2 * 2 + 2 * 2
    assert any(line.startswith("12 runs to compute: about") for line in lines)
    before = stamps(tmp_path / "report")
    _, lines = run(study())
    assert stamps(tmp_path / "report") == before
    assert "no runs to compute: what is wanted now is there" in lines
    run(study(divisions=[98, 7], pairs="none"))
    after = stamps(tmp_path / "report")
    assert len(after) == 12 + 8 and before.items() <= after.items()


LATER = """
seeds: 0
blocks:
  dear: {later: it takes days, methods: [mfcc+linear, mfcc+rbf]}
  cheap: {methods: mfcc+linear}
"""


def test_a_block_is_left_for_later_until_it_is_named(root, tmp_path, cache):
    file = tmp_path / "mine.yaml"
    file.write_text(LATER)
    common = {"corpora": str(root), "out": str(tmp_path / "report"), "folds": 2, "jobs": 1}
    common |= {"pairs": "none", "names": "one", "notebooks": False}
    study = read_study(file, common)
    line = 'left for later: 2 runs of "dear" (it takes days); --blocks "dear" computes them'
    assert dry_run(study, (lines := []).append) == () and line in lines
    assert any(said.startswith("2 runs to compute: about") for said in lines)
    report, lines = run(study)
    assert report.problems == () and line in lines
    assert "runs of &#34;dear&#34; (it takes days)" in report.index.read_text()
    # What both ask for is not left.
    assert (
        load_runs(tmp_path / "report" / "runs")["method"].tolist() == ["mfcc-statistics+linear"] * 2
    )
    _, lines = run(read_study(file, common, ["dear"]))
    assert any(said.startswith("2 runs to compute: about") for said in lines)
    report, lines = run(study)
    assert "no runs to compute: what is wanted now is there" in lines
    assert "left for later" not in "".join(lines) + report.index.read_text()
    assert len(load_runs(tmp_path / "report" / "runs")) == 4


def test_a_report_is_of_real_speech_unless_it_is_not(study):
    report, lines = run(study(pairs="none", names=["one"], methods=SHALLOW[:1]))
    assert "Synthetic" not in report.index.read_text() + "".join(lines)


def test_synthetic_speech_is_said_first(study, miniature):
    settings = {"corpora": str(miniature), "names": ["casia"], "pairs": "none"}
    report, lines = run(study(methods=SHALLOW[:1], only=[0], **settings))
    assert lines[0].startswith("Synthetic speech")
    assert not any("published" in line for line in lines)  # nothing is of this speech
    assert "Synthetic speech" in report.index.read_text()
    assert load_runs(report.index.parent / "runs")["corpus"].tolist() == ["casia"]


def test_runs_that_the_report_does_not_show_are_counted(study, miniature):
    asked = {"pairs": "none", "methods": SHALLOW[:1], "folds": 2}
    _, lines = run(study(names=["one"], **asked))
    assert not any("not in the report" in line for line in lines)
    _, lines = run(study(corpora=str(miniature), names=["casia"], **asked))
    assert "2 of 4 stored runs are not in the report: of earlier labels" in lines[-1]


BROKEN = """
class Broken:
    def fit(self, x, y):
        raise RuntimeError("no\\nluck")
"""


def test_what_cannot_be_done_is_named_and_the_rest_is_done(study, tmp_path):
    root = toy_corpus(tmp_path / "corpora", "good", utterances=8)
    lay_out(root, ["gloomy/sad/a.wav", "gloomy/sad/b.wav"])
    (root / "good" / "empty.wav").write_bytes(b"")
    with open(root / "good" / "manifest.csv", "a") as table:
        table.write("empty.wav,sad,00,m,\n")
    broken = f"mfcc+{write_code(tmp_path, 'broken.py', BROKEN)}:Broken"
    report, _ = run(study(corpora=str(root), methods=[SHALLOW[0], broken], pairs="none"))
    said = "\n".join(report.problems)
    assert all("\n" not in line for line in report.problems)
    assert sum("gloomy" in line for line in report.problems) == 1, said
    assert sum("RuntimeError: no luck" in line for line in report.problems) == 2, said
    assert "good: 1 of 9 files left out, such as empty.wav" in said
    assert len(load_runs(tmp_path / "report" / "runs")) == 2
    page = report.index.read_text()
    assert "gloomy" in page and "RuntimeError" in page


FUSSY = """
import numpy as np

def spectrum(signal, rate):
    if abs(signal).max() > 0.9:
        raise ValueError("too\\nloud " + "!" * 300)
    return np.abs(np.fft.rfft(signal, 64))
"""


def test_utterances_without_features_are_named_at_every_start(study, tmp_path):
    root = toy_corpus(tmp_path / "corpora", "good", utterances=8)
    file = root / "good" / "000.wav"
    samples, rate = soundfile.read(file)
    samples[:400] = 0.95
    soundfile.write(file, samples, rate)
    own = f"{write_code(tmp_path, 'own.py', FUSSY)}:spectrum+linear"
    settings = {"corpora": str(root), "pairs": "none", "methods": [f"mean({own}, mfcc+linear)"]}
    for _ in range(2):
        report, _ = run(study(**settings))
        (line,) = report.problems
        what = "1 of 8 utterances left out, such as good 000.wav: ValueError: too loud"
        assert line.startswith(f"{own} on good: {what}") and len(line) < 500
        assert "too loud" in report.index.read_text()


def test_a_study_of_which_nothing_can_be_done_is_an_error(study, tmp_path):
    broken = f"mfcc+{write_code(tmp_path, 'broken.py', BROKEN)}:Broken"
    with pytest.raises(StudyError, match=r"RuntimeError: no luck \(see .*\) \(and 3 more such\)"):
        run(study(methods=[broken], pairs="none", names="one", folds=4))
    assert not (tmp_path / "report" / "index.html").exists()


def test_nothing_to_do_is_an_error(study, tmp_path):
    root = lay_out(tmp_path / "corpora", ["gloomy/sad/a.wav", "gloomy/sad/b.wav"])
    with pytest.raises(StudyError, match="two emotions"):
        run(study(corpora=str(root)))


def test_a_report_that_cannot_be_written_is_said_at_once(study, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match=r"cannot write.*--out FOLDER"):
        run(study(out=str(tmp_path / "file" / "report")))


def test_a_dry_run_lists_the_runs_and_computes_nothing(study, tmp_path, monkeypatch):
    monkeypatch.setenv("CTL_CACHE", str(tmp_path / "cache"))
    lines = []
    methods, protocols = ["cpac/quick", *SHALLOW], ["kfold", "loso"]
    dry_run(study(methods=methods, protocols=protocols, notebooks=True), lines.append)
    said = "\n".join(lines)
    # Of each corpus its features, its network under each protocol; and all results.
    assert "7 of 7 notebooks to execute" in said
    assert "cpac/quick" in said and "one -> two" in said
    assert f"{2 * (2 + 3) * 3 + 2 * 2} runs to compute: about" in said
    assert not (tmp_path / "report").exists() and not (tmp_path / "cache" / "features").exists()


FATAL = """
import os, pathlib, signal
from sklearn.neighbors import KNeighborsClassifier

class Fatal(KNeighborsClassifier):
    def fit(self, inputs, truth):
        calls = pathlib.Path({calls!r})
        with open(calls, "a") as file:
            file.write("x")
        if calls.stat().st_size <= {deaths}:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(inputs, truth)

def classifier():
    return Fatal(1)
"""


@pytest.mark.parametrize(("deaths", "left_out"), [(1, 0), (10_000, 2)])
def test_a_run_whose_process_dies_is_tried_again_then_named(study, tmp_path, deaths, left_out):
    code = FATAL.format(calls=str(tmp_path / "calls"), deaths=deaths)
    fatal = f"mfcc+{write_code(tmp_path, 'fatal.py', code)}:classifier"
    report, _ = run(study(names="one", methods=[fatal, "mfcc+linear"], pairs="none", jobs=2))
    runs = load_runs(tmp_path / "report" / "runs")
    assert (runs["method"] == "mfcc-statistics+linear").sum() == 2
    assert len(runs) == 4 - left_out and len(report.problems) == left_out
    assert all("fatal.py" in line and "enough memory" in line for line in report.problems)
