"""The one kind of error that a user can fix, what its messages have in common, warnings."""

import difflib
import logging
from collections.abc import Collection, Iterable
from functools import cache

log = logging.getLogger("ctl_helpers")  # of warnings: each names what was left out, or surprises


class StudyError(ValueError):
    """A mistake in what the study was given: one line says what was expected and what came."""

    def _render_traceback_(self) -> list[str]:
        """Show the line alone in a notebook, where IPython would add pages of our own code."""
        return [f"error: {self}"]


def check_choice(what: str, value: object, known: Collection[str]) -> None:
    """Raise a StudyError unless a value is one of those that are known."""
    if value not in known:
        raise StudyError(f"{what}: expected one of {', '.join(known)}, got {value!r}")


@cache
def warn_once(line: str) -> None:
    """Warn of something that many runs or problems meet, once in a process."""
    log.warning("%s", line)


def nearest(word: str, known: Iterable[str]) -> str:
    """Ask whether a known word was meant, for the end of a message; nothing where none is near.

    Examples
    --------
    >>> nearest("metods", ["methods", "names"]), nearest("x", ["methods"])
    ("; did you mean 'methods'?", '')
    """
    near = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""
