"""Run a study: compute its runs, execute its notebooks, write the index page."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ctl_helpers.errors import StudyError
from ctl_helpers.parallel import engine
from ctl_helpers.report.index import write_index
from ctl_helpers.report.notebooks import execute_in_parallel
from ctl_helpers.results.runs import ask_for, load_runs, read_runs, study_runs
from ctl_helpers.runs.run import Run, compute, stored_as
from ctl_helpers.runs.store import RunStore
from ctl_helpers.study.estimate import costs, estimate, sentence
from ctl_helpers.study.pages import list_notebooks
from ctl_helpers.study.plan import Plan, describe_runs, plan_study
from ctl_helpers.study.settings import Study


@dataclass(frozen=True)
class Report:
    """What a study left behind: its index page, and a line for everything that was left out."""

    index: Path
    problems: tuple[str, ...]


def run_study(study: Study, say: Callable[[str], None] = print) -> Report:
    """Compute what is missing of a study and write its report.

    Parameters
    ----------
    study : Study
        What to do; see :func:`ctl_helpers.study.settings.read_study`.
    say : callable
        Gets a line for each step.

    Returns
    -------
    Report
        It covers all runs in its folder, those of earlier studies included; where they exclude
        each other, as with other labels, this study's count. What cannot be done (a
        corpus that cannot be read, a protocol it does not allow) is named in its problems.

    Raises
    ------
    StudyError
        If a setting is not valid, or nothing at all can be done.

    Examples
    --------
    >>> run_study(read_study("studies/miniature.yaml")).index  # doctest: +SKIP
    PosixPath('reports/index.html')
    """
    out = _writable(Path(study.settings.out).absolute())
    plan, store = _planned(study, out, say)
    problems = plan.problems
    for problem in problems:
        say(f"will be left out: {problem}")
    _say_what_is_to_do(study, plan, store, say)
    ask_for(out, {run.name for run in plan.all_runs})
    jobs = study.settings.jobs
    with engine(study.settings.engine, study.settings.scheduler):
        failures = {}
        for block, runs in _now(study, plan).items():
            failures |= compute(runs, store, jobs, block or "training")
    absent = _absent(study, plan, store)
    failed = set(failures).union(*absent.values())
    if failures and all(run.name in failed for run in plan.all_runs):
        first, *others = dict.fromkeys(failures.values())
        raise StudyError(first + f" (and {len(others)} more such)" * bool(others))
    problems += dict.fromkeys(failures.values())
    problems += _left_out(plan)
    problems += _without_features(plan, store)
    complete = [g for g, runs in plan.runs.items() if failed.isdisjoint(run.name for run in runs)]
    notebooks = list_notebooks(study, plan, complete, out)
    if missing := [notebook for notebook in notebooks if not notebook.is_done(out)]:
        say(f"executing {len(missing)} of {len(notebooks)} notebooks")
    if not notebooks and any((out / "notebooks").glob("*.html")):
        say("no notebook is executed: those in the report may be of earlier runs")
    problems += execute_in_parallel(missing, out, jobs)
    lines = [*problems, *_left_for_later(study, absent)]
    report = Report(write_index(out, lines), tuple(problems))
    stored, shown = (len(set(runs["run"])) for runs in (load_runs(store), study_runs(out)))
    if shown < stored:
        say(
            f"{stored - shown} of {stored} stored runs are not in the report: of earlier labels, "
            "files, code or settings, or of synthetic speech beside real"
        )
    return report


def dry_run(study: Study, say: Callable[[str], None] = print) -> tuple[str, ...]:
    """List the runs of a study, estimate the time of the missing ones; return what is left out."""
    out = Path(study.settings.out).absolute()
    plan, store = _planned(study, out, say)
    say(describe_runs(plan.runs).to_string(index=False))
    say(costs(plan.blocks, store).to_string(index=False))
    _say_what_is_to_do(study, plan, store, say)
    return tuple(plan.problems)


def _say_what_is_to_do(study: Study, plan: Plan, store: RunStore, say: Callable) -> None:
    out = store.root.parent
    now, absent = chain(*_now(study, plan).values()), _absent(study, plan, store)
    say(sentence(*estimate(now, store), study.settings.jobs))
    for line in _left_for_later(study, absent):
        say(line)
    groups = [group for group in plan.runs if group.block not in absent]
    if notebooks := list_notebooks(study, plan, groups, out):
        missing = sum(not notebook.is_done(out) for notebook in notebooks)
        say(f"{missing} of {len(notebooks)} notebooks to execute, after that")


def _now(study: Study, plan: Plan) -> dict[str, list[Run]]:
    """List the runs that are wanted now, by block."""
    return {block: runs for block, runs in plan.blocks.items() if block not in study.later}


def _absent(study: Study, plan: Plan, store: RunStore) -> dict[str, set[str]]:
    """Name the runs that a study leaves for later and that are not there, by block."""
    now = {run.name for run in chain(*_now(study, plan).values())}
    found = {
        block: {run.name for run in runs if not store.has(stored_as(run, store))} - now
        for block, runs in plan.blocks.items()
        if block in study.later
    }
    return {block: names for block, names in found.items() if names}


def _left_for_later(study: Study, absent: Mapping[str, set[str]]) -> list[str]:
    return [
        f'left for later: {len(names)} runs of "{block}" ({study.later[block]}); '
        f'--blocks "{block}" computes them'
        for block, names in absent.items()
    ]


def _planned(study: Study, out: Path, say: Callable) -> tuple[Plan, RunStore]:
    plan = plan_study(study, say)
    if not plan.runs:
        nothing = (
            "nothing to do: methods of adaptation need --pairs, or --protocols that hold speakers "
            "out; all others need --protocols"
        )
        raise StudyError("; ".join(plan.problems) or f"study: {nothing}")
    return plan, RunStore(out / "runs")


def _left_out(plan: Plan) -> list[str]:
    """Say in a line per corpus which files are not part of it."""
    return [
        f"{name}: {lost} of {lost + len(manifest)} files left out, such as "
        f"{files[0]['path']}: {files[0]['reason']}"
        for name, manifest in plan.manifests.items()
        if (files := manifest.attrs["problems"]) and (lost := manifest.attrs["left_out"])
    ]


def _without_features(plan: Plan, store: RunStore) -> list[str]:
    """Say in a line per method and place which utterances have no features."""
    needed = {run.name: run for one in plan.all_runs for run in one.needed}
    runs = {stored_as(run, store): run for run in needed.values()}
    found: dict[tuple[str, str, int], dict[str, str]] = {}
    for stored in read_runs(store, runs):
        run, left_out = runs[stored["run"]], stored["record"].get("left_out", {})
        of = run.method.label, run.problem.place, len(run.problem.manifest)
        found.setdefault(of, {}).update(left_out)
    return [
        f"{label} on {place}: {len(left_out)} of {count} utterances left out, such as "
        + ": ".join(min(left_out.items()))
        for (label, place, count), left_out in found.items()
        if left_out
    ]


def _writable(out: Path) -> Path:
    """Make the report's folder, and find out now whether it can be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise StudyError(
            f"report folder {out}: cannot write ({error.strerror or error}); "
            "expected a folder that can be written: --out FOLDER"
        ) from error
    return out
