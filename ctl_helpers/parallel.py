"""One way to go parallel: joblib, on this machine's cores or on a Dask cluster."""

import os
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import joblib
from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor, process_executor
from tqdm import tqdm

from ctl_helpers.errors import StudyError, check_choice, log

ENGINES = ("local", "dask")
_WORKERS_WITHIN = 30  # seconds that a cluster has for its first worker
_GROWTH = 10**9  # bytes that a worker may grow by before a new one takes its place
_ABANDONED = 3600  # seconds without a change, after which nobody can be making a folder any more
_WATCH = "ends with its parent"


def cache_folder() -> Path:
    """Where features and miniature corpora are kept between runs.

    Returns
    -------
    Path
        The environment's ``CTL_CACHE``, or ``~/.cache/ctl-mtnet``. It need not exist yet.
    """
    return Path(os.environ.get("CTL_CACHE") or "~/.cache/ctl-mtnet").expanduser().absolute()


def remove_leftovers(folder: Path, pattern: str) -> None:
    """Remove folders that killed processes left half-made; a younger one may still be at work."""
    for leftover in folder.glob(pattern):
        with suppress(OSError):  # another process was faster
            files = filter(Path.is_file, leftover.iterdir())
            changed = max(path.stat().st_mtime for path in (leftover, *files))
            if time.time() - changed > _ABANDONED:
                shutil.rmtree(leftover)


def cores() -> int:
    """Cores that this process may use."""
    return joblib.cpu_count()


@contextmanager
def environment(**changes: str) -> Iterator[None]:
    """Set variables of the environment inside a ``with`` block."""
    before = {name: os.environ[name] for name in changes if name in os.environ}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name in changes.keys() - before.keys():
            os.environ.pop(name, None)
        os.environ.update(before)


def parallel_map(
    function: Callable[[Any], Any],
    items: Iterable,
    jobs: int | None = None,
    description: str = "",
    unit: str = "it",
    apart: bool = False,
    guarded: bool = False,
    dead: Callable[[Any], Any] | None = None,
) -> list:
    """Apply a function to every item, in parallel, with a progress bar.

    Parameters
    ----------
    function : callable
        Takes one item. It and its results travel between processes.
    items : iterable
        What to work on.
    jobs : int or None
        How many processes; ``None`` for one per core (per worker of a cluster), 1 for this process.
    description, unit : str
        What the progress bar says; see :func:`progress`.
    apart : bool
        Work in new processes of this machine, even with one job, and end them afterwards: for
        libraries that must not share a process with others.
    guarded : bool
        Never work in this process, which an item may kill, even with one job.
    dead : callable, optional
        Called with an item whose process dies every time, for example because memory runs out;
        returns its result.

    Returns
    -------
    list
        The results in the order of the items.

    Raises
    ------
    StudyError
        When `jobs` is less than one, or a process dies again and again and there is no `dead`.

    Examples
    --------
    >>> parallel_map(abs, [-1, 2, -3], jobs=1)
    [1, 2, 3]
    """
    items = list(items)
    if jobs is not None and jobs < 1:
        raise StudyError(f"jobs: expected a whole number from 1 or None for all cores, got {jobs}")
    with warnings.catch_warnings():
        # joblib replaces a worker whose memory has grown, as it does over many trainings.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        apply = partial(_results, function, jobs=jobs, apart=apart, guarded=guarded)
        results = _surviving(apply, items, dead, description)
        return list(progress(results, len(items), description, unit))


def progress(items: Iterable, total: int, description: str, unit: str = "it") -> Iterable:
    """Show a progress bar on standard error while items are gone through.

    It shows at once for runs, else when that takes longer than a second (in a log file: every ten
    seconds), and never with ``CTL_PROGRESS=0``.
    """
    return tqdm(
        items,
        desc=description or None,
        total=total,
        unit=unit,
        delay=0 if unit == "run" else 1,
        # A log file wants a line now and then, a terminal a bar that moves.
        mininterval=0.2 if sys.stderr.isatty() else 10,
        disable=not total or os.environ.get("CTL_PROGRESS") == "0",
    )


def _surviving(apply: Callable, items: list, dead: Callable | None, description: str) -> Iterator:
    """Give the results in order; where a process dies, try once more, then one item at a time."""
    done = deaths = 0
    while done < len(items):
        alone = deaths == 2
        changed = {"jobs": 1, "apart": True, "guarded": True} if alone else {}
        try:
            for result in apply(items[done:], **changed):
                yield result
                done += 1
        except Exception as error:
            # The second is Dask's, which need not be installed.
            if not isinstance(error, BrokenProcessPool) and type(error).__name__ != "KilledWorker":
                raise
            if alone and dead is None:
                reason = f"{description}: a process died; was there enough memory?"
                raise StudyError(reason) from error
            if alone:
                yield dead(items[done])
                done += 1
            else:
                log.warning("%s: a process died; its work is tried once more", description)
            deaths = 1 if alone else deaths + 1


def _results(
    function: Callable, items: list, jobs: int | None, apart: bool, guarded: bool
) -> Iterator:
    task = partial(_work, function=function, parent=os.getpid())
    # How many processes do so many items at once: those of a cluster, or no more than items.
    workers = joblib.effective_n_jobs(min(joblib.effective_n_jobs(jobs or -1), len(items)))
    if jobs == 1 and not (apart or guarded):
        yield from map(function, items)
    elif apart or (workers == 1 and not guarded):
        with ProcessPoolExecutor(min(jobs or cores(), len(items))) as pool:
            yield from pool.map(task, items)
    else:  # with one worker joblib would do guarded work in this process: of two, one waits
        ahead: Any = 1 if workers == 1 else "2 * n_jobs"
        pool = joblib.Parallel(max(2, workers), return_as="generator", pre_dispatch=ahead)
        yield from pool(joblib.delayed(task)(item) for item in items)


def _work(item: Any, function: Callable, parent: int) -> Any:
    """Do a task in a worker, which ends soon after its parent does.

    Workers of joblib otherwise wait minutes for the next task of a study that was killed.
    """
    # joblib's 300 MB are less than TensorFlow needs: each worker would import it twice.
    process_executor._MAX_MEMORY_LEAK_SIZE = _GROWTH
    if os.getppid() == parent and not any(t.name == _WATCH for t in threading.enumerate()):
        threading.Thread(target=_watch, args=[parent], name=_WATCH, daemon=True).start()
    return function(item)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@contextmanager
def engine(name: str = "local", scheduler: str | None = None) -> Iterator[None]:
    """Choose where `parallel_map` runs inside a ``with`` block.

    Parameters
    ----------
    name : {"local", "dask"}
        Processes on this machine, or the workers of a Dask cluster, which have to see the same
        folders under the same names.
    scheduler : str or None
        Address of the Dask scheduler, as ``tcp://host:8786``; ``None`` starts a cluster of
        processes on this machine.

    Raises
    ------
    StudyError
        When the engine is unknown, Dask is not installed, or the scheduler does not answer.

    Examples
    --------
    >>> with engine("local"):
    ...     parallel_map(abs, [-1, 2], jobs=1)
    [1, 2]
    """
    check_choice("engine", name, ENGINES)
    with ExitStack() as opened:
        options = {"backend": "loky"}
        if name == "dask":
            options = {"backend": "dask", "client": _dask_client(scheduler, opened)}
        with joblib.parallel_config(**options):
            yield


def _dask_client(scheduler: str | None, opened: ExitStack) -> Any:
    """Connect to a scheduler, or start one, until ``opened`` is closed."""
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise StudyError(
            "engine 'dask': expected the package dask.distributed, found none; "
            "install the extra: pip install 'ctl-helpers[cluster]'"
        ) from error
    try:
        client = opened.enter_context(Client(scheduler))
        client.wait_for_workers(1, timeout=_WORKERS_WITHIN)
    except (OSError, ValueError) as error:
        raise StudyError(
            f"engine 'dask': expected a scheduler with workers at {scheduler}, got: {error}"
        ) from error
    print(f"dask: {client.dashboard_link}", file=sys.stderr)
    return client
