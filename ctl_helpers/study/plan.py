"""The plan of a study: every run that it asks for, before anything is computed."""

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, combinations, permutations, product
from pathlib import Path

import pandas as pd

from ctl_helpers.corpora import SYNTHETIC, find_corpora, is_miniature, load_manifest, make_miniature
from ctl_helpers.corpora.catalogue import CATALOGUE, samples_of
from ctl_helpers.errors import StudyError, log
from ctl_helpers.features import is_array
from ctl_helpers.methods import Method, parse
from ctl_helpers.methods.given import GivenMethod
from ctl_helpers.methods.network import NetworkMethod
from ctl_helpers.methods.shallow import ShallowMethod
from ctl_helpers.protocols import Problem, problems_across, problems_inside
from ctl_helpers.protocols.inside import check_protocol
from ctl_helpers.runs.run import Run, seeded
from ctl_helpers.study.settings import Settings, Study, spelled

_WORTH_SAYING = ("telling", "column", "table", "speaker", "merged", "unlisted")  # kinds of notes


@dataclass(frozen=True)
class Group:
    """Runs that one page shows together: one condition, or all methods of one recipe on a pair.

    Parameters
    ----------
    place : tuple of str
        The corpus, or source and target.
    protocol : str
        How the corpus is divided; across corpora the scoring.
    label : str
        The method inside a corpus; across corpora the recipe.
    normalisation : str
        ``"own"``, or what takes its place.
    labels : str
        Kind of the classes.
    block : str
        Name of the study's block that it is from.
    """

    place: tuple[str, ...]
    protocol: str
    label: str
    normalisation: str
    labels: str
    block: str


@dataclass
class Plan:
    """The runs of a study, and a line for each that cannot be done.

    Parameters
    ----------
    runs : dict of Group to list of Run
        Each run is in one group.
    settings : dict of Group to Settings
        The settings of a group's block, with the group's methods (one inside a corpus, those of one
        recipe across corpora) and the change of their recipes.
    problems : list of str
        A line for each corpus, protocol, pair or method that was left out.
    manifests : dict
        By name of corpus.
    """

    runs: dict[Group, list[Run]] = field(default_factory=dict)
    settings: dict[Group, Settings] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    manifests: dict[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def all_runs(self) -> list[Run]:
        """Every run once."""
        return _each_once(chain(*self.runs.values()))

    @property
    def blocks(self) -> dict[str, list[Run]]:
        """The runs of each block, in the study's order."""
        found: dict[str, list[Run]] = {}
        for group, runs in self.runs.items():
            found.setdefault(group.block, []).extend(runs)
        return found


def _each_once(runs: Iterable[Run]) -> list[Run]:
    return list({_name(run): run for run in runs}.values())


def _name(run: Run) -> str:
    """Name a run; a StudyError if it, or a member of a fusion, needs features that are not had."""
    name, *_ = [one.name for one in run.needed]
    return name


def open_corpora(study: Study, say: Callable = lambda line: None) -> tuple[Path, list[str]]:
    """Find the folder of corpora, or make the miniature ones, and the names of what is in it.

    ``say`` gets a line where the speech is synthetic.
    """
    root = study.settings.corpora
    folder = make_miniature() if root is None else Path(root)
    places = find_corpora(folder, study.settings.columns, study.settings.emotions)
    if all(map(is_miniature, places.values())):
        say(SYNTHETIC)
    return folder, list(places)


def load_manifests(study: Study, say: Callable = lambda line: None) -> Iterator[pd.DataFrame]:
    """Give the manifest of each corpus that a study names; ``say`` as for `open_corpora`."""
    root, found = open_corpora(study, say)
    for name in names_of(study.settings, found):
        yield load_manifest(root, name, **study.settings.reading)


def plan_study(study: Study, say: Callable[[str], None] = lambda line: None) -> Plan:
    """Plan every run of a study.

    Parameters
    ----------
    study : Study
        As :func:`ctl_helpers.study.settings.read_study` gives it.
    say : callable
        Gets a line per corpus, and first one where the speech is synthetic.

    Returns
    -------
    Plan
        What cannot be done is named among its problems.

    Raises
    ------
    StudyError
        When a word of the study is not known, or there are no corpora.
    """
    root, found = open_corpora(study, say)
    plan = Plan()
    wanted = chain(*(_checked(settings, found) for settings in study.blocks.values()))
    shuffled = [s.folds for s in study.blocks.values() if {"kfold", "stratified"} & {*s.protocols}]
    folds = max(shuffled, default=0)
    for name in dict.fromkeys(wanted):
        with _naming_problems(plan, name):
            plan.manifests[name] = manifest = load_manifest(root, name, **study.settings.reading)
            say(_line_of(name, manifest, folds))
    idle = [set(_reasons(manifest, "label")) for manifest in plan.manifests.values()]
    for reason in sorted(set.intersection(*idle)) if idle else ():
        say(f"warning: {reason}")
    for name, settings in study.blocks.items():
        _plan_block(name, settings, found, plan)
    for line in _rows_for_several(plan):
        say(f"warning: {line}")
    changed = [settings for settings in study.blocks.values() if any(settings.changes)]
    methods = [method for settings in changed for *_, method in _methods(settings, across=False)]
    needed = chain(*(method.needed for method in methods))
    if changed and not any(isinstance(method, NetworkMethod) for method in needed):
        plan.problems.append("changes: none of its methods is a network, whose recipe they change")
    return plan


def _rows_for_several(plan: Plan) -> Iterator[str]:
    """Say where a row of a file of one's own may be taken for utterances of several corpora."""
    places: dict[str, set[str]] = {}
    for group, runs in plan.runs.items():
        methods = runs[0].method.needed if len(group.place) == 1 else []
        for file in chain(*map(_own_files, methods)):
            places.setdefault(file, set()).update(group.place)
    for file, names in places.items():
        for one, other in combinations(sorted(names), 2):
            if both := {*plan.manifests[one]["utterance"]} & {*plan.manifests[other]["utterance"]}:
                apart = "a column corpus" if file.startswith("given:") else "longer paths"
                yield (
                    f"{file}: {one} and {other} both have an utterance {min(both)}, and one row "
                    f"may count for both; tell them apart by {apart}"
                )


def _own_files(method: Method) -> list[str]:
    """Files whose rows a method looks up by the names of utterances."""
    if isinstance(method, GivenMethod):
        return [] if "corpus" in method.table else [method.label]
    return [str(one) for one in method.features if is_array(one)]


def _reasons(manifest: pd.DataFrame, kind: str) -> list[str]:
    return [one["reason"] for one in manifest.attrs["notes"] if one["kind"] == kind]


def _line_of(name: str, manifest: pd.DataFrame, folds: int) -> str:
    """Say of a corpus how large it is, and what may change its scores."""
    emotions, unnamed = manifest["emotion"].nunique(), int(manifest["speaker"].eq("").sum())
    of_published, is_real = "", not is_miniature(manifest.attrs["folder"])
    if is_real and name in CATALOGUE and len(manifest) < CATALOGUE[name].size:
        of_published = f" of {CATALOGUE[name].size} published"
    line = f"{name}: {len(manifest)}{of_published} utterances, {emotions} emotions"
    if unnamed:
        who = "no speakers are" if unnamed == len(manifest) else f"of {unnamed} no speaker is"
        line += f"; {who} named: training and test may share voices"
    counts = manifest["emotion"].value_counts()
    if few := [f"{emotion} ({counts[emotion]})" for emotion in counts[counts < folds].index]:
        listed = ", ".join(few)
        line += f"; not every fold can test {listed}: fewer utterances than {folds} folds"
    for kind in _WORTH_SAYING:
        first, *others = _reasons(manifest, kind) or [""]
        line += f"; {first}" * bool(first) + f" (and {len(others)} more such)" * bool(others)
    if cropped := len(_reasons(manifest, "long")):
        line += f"; {cropped} longer than the signal: cropped to their middle"
    if overlap := len(_reasons(manifest, "overlap")):
        line += f"; {overlap} share sound with another: training and test may, too"
    return line


def _plan_block(block: str, settings: Settings, found: list[str], plan: Plan) -> None:
    names = [name for name in names_of(settings, found) if name in plan.manifests]
    held_out = False
    for name, protocol in product(names, settings.protocols):
        with _naming_problems(plan, name):
            problems = _problems_inside(plan.manifests[name], protocol, settings)
            held_out |= any(problem.held_out for problem in problems)
            _add(block, settings, plan, problems, settings.seeds)
    pairs = _pairs(settings, found)
    for (source, target), scoring, labels in product(pairs, settings.scorings, settings.labels):
        if any(name not in plan.manifests for name in [*source.split("+"), *target.split("+")]):
            continue
        with _naming_problems(plan, f"{source} -> {target}"):
            asked = plan.manifests, source, target, scoring, labels
            halved = scoring == "inductive"  # each seed divides the target anew
            for seeds in [(seed,) for seed in settings.seeds] if halved else [settings.seeds]:
                problems = problems_across(*asked, seeds[0])
                _add(block, settings, plan, problems, seeds)
    there = [used.methods for group, used in plan.settings.items() if group.block == block]
    asked_for = {text: method for text, *_, method in _methods(settings, across=False)}
    for text, method in asked_for.items():
        files = [one.label for one in method.needed if isinstance(one, GivenMethod)]
        named = any(file in problem for file in files for problem in plan.problems)
        if named or text in chain(*there) or not plan.manifests:
            continue
        adapts = any(one.adapts for one in method.needed)
        if files:
            places = ", ".join(plan.manifests)
            plan.problems.append(f"{text}: its column corpus names none of those here ({places})")
        elif held_out and not pairs and settings.methods != Settings().methods and adapts:
            said = "adaptation to speakers held out needs the normalisation 'speaker'"
            plan.problems.append(f"{text}: {said}")


def _problems_inside(manifest: pd.DataFrame, protocol: str, settings: Settings) -> list[Problem]:
    """Make the problems of a protocol for every seed of the division, those that are alike once."""
    problems: dict[tuple, Problem] = {}
    for division in settings.divisions:
        for one in problems_inside(manifest, protocol, settings.folds, division, settings.only):
            # Of whole speakers, say, every seed makes the same parts.
            problems.setdefault((one.split, one.train.tobytes(), one.test.tobytes()), one)
    return list(problems.values())


@contextmanager
def _naming_problems(plan: Plan, place: str) -> Iterator[None]:
    """Turn a StudyError inside a ``with`` block into a line of the plan's problems."""
    try:
        yield
    except StudyError as error:
        said = str(error)
        first = re.escape(re.split(":? ", place)[0])
        named = re.search(rf"(?<!\w){first}(?!\w)", said.split(": ")[0])
        line = said if named else f"{place}: {said}"
        if line not in plan.problems:
            plan.problems.append(line)


def _add(
    block: str, settings: Settings, plan: Plan, problems: list[Problem], seeds: Iterable[int]
) -> None:
    """Add a run of every method for each of some problems of one place and each of the seeds."""
    first, length = problems[0], samples_of(settings.seconds)
    place = (first.source, first.target) if first.across else (first.corpus,)
    problems = [replace(problem, length=length) for problem in problems]
    for text, normalisation, change, method in _methods(settings, first.across):
        label = method.label
        if first.across and isinstance(method, NetworkMethod):
            label = method.recipe.name
        normalisation = change.pop("normalisation", None) or normalisation  # no label has it
        with _naming_problems(plan, f"{first.place}: {text}"):
            suiting = [problem for problem in problems if method.suits(problem)]
            if not suiting:
                continue
            group = Group(place, first.protocol, label, normalisation, first.labels, block)
            more = product(suiting, seeds)
            runs = plan.runs.get(group, []) + [seeded(one, method, seed) for one, seed in more]
            plan.runs[group] = _each_once(runs)
            asked = plan.settings.get(group, replace(settings, methods=()))
            methods = tuple(dict.fromkeys([*asked.methods, text]))
            plan.settings[group] = replace(settings, methods=methods, changes=(change,))


def _methods(settings: Settings, across: bool) -> Iterator[tuple[str, str, dict, Method]]:
    """Every method of a block under every normalisation, those that come out alike once."""
    seen = []
    for text, normalisation, change in product(
        settings.methods, settings.normalisations, settings.changes
    ):
        changed = {"epochs": settings.epochs} | dict(change)
        method = parse(text, normalisation, settings.selection, changed, across)
        described = method.spec()
        if described not in seen:
            seen.append(described)
            yield text, normalisation, dict(change), method


def names_of(settings: Settings, found: list[str]) -> list[str]:
    """Spell the corpora that a study names as they were found, each once; all without names."""
    return list(dict.fromkeys(spelled(name, found) for name in settings.names)) or found


def _pairs(settings: Settings, found: list[str]) -> list[tuple[str, str]]:
    if settings.pairs == ("all",):
        return list(permutations(names_of(settings, found), 2))
    pairs = []
    for word in settings.pairs:
        sides = word.split(":")
        if len(sides) != 2 or not all(sides):
            raise StudyError(f"pair {word!r}: expected SOURCE:TARGET, as emodb:casia, all or none")
        names = [[spelled(name, found) for name in side.split("+")] for side in sides]
        source, target = map("+".join, names)
        if source == target:
            raise StudyError(f"pair {word}: expected two corpora, got one twice")
        pairs.append((source, target))
    return pairs


def _checked(settings: Settings, found: list[str]) -> list[str]:
    """Check every word of a block, before any work; return the corpora that it needs."""
    for protocol in settings.protocols:
        check_protocol(protocol)
    if settings.folds < 2:
        raise StudyError(f"folds: expected 2 or more, got {settings.folds}")
    for *_, method in _methods(settings, across=False):
        for one in method.needed:
            if isinstance(one, ShallowMethod) and one.own and not one.seeded and settings.seeds[1:]:
                log.warning("%s: its function takes no seed: it runs once for all seeds", one.label)
    inside = names_of(settings, found) if settings.protocols else []
    across = [name for pair in _pairs(settings, found) for side in pair for name in side.split("+")]
    return [*inside, *across]


def describe_runs(runs: Mapping[Group, list[Run]]) -> pd.DataFrame:
    """List the groups of a plan, a row each: place, protocol, method, how many runs."""
    columns = ["place", "protocol", "methods", "normalisation", "labels", "runs", "block"]
    rows = []
    for group, some in runs.items():
        first, *others = dict.fromkeys(run.method.label for run in some)
        methods = textwrap.shorten(first, 100) + f" and {len(others)} more" * bool(others)
        found = {"place": " -> ".join(group.place), "methods": methods, "runs": len(some)}
        rows.append(asdict(group) | found)
    table = pd.DataFrame(rows, columns=columns)
    return table.loc[:, table.ne("").any()]


def list_splits(study: Study) -> pd.DataFrame:
    """List the splits of a study's corpora: who is in which part.

    Returns
    -------
    DataFrame
        A row per utterance and split: corpus, protocol, division (its seed), split, part (train or
        test), utterance, emotion, speaker.
    """
    tables = []
    for manifest in load_manifests(study):
        for protocol in study.settings.protocols:
            problems = _problems_inside(manifest, protocol, study.settings)
            for problem, part in product(problems, ("train", "test")):
                rows = manifest.iloc[getattr(problem, part)]
                place = {"protocol": protocol, "division": problem.division, "split": problem.split}
                tables.append(rows.assign(**place, part=part))
    if not tables:
        raise StudyError("splits: expected protocols inside a corpus, got none")
    columns = ["corpus", "protocol", "division", "split", "part"]
    columns += ["utterance", "emotion", "speaker"]
    return pd.concat(tables, ignore_index=True)[columns]
