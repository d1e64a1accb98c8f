"""Studies whose processes are killed at random moments end as one that nobody disturbed."""

import os
import signal
import subprocess
import sys
import time
import uuid
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from toys import write_code

from ctl_helpers.results.runs import load_runs

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="finds processes in /proc"
)
SHALLOW = ("mfcc+linear", "mfcc+logistic", "mean(mfcc+linear,mfcc+logistic)")
ONE = ("--names", "emodb", "--pairs", "none")
BOTH = ("--names", "emodb", "casia", "--pairs", "emodb:casia")
NETWORKS = ("mfcc+linear", "cpac/quick", "source-only/quick")
MARK = "CTL_TEST_STUDY"
WAITING = """
import time
from pathlib import Path
from sklearn.dummy import DummyClassifier

class Waiting(DummyClassifier):
    def fit(self, X, y):
        Path(__file__).with_name("begun").touch()
        time.sleep(300)

classifier = Waiting
"""


class Command:
    """`ctl-mtnet study` on miniature corpora, as a process group that can be found again."""

    def __init__(self, corpora, folder, methods, *words):
        self.out, self.mark = folder / "report", uuid.uuid4().hex
        variables = {MARK: self.mark, "CTL_CACHE": str(folder / "cache")}
        self.environment = os.environ | variables | {"CTL_PROGRESS": "0"}
        given = ["--corpora", corpora, "--methods", *methods, "--folds", 3, "--epochs", 2]
        given += ["--jobs", 2, "--no-notebooks", "--out", self.out, *words]
        self.words = [sys.executable, "-m", "ctl_helpers", "study", *map(str, given)]

    def start(self):
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        # What a shell starts in the background ignores Ctrl-C, and so would its children.
        options |= {"preexec_fn": partial(signal.signal, signal.SIGINT, signal.SIG_DFL)}
        return subprocess.Popen(
            self.words, cwd=REPOSITORY, env=self.environment, start_new_session=True, **options
        )

    def finish(self):
        process = self.start()
        said = process.communicate(timeout=600)[1]
        assert process.returncode == 0, said
        return said

    def finished(self):
        records = self.out.glob("runs/*/record.json")
        return {p: p.stat().st_mtime_ns for p in records if len(p.parent.name) == 12}

    def processes(self):
        """Ids of the processes that it started and that are still there."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:  # it has ended, or is somebody else's
                continue
        return found

    def assert_nobody_left(self, seconds=10):
        until = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < until:
            time.sleep(0.1)
        assert not left


def table_of(out):
    runs = load_runs(out / "runs").drop(columns=["seconds", "peak_memory_mb", "finished"])
    return runs.sort_values(["run", "selection"], ignore_index=True)


def assert_same(one, other):
    pd.testing.assert_frame_equal(table_of(one), table_of(other))
    names = sorted(path.name for path in (one / "runs").iterdir())
    assert names == sorted(path.name for path in (other / "runs").iterdir())
    assert names and all(len(name) == 12 for name in names)  # nothing half-done, no locks
    for file in one.glob("runs/*/*"):
        if file.name in ("spec.json", "predictions.csv", "history.csv"):
            assert file.read_bytes() == (other / file.relative_to(one)).read_bytes(), file


@pytest.fixture(scope="module")
def whole(miniature, tmp_path_factory):
    """Make a study that nobody disturbs, once for all tests, and the seconds that it takes."""

    @cache
    def make(methods=SHALLOW, places=ONE):
        study = Command(miniature, tmp_path_factory.mktemp("whole"), methods, *places)
        started = time.monotonic()
        study.finish()
        return study.out, time.monotonic() - started

    return make


@pytest.mark.parametrize(
    ("kills", "words"),
    [
        pytest.param(1, (SHALLOW, ONE), id="1 kill"),
        pytest.param(20, (NETWORKS, BOTH), id="20 kills", marks=pytest.mark.slow),
    ],
)
def test_kills_at_random_moments(whole, miniature, tmp_path, kills, words):
    out, seconds = whole(*words)
    rng = np.random.default_rng(kills)
    study, killed, finished = None, 0, {}
    while killed < kills:
        if study is None:
            folder = tmp_path / f"after {killed}"
            study, finished = Command(miniature, folder, words[0], *words[1]), {}
        process, started = study.start(), time.monotonic()
        try:
            process.wait(rng.uniform(0.2, 1) * seconds)
            seconds = min(seconds, time.monotonic() - started)  # the machine may do less else now
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
        study.assert_nobody_left()
        now = study.finished()
        assert finished.items() <= now.items()  # nothing that was there was computed again
        finished = now
        if process.returncode == 0 or killed == kills:
            study.finish()
            assert finished.items() <= study.finished().items()
            assert_same(out, study.out)
            study = None


@pytest.mark.parametrize(
    ("besides", "places"), [((), ONE), pytest.param(NETWORKS, BOTH, marks=pytest.mark.slow)]
)
def test_a_study_that_is_stopped_says_one_line(miniature, tmp_path, besides, places):
    own = write_code(tmp_path, "waiting.py", WAITING)
    study = Command(miniature, tmp_path, (*besides, f"mfcc+{own}:classifier"), *places)
    process = study.start()
    while not own.with_name("begun").exists() and process.poll() is None:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert said == "stopped; the same command continues from here\n"
    study.assert_nobody_left()


@pytest.mark.slow
def test_a_worker_of_a_cluster_that_is_killed(whole, miniature, tmp_path):
    pytest.importorskip("distributed")
    there = Command(miniature, tmp_path / "there", SHALLOW, *ONE, "--engine", "dask")
    process = there.start()
    while not there.finished() and process.poll() is None:
        time.sleep(0.01)
    commands = {one: Path(f"/proc/{one}/cmdline").read_bytes() for one in there.processes()}
    workers = [one for one, words in commands.items() if b"spawn_main" in words]
    assert workers and process.poll() is None
    os.kill(workers[0], signal.SIGKILL)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    there.assert_nobody_left()
    assert_same(whole()[0], there.out)


@pytest.mark.slow
def test_two_studies_at_once_on_one_folder(whole, miniature, tmp_path):
    both = Command(miniature, tmp_path / "both", SHALLOW, *ONE)
    processes = [both.start(), both.start()]
    said = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert_same(whole()[0], both.out)
