"""What a study is made of: its settings, their defaults and limits."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

from ctl_helpers.corpora import find_corpora, is_miniature, make_miniature
from ctl_helpers.errors import StudyError
from ctl_helpers.features.normalisation import NORMALISATIONS
from ctl_helpers.methods.experiments import SELECTIONS
from ctl_helpers.methods.shallow import METHODS as BASELINES
from ctl_helpers.methods.transfers import LABELS, SCORINGS
from ctl_helpers.networks import recipes
from ctl_helpers.protocols.inside import PARTITION, PROTOCOLS

METHODS = ("source-only", "caam-released", "caam-mdd")
OWN = "recipe"  # the normalisation that a recipe names itself


@dataclass(frozen=True)
class Settings:
    """What a study is made of; what is None follows from whether the speech is synthetic.

    Parameters
    ----------
    corpora : path, optional
        The folder that holds the corpora; by default the miniature ones.
    names : tuple of str
        Which of them; by default all that are found.
    recipes : tuple of str, optional
        By default ``released``, for miniature corpora ``quick``.
    epochs : int, optional
        In place of the recipes' own.
    normalisations : tuple of str
        Conditions inside one corpus: ``recipe``, what each recipe names itself, or one of
        :data:`ctl_helpers.features.normalisation.NORMALISATIONS` in its place.
    baselines : tuple of str
        Of :data:`ctl_helpers.methods.shallow.METHODS`, on the same splits and pairs; ``all`` for all.
    protocols : tuple of str
        See :func:`ctl_helpers.protocols.inside.make_splits`; empty for transfers alone.
    folds : int, optional
        Of the k-fold protocols; by default 10, for miniature corpora 3.
    only : tuple of int, optional
        Numbers of the splits to run, from 0; by default all.
    seeds : tuple of int
        A run for each.
    pairs : tuple of (str, str), optional
        Source and target of transfers; by default all ordered pairs, of miniature corpora two.
    methods, scorings, labels : tuple of str
        Of the transfers; see :func:`ctl_helpers.methods.transfers.transfer`.
    selection : str, optional
        By default ``last``, for miniature corpora ``best_test``, which keeps both.
    out : path
        Where the report and the runs go.
    jobs : int, optional
        Processes side by side; by default one per core.
    engine, scheduler : str
        See :func:`ctl_helpers.parallel.engine`.
    """

    corpora: str | Path | None = None
    names: tuple[str, ...] = ()
    recipes: tuple[str, ...] | None = None
    epochs: int | None = None
    normalisations: tuple[str, ...] = (OWN,)
    baselines: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ("kfold",)
    folds: int | None = None
    only: tuple[int, ...] | None = None
    seeds: tuple[int, ...] = (0,)
    pairs: tuple[tuple[str, str], ...] | None = None
    methods: tuple[str, ...] = METHODS
    scorings: tuple[str, ...] = ("transductive",)
    labels: tuple[str, ...] = ("emotion",)
    selection: str | None = None
    out: str | Path = "reports"
    jobs: int | None = None
    engine: str = "local"
    scheduler: str | None = None


def cpac_recipe(
    name: str, epochs: int | None = None, normalisation: str | None = None
) -> recipes.Recipe:
    """Look up a recipe for CPAC, with other epochs or another normalisation where one is given."""
    changes = {"epochs": epochs, "normalisation": normalisation}
    return recipes.recipe(name, **{field: value for field, value in changes.items() if value})


def transfer_recipe(name: str, epochs: int | None = None) -> recipes.TransferRecipe:
    """Look up a recipe for transfers, with another number of epochs where one is given."""
    return recipes.transfer_recipe(name, **({"epochs": epochs} if epochs else {}))


def command_of(settings: Settings) -> str:
    """Write the command line that asks for the same runs, wherever the corpora and the report are.

    Examples
    --------
    >>> command_of(Settings(corpora="speech", names=("emodb",), recipes=("modern",), pairs=()))
    'python -m ctl_helpers study --corpora /data/ser --names emodb --recipe modern --pairs none'
    """
    words, default = ["python -m ctl_helpers study"], Settings()
    if settings.corpora is not None:
        words.append("--corpora /data/ser")
    for option, field in _OPTIONS.items():
        if (value := getattr(settings, field)) == getattr(default, field):
            continue
        if field == "pairs":
            value = [":".join(pair) for pair in value] or ["none"]
        if value == () and field == "protocols":
            value = ("none",)
        if value == ("all",):
            value = ()
        values = value if isinstance(value, tuple | list) else [value]
        words.append(" ".join([option, *(shlex.quote(str(one)) for one in values)]))
    return " ".join(words)


_OPTIONS = {
    "--names": "names",
    "--recipe": "recipes",
    "--epochs": "epochs",
    "--normalisation": "normalisations",
    "--protocols": "protocols",
    "--folds": "folds",
    "--only": "only",
    "--seeds": "seeds",
    "--pairs": "pairs",
    "--methods": "methods",
    "--scoring": "scorings",
    "--labels": "labels",
    "--selection": "selection",
    "--baselines": "baselines",
}


def settle(settings: Settings) -> tuple[Path, Settings]:
    """Find the corpora, fill in what follows from them, and check every word a person typed.

    Returns
    -------
    root : Path
        The folder that holds the corpora.
    settings : Settings
        With nothing left open.

    Raises
    ------
    StudyError
        For the first word that is not known, with those that are.
    """
    root = make_miniature() if settings.corpora is None else Path(settings.corpora)
    found = find_corpora(root)
    small = is_miniature(root)
    names = tuple(_named(name, found) for name in settings.names) or tuple(found)
    pairs = settings.pairs
    if pairs is None:
        pairs = tuple(permutations(names, 2))
        if small and len(names) > 2:
            first = [name for name in ("emodb", "casia", *names) if name in names][:2]
            pairs = tuple(permutations(first, 2))
    settings = replace(
        settings,
        names=names,
        recipes=settings.recipes or (("quick",) if small else ("released",)),
        folds=settings.folds or (3 if small else 10),
        pairs=tuple((_named(a, found), _named(b, found)) for a, b in pairs),
        selection=settings.selection or ("best_test" if small else "last"),
        baselines=tuple(BASELINES) if "all" in settings.baselines else settings.baselines,
    )
    _check("selection", settings.selection, SELECTIONS)
    for name in settings.recipes:
        cpac_recipe(name, settings.epochs)
        if pairs:
            transfer_recipe(name, settings.epochs)
    for normalisation in settings.normalisations:
        _check("normalisation", normalisation, (OWN, *NORMALISATIONS))
    for method in settings.baselines:
        _check("baseline", method, ("all", *BASELINES))
    for scoring in settings.scorings:
        _check("scoring", scoring, SCORINGS)
    for labels in settings.labels:
        _check("labels", labels, LABELS)
    for protocol in settings.protocols:
        if not protocol.startswith(PARTITION):
            _check("protocol", protocol, (*PROTOCOLS, f"{PARTITION}FOLDER"))
    if set(settings.methods) - set(METHODS):
        from ctl_helpers.networks.adaptation import METHODS as KNOWN  # imports Keras

        for method in settings.methods:
            _check("method", method, tuple(KNOWN))
    for source, target in settings.pairs:
        if source == target:
            raise StudyError(f"pair {source}:{target}: expected two corpora, got one twice")
    if settings.folds < 2:
        raise StudyError(f"folds: expected 2 or more, got {settings.folds}")
    if settings.epochs is not None and settings.epochs < 1:
        raise StudyError(f"epochs: expected 1 or more, got {settings.epochs}")
    return root, settings


def _named(name: str, found: Iterable[str]) -> str:
    for spelled in found:
        if spelled.casefold() == name.casefold():
            return spelled
    raise StudyError(f"corpus {name!r}: expected one of those found: {', '.join(found)}")


def _check(what: str, word: str, known: Iterable[str]) -> None:
    if word not in known:
        raise StudyError(f"{what} {word!r}: expected one of {', '.join(known)}")
