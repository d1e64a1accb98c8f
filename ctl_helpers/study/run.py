"""The study: all runs of a grid, the notebooks that tell them, and an index page."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from ctl_helpers.corpora import is_miniature
from ctl_helpers.errors import StudyError
from ctl_helpers.parallel import engine, parallel_map
from ctl_helpers.report.index import read_study, write_index
from ctl_helpers.report.pages import SYNTHETIC, Cell, execute, is_done
from ctl_helpers.results.naming import name_of, title_of, transfer_words
from ctl_helpers.results.runs import CONDITION, load_runs
from ctl_helpers.runs.store import RunStore, write_json
from ctl_helpers.study.grid import Group, Plan, forecast, plan_runs, read_manifests, train
from ctl_helpers.study.settings import Settings, command_of, cpac_recipe, settle


@dataclass(frozen=True)
class Report:
    """What a study left behind: its index page, and a line for everything that was left out."""

    index: Path
    problems: tuple[str, ...]


def run_study(settings: Settings, say: Callable[[str], None] = print) -> Report:
    """Compute what is missing of a study and write its report.

    Parameters
    ----------
    settings : Settings
        What to do.
    say : callable
        Gets a line for each step.

    Returns
    -------
    Report
        It tells of the earlier studies in the same folder, too, unless their speech was synthetic
        and this one's is not, or the other way round. What cannot be done (a corpus that cannot be
        read, a protocol it does not allow) is named in its problems and costs nothing else.

    Raises
    ------
    StudyError
        If a setting is no use, or nothing at all can be done.

    Examples
    --------
    >>> run_study(Settings(names=("emodb", "casia"), epochs=2)).index  # doctest: +SKIP
    PosixPath('reports/index.html')
    """
    command = command_of(settings)
    root, settings = settle(settings)
    out = _writable(Path(settings.out).absolute())
    synthetic = is_miniature(root)
    if synthetic:
        say(SYNTHETIC)
    problems: list[str] = []
    manifests = read_manifests(root, settings, problems, say)
    store = RunStore(out / "runs")
    plan = plan_runs(settings, manifests, store)
    problems += plan.problems
    if not plan.tasks:
        raise StudyError("; ".join(problems) or "study: nothing to do")
    say(forecast(plan.tasks))
    with engine(settings.engine, settings.scheduler):
        runs = train(plan.tasks, settings, problems)
    earlier = _earlier(out, synthetic)
    told = unite(load_runs(store), earlier.get("runs", ()), set().union(*runs.values()))
    cells = list_notebooks(root, settings, plan, runs, told)
    pages = {cell.name: [cell.notebook, cell.title] for cell in cells}
    pages = dict(sorted((earlier.get("notebooks", {}) | pages).items()))
    commands = list(dict.fromkeys([*earlier.get("commands", ()), command]))
    study = {"synthetic": synthetic, "runs": told, "notebooks": pages, "commands": commands}
    write_json(out / "study.json", study | {"problems": problems})
    missing = [cell for cell in cells if not is_done(cell, out)]
    say(f"{len(missing)} of {len(cells)} notebooks to execute")
    outcomes = parallel_map(
        partial(execute, out=out), missing, settings.jobs, "notebooks", unit="notebook"
    )
    problems += filter(None, outcomes)
    index = write_index(out, pages, synthetic, problems + _left_out(manifests))
    return Report(index, tuple(problems))


def _earlier(out: Path, synthetic: bool) -> dict:
    """Read what earlier studies of the same kind of speech wrote down in this folder."""
    try:
        earlier = read_study(out)
    except StudyError:  # damaged: it is written anew
        return {}
    return earlier if earlier.get("synthetic") == synthetic else {}


def unite(runs: pd.DataFrame, earlier: Iterable[str], now: Iterable[str]) -> list[str]:
    """Join the runs of earlier studies with those of this one.

    Parameters
    ----------
    runs : DataFrame
        From `results.load_runs`.
    earlier, now : iterable of str
        Names of run folders.

    Returns
    -------
    list of str
        An earlier run makes way for a new one of the same split, seed and settings, as there is
        where package versions have changed, or the best test epoch is asked for besides the last:
        one training counts once.
    """
    runs = runs[runs["run"].isin({*earlier, *now})]
    new = runs["run"].isin(set(now))
    what = runs[[*CONDITION, "variant", "seed", "split"]]
    what = pd.MultiIndex.from_frame(what.assign(other=runs["selection"] == "validation"))
    again = what.isin(what[new]) & ~new
    return sorted(set(runs.loc[~again, "run"]))


def _left_out(manifests: dict[str, pd.DataFrame]) -> list[str]:
    """Say in a line per corpus which files are not part of it."""
    lines = []
    for name, manifest in manifests.items():
        if files := manifest.attrs.get("problems"):
            first = files[0]
            lines.append(
                f"{name}: {len(files)} of {len(files) + len(manifest)} files left out, such as "
                f"{first['path']}: {first['reason']}"
            )
    return lines


def _writable(out: Path) -> Path:
    """Make the report's folder, and find out now whether it can be written."""
    probe = out / f".written.{os.getpid()}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StudyError(
            f"report folder {out}: cannot write ({error.strerror or error}); "
            "expected a folder that can be written: --out FOLDER"
        ) from error
    return out


def list_notebooks(
    root: Path,
    settings: Settings,
    plan: Plan,
    runs: dict[Group, set[str]],
    told: Sequence[str],
) -> list[Cell]:
    """List the notebooks of a study with their parameters.

    Parameters
    ----------
    root : Path
        The folder of corpora.
    settings : Settings
        From `settings.settle`.
    plan : Plan
        From `grid.plan_runs`.
    runs : dict
        From `grid.train`.
    told : list of str
        All runs that the report tells of.

    Returns
    -------
    list of Cell
    """
    out = Path(settings.out).absolute()
    # Where the notebook is run from, so that what it says holds on another machine, too.
    place = None if settings.corpora is None else os.path.relpath(root.absolute(), out)
    common = {"root": place, "out": "."}
    cells = []
    for (name, preset, *shared), features in plan.features.items():
        if name in settings.names and not shared:
            parameters = common | {"corpus": name, "preset": preset}
            title = f"{name_of(name)}, {preset} features"
            label = f"1_feature_exploration-{name}-{preset}"
            cells.append(Cell("1_feature_exploration", label, title, parameters, (features.key,)))
    for group, found in runs.items():
        if group.kind == "baseline":  # notebook 4 tells those
            continue
        cells.append(_cell_of_runs(group, sorted(found), settings, common))
    inputs = (*told, str(is_miniature(root)))
    cells.append(Cell("4_result_tables", "4_result_tables", "all results", common, inputs))
    return sorted(cells, key=lambda cell: cell.notebook)


def _cell_of_runs(group: Group, runs: list[str], settings: Settings, common: dict) -> Cell:
    common = common | {
        "recipe": group.recipe,
        "epochs": settings.epochs,
        "seeds": list(settings.seeds),
    }
    names = " → ".join(map(name_of, group.places))
    if group.kind == "transfer":
        source, target = group.places
        told = transfer_words(group.recipe, group.protocol, group.labels)
        notebook, label = "3_caam_transfer", "-".join([source, target, *told])
        more = {"source": source, "target": target, "methods": list(settings.methods)}
        more |= {"scoring": group.protocol, "labels": group.labels}
        title = ", ".join([names, *told])
    else:
        protocol = "".join(c if c.isalnum() else "_" for c in group.protocol)
        notebook, label = "2_cpac_kfold", f"{group.places[0]}-{group.recipe}-{protocol}"
        label += f"-{group.normalisation}" if group.normalisation else ""
        more = {"corpus": group.places[0], "protocol": group.protocol, "folds": settings.folds}
        more |= {"selection": settings.selection, "normalisation": group.normalisation or None}
        more["only"] = settings.only and list(settings.only)
        chosen = cpac_recipe(group.recipe, None, group.normalisation)
        row = {"corpus": group.places[0], "protocol": group.protocol, "method": group.recipe}
        title = title_of(row | {"normalisation": chosen.normalisation}, settings.only)
    return Cell(notebook, f"{notebook}-{label}", title, common | more, tuple(runs))
