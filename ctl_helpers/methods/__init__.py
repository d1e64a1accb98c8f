"""Methods: each turns a problem into predictions. A study names them like this.

====================================  ==========================================================
``cpac/modern``                       a network and its recipe, inside a corpus
``mine.py:network/modern``            your own network in the same recipe
``cdan-e/modern``                     a method of adaptation and its recipe, across corpora or to
                                      speakers held out
``compare+linear``                    feature sets of vectors and a classifier
``w2v.npz+logistic``                  your own array and a classifier
``mean(cpac/modern, compare+linear)`` the mean of the probabilities of others (``geometric``)
``given:theirs.csv``                  the predictions of another tool
====================================  ==========================================================
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ctl_helpers.errors import StudyError, nearest
from ctl_helpers.features import NORMALISATIONS as OF_RECIPES
from ctl_helpers.methods.fusion import MEANS, FusionMethod
from ctl_helpers.methods.given import GivenMethod
from ctl_helpers.methods.network import NetworkMethod
from ctl_helpers.methods.outcome import SELECTIONS, Method, Outcome
from ctl_helpers.methods.shallow import CLASSIFIERS, ShallowMethod
from ctl_helpers.networks import ADAPTATIONS, NETWORKS
from ctl_helpers.networks.recipes import RECIPES, check_fields, recipe
from ctl_helpers.plugins import is_reference

OWN = "own"  # the normalisation that a recipe names itself
NORMALISATIONS = (OWN, *OF_RECIPES)
_FUSION = re.compile(rf"({'|'.join(MEANS)})\((.*)\)")
_SHORT = {"mfcc": "mfcc-statistics"}


def parse(
    text: str,
    normalisation: str = OWN,
    selection: str = "last",
    changes: Mapping[str, Any] | None = None,
    across: bool = False,
) -> Method:
    """Make the method that a study names.

    Parameters
    ----------
    text : str
        See this module.
    normalisation : str
        In place of the recipe's own; ``"own"`` keeps it. Members of a fusion get it, too.
    selection : {"last", "validation", "best_test"}
        Of the epoch of networks; with adaptation, and in a fusion, it is always the last.
    changes : dict, optional
        Fields of the recipe to change, None to keep one.
    across : bool
        Whether it is for problems across corpora, where shallow methods standardise within each
        corpus unless they are asked for something else.

    Raises
    ------
    StudyError
        When the words name no method.

    Examples
    --------
    >>> parse("cpac/modern").recipe.epochs
    70
    >>> parse("mean(cpac/modern, compare+linear)").members[1].classifier
    'linear'
    """
    text = text.strip()
    check_fields(changes or {})
    if match := _FUSION.fullmatch(text):
        words = split_members(match[2])
        members = tuple(parse(word, normalisation, "last", changes, across) for word in words)
        if len(members) < 2:
            raise StudyError(f"method {text!r}: expected two members or more")
        return FusionMethod(match[1], members)
    if text.startswith("given:"):
        return GivenMethod(text.removeprefix("given:"))
    *features, last = text.split("+")
    if features and (last in CLASSIFIERS or is_reference(last)):
        own = "corpus" if across else "global"
        kind = own if normalisation == OWN else normalisation
        return ShallowMethod(tuple(_SHORT.get(f, f) for f in features), last, kind)
    return _network(text, normalisation, selection, changes or {})


def _network(text: str, normalisation: str, selection: str, changes: Mapping) -> NetworkMethod:
    name, _, named = text.rpartition("/")
    if not re.fullmatch(r"[\w-]+", named) or not name:
        name, named = text, ""
    adapts = name in ADAPTATIONS
    if not (adapts or name in NETWORKS or is_reference(name)):
        raise StudyError(
            f"method {text!r}: expected NETWORK/RECIPE ({', '.join(NETWORKS)} or "
            f"FILE.py:FUNCTION), a method of adaptation ({', '.join(ADAPTATIONS)}), "
            f"FEATURES+CLASSIFIER ({', '.join(CLASSIFIERS)}), mean(...), geometric(...) or "
            f"given:FILE{_meant(text)}"
        )
    named = named or (name if name in RECIPES else "released")
    chosen = recipe(named, adapts)
    if not adapts and chosen.network != name:
        # Another network in this recipe: what the recipe sets of its own network is dropped.
        chosen = replace(chosen, network=name, settings={})
    kind = None if normalisation == OWN else normalisation
    chosen = chosen.change(**{"normalisation": kind} | dict(changes))
    if adapts:
        return NetworkMethod(name, chosen, "last", "adaptation")
    return NetworkMethod(name, chosen, selection)


def _meant(text: str) -> str:
    """Ask which known word was meant by the last of a method's features, or by its network."""
    known = [*NETWORKS, *ADAPTATIONS, *CLASSIFIERS]
    return nearest(re.split(r"[+/]", text)[-1 if "+" in text else 0], known)


def split_members(text: str) -> list[str]:
    """Split the members of a fusion at the commas that are outside of parentheses."""
    words, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            words.append("")
        else:
            words[-1] += character
    return [word for word in map(str.strip, words) if word]
