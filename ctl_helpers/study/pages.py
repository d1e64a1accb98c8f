"""The notebooks of a study: which there are, with which parameters, and what they are called."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from ctl_helpers.errors import StudyError
from ctl_helpers.features import PRESETS
from ctl_helpers.methods.network import NetworkMethod
from ctl_helpers.report.notebooks import Notebook
from ctl_helpers.results.naming import method_of, name_of, title_of
from ctl_helpers.results.runs import study_runs
from ctl_helpers.runs.run import Run
from ctl_helpers.study.plan import Group, Plan
from ctl_helpers.study.settings import READING, Settings, Study

FEATURES, INSIDE = "1_feature_exploration", "2_cpac_kfold"
ACROSS, TABLES = "3_caam_transfer", "4_result_tables"
_USUAL = ("own", "transductive", "emotion", "")
_PARAMETERS = {
    INSIDE: ("corpus", "method", "protocol", "folds", "selection"),
    ACROSS: ("source", "target", "methods", "scoring", "labels"),
}


def list_notebooks(
    study: Study, plan: Plan, complete: Iterable[Group], out: Path
) -> list[Notebook]:
    """List the notebooks of a study with their parameters.

    Parameters
    ----------
    study : Study
        Its settings.
    plan : Plan
        Its runs.
    complete : iterable of Group
        Groups whose runs are all there.
    out : Path
        The report's folder, from which notebooks are executed.

    Returns
    -------
    list of Notebook
    """
    place = study.settings.corpora and os.path.relpath(study.settings.corpora, out)
    reading = {name: value for name in READING if (value := getattr(study.settings, name))}
    common = {"corpora": place, "out": ".", "more": reading}
    named: dict[str, Notebook] = {}
    looked_at = {}
    for group in complete:
        settings, runs = plan.settings[group], plan.runs[group]
        if not (settings.notebooks and isinstance(runs[0].method, NetworkMethod)):
            continue
        made = _of_group(group, settings, plan, common)
        if named.setdefault(made.name, made) != made:  # by its folds or selection, say
            words, title = (*made.words, group.block), f"{made.title} ({group.block})"
            made = replace(made, words=words, title=title)
            named[made.name] = made
        features = str(runs[0].method.features[0])
        if len(group.place) == 1 and features in PRESETS:
            looked_at[group.place[0], features] = runs[0].spec["method"]["features"]
    notebooks = list(named.values())
    for (corpus, features), keys in looked_at.items():
        title = f"{name_of(corpus)}, {features} features"
        parameters = common | {"corpus": corpus, "features": features}
        notebooks.append(Notebook(FEATURES, (corpus, features), title, parameters, tuple(keys)))
    if any(settings.notebooks for settings in plan.settings.values()):
        inputs = tuple(sorted(set(study_runs(out)["run"])))
        notebooks.append(Notebook(TABLES, (), "all results", {"out": "."}, inputs))
    return sorted(notebooks, key=lambda notebook: notebook.name)


def _of_group(group: Group, settings: Settings, plan: Plan, common: dict) -> Notebook:
    chosen = asdict(settings) | asdict(group) | {"scoring": group.protocol}
    chosen |= {"changes": settings.changes[0], "method": settings.methods[0]}
    chosen |= {"corpus": group.place[0], "source": group.place[0], "target": group.place[-1]}
    chosen = {k: list(v) if isinstance(v, tuple) else v for k, v in chosen.items()}
    seldom = ("epochs", "divisions", "only", "changes")
    more = common["more"] | {name: chosen[name] for name in seldom if chosen[name]}
    notebook, words, title = page_of(group, plan.runs[group])
    names = ("seeds", "normalisation", *_PARAMETERS[notebook])
    parameters = common | {"more": more} | {name: chosen[name] for name in names}
    # A page tells of other protocols of its corpus, too.
    read = [run for other in plan.runs if other.place == group.place for run in plan.runs[other]]
    inputs = tuple(sorted({run.name for run in read}))
    return Notebook(notebook, words, title, parameters, inputs)


def page_of(group: Group, runs: Sequence[Run]) -> tuple[str, list[str], str]:
    """Say which notebook shows these runs of networks, what sets its page apart, and its title."""
    method = runs[0].method
    if not isinstance(method, NetworkMethod):
        raise StudyError(f"expected a network, such as cpac/quick, got {group.label}")
    said = (*group.place, *dict.fromkeys(group.label.split("/")))
    said += (group.protocol, group.normalisation, group.labels)
    words = [word for word in said if word not in _USUAL]
    if len(group.place) == 2:
        places = " → ".join(map(name_of, group.place))
        unusual = [word for word in (group.protocol, group.labels) if word not in _USUAL]
        return ACROSS, words, ", ".join([places, group.label, *unusual])
    row = {"corpus": group.place[0], "protocol": group.protocol, "method": method.name}
    row |= {"recipe": method.recipe.name, "normalisation": method.recipe.normalisation}
    return INSIDE, words, title_of(row, method_of(row), name_of(row["protocol"]))
