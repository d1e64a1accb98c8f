import math
import os
import signal
import subprocess
import sys
import time
from functools import partial

import joblib
import pytest

from ctl_helpers.errors import StudyError
from ctl_helpers.parallel import cache_folder, engine, parallel_map


def slow_first(item):
    time.sleep(0.2 if item == 0 else 0)
    return item, os.getpid()


def refuse(item):
    raise StudyError(f"item {item}")


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order(jobs):
    assert [item for item, _ in parallel_map(slow_first, range(5), jobs)] == list(range(5))


def test_two_jobs_leave_this_process_and_one_stays():
    assert os.getpid() not in {pid for _, pid in parallel_map(slow_first, range(3), jobs=2)}
    assert {pid for _, pid in parallel_map(slow_first, range(3), jobs=1)} == {os.getpid()}


def test_work_that_is_to_be_apart_is_done_in_new_processes_that_end():
    for jobs in (1, 2, None):
        results = parallel_map(slow_first, range(3), jobs, apart=True)
        assert [item for item, _ in results] == [0, 1, 2]
        pids = {pid for _, pid in results}
        assert len(pids) <= (jobs or os.cpu_count()) and os.getpid() not in pids
        assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    assert os.getpid() in {pid for _, pid in parallel_map(slow_first, range(2), jobs=1)}


GROWING = """
import os, time
import numpy as np
from ctl_helpers.parallel import parallel_map
kept = []
def grow(size):
    kept.append(np.ones(size // 8))
    time.sleep(1.1)  # joblib looks once a second
    return os.getpid()
def count():
    print(len(set(parallel_map(grow, (8, 8, 600_000_000, 600_000_000, 8, 8, 8, 8), jobs=2))))
"""


def test_a_worker_that_grows_as_an_import_of_tensorflow_does_stays(tmp_path):
    # In a process of its own: workers of other tests have grown already.
    (tmp_path / "growing.py").write_text(GROWING)
    command = [sys.executable, "-c", "import growing; growing.count()"]
    counted = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert counted.stdout == "2\n"


def test_nothing_to_do():
    assert parallel_map(math.sqrt, []) == parallel_map(math.sqrt, [], apart=True) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_reaches_the_caller(jobs):
    with pytest.raises(StudyError, match="item 1"):
        parallel_map(refuse, [1, 1], jobs)


def die_of_three(item, calls=None, deaths=0):
    if item == 3:
        with open(calls, "a") as file:
            file.write("x")
        if os.path.getsize(calls) <= deaths:
            os.kill(os.getpid(), signal.SIGKILL)
    return item


@pytest.mark.parametrize("apart", [False, True])
def test_an_item_whose_process_dies_is_tried_again_then_named(tmp_path, apart):
    def work(calls, deaths, **options):
        task = partial(die_of_three, calls=str(tmp_path / calls), deaths=deaths)
        return parallel_map(task, range(8), 2, "work", apart=apart, **options)

    assert work("once", 1) == list(range(8))
    assert work("always", 99, dead=lambda item: -item) == [0, 1, 2, -3, 4, 5, 6, 7]
    with pytest.raises(StudyError, match="work: a process died; was there enough memory") as error:
        work("nobody", 99)
    assert "\n" not in str(error.value)


WAITING = """
import os, sys, time
from ctl_helpers.parallel import parallel_map
def pid(item):
    os.write(1, b"%d\\n" % os.getpid())  # in one piece; print may write the end of a line apart
    time.sleep(0.2)
if __name__ == "__main__":
    parallel_map(pid, [1, 2], 2)
    print("done", flush=True)
    time.sleep(60)
"""


def test_workers_end_with_a_killed_parent(tmp_path):
    (tmp_path / "waiting.py").write_text(WAITING)
    command = [sys.executable, str(tmp_path / "waiting.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        pids = [int(line) for line in iter(process.stdout.readline, "done\n")]
        process.kill()
    assert len(pids) == 2 and process.pid not in pids
    end = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


@pytest.mark.parametrize("jobs", [0, -1])
def test_jobs_are_positive(jobs):
    with pytest.raises(StudyError, match="jobs"):
        parallel_map(math.sqrt, [1.0], jobs)


def test_progress_shows_for_long_work_only(capsys, monkeypatch):
    monkeypatch.delenv("CTL_PROGRESS", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    parallel_map(time.sleep, [0.0, 0.0], jobs=1, description="short")
    assert capsys.readouterr().err == ""
    parallel_map(time.sleep, [0.6, 0.6], jobs=1, description="long")
    assert "long" in capsys.readouterr().err
    monkeypatch.setenv("CTL_PROGRESS", "0")
    parallel_map(time.sleep, [0.6, 0.6], jobs=1, description="hidden")
    assert capsys.readouterr().err == ""


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("CTL_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("CTL_CACHE")
    assert cache_folder().parts[-2:] == (".cache", "ctl-mtnet")


def test_engines(monkeypatch):
    with engine("local"):
        assert parallel_map(abs, [-1, 2]) == [1, 2]
    with pytest.raises(StudyError, match="local, dask"), engine("slurm"):
        pass
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(StudyError, match=r"dask\.distributed"), engine("dask"):
        pass


def test_dask_gives_the_same_results_and_says_where_to_watch_it(capfd):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, engine("dask", cluster.scheduler_address):
        assert joblib.effective_n_jobs(-1) >= 2
        assert parallel_map(abs, [-1, 2, -3]) == [1, 2, 3]
        assert f"dask: {cluster.dashboard_link}" in capfd.readouterr().err


@pytest.mark.slow
def test_a_cluster_without_workers_is_one_line():
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 0, "dashboard_address": None}
    expected = "expected a scheduler with workers at tcp"
    with (
        distributed.LocalCluster(**options) as cluster,
        pytest.raises(StudyError, match=expected) as caught,
        engine("dask", cluster.scheduler_address),
    ):
        pass
    assert "\n" not in str(caught.value)
