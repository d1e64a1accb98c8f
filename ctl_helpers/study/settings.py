"""What a study is made of: every setting once, with its type, default, help and check.

The command line, the YAML files and the parameters of the notebooks all come from `Settings`.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ctl_helpers.errors import StudyError, check_choice, nearest
from ctl_helpers.plugins import load

_SHORTEST, _LONGEST = 0.1, 3600  # seconds of a signal
_COLUMNS = (  # of tables that have labels as columns, too
    *("classes", "corpus", "emotion", "end", "file", "kind", "labels", "method", "normalisation"),
    *("predicted", "protocol", "recipe", "run", "seed", "selection", "source", "speaker", "split"),
    *("start", "target", "uar", "utterance", "utterances", "variant", "war"),
)


def _word(value: Any) -> str:
    if isinstance(value, str | int | Path) and not isinstance(value, bool) and str(value).strip():
        return str(value)
    raise ValueError("a word")


def _place(value: Any) -> str:
    return os.path.expanduser(_word(value))


def _words(value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str | int) else value
    if not isinstance(values, list | tuple):
        raise ValueError("a list of words")
    return tuple(_word(one) for one in values)


def _some(value: Any) -> tuple[str, ...]:
    if not (words := _words(value)):
        raise ValueError("one word or more")
    return words


def _or_none(value: Any) -> tuple[str, ...]:
    words = _words(value)
    return () if words == ("none",) else words


def _number(value: Any) -> int:
    try:
        return int(str(value))  # neither 2.5 nor true
    except ValueError:
        raise ValueError("a whole number") from None


def _count(value: Any) -> int:
    if (number := _number(value)) < 1:
        raise ValueError("a whole number from 1")
    return number


def _length(value: Any) -> float:
    with suppress(ValueError):
        if _SHORTEST <= (seconds := float(str(value))) <= _LONGEST:
            return seconds
    raise ValueError(f"a number of seconds from {_SHORTEST} to {_LONGEST}")


def _numbers(value: Any) -> tuple[int, ...]:
    numbers = tuple(map(_number, value if isinstance(value, list | tuple) else [value]))
    if not all(0 <= number < 2**32 for number in numbers):  # what seeds can be
        raise ValueError("whole numbers from 0 to 4294967295")
    return numbers


def _seeds(value: Any) -> tuple[int, ...]:
    if not (numbers := _numbers(value)):
        raise ValueError("one number or more")
    return numbers


def _flag(value: Any) -> bool:
    words = {"true": True, "yes": True, "false": False, "no": False}
    if str(value).lower() not in words:
        raise ValueError("true or false")
    return words[str(value).lower()]


def _pairs(words: Iterable[Any], sign: str, example: str, empty: bool = False) -> dict[str, str]:
    pairs = [str(word).partition(sign) for word in words]
    whole = [key and found and (word or empty) and sign not in word for key, found, word in pairs]
    if not all(whole):
        raise ValueError(example)
    found = {key.strip(): word.strip() for key, _, word in pairs}
    if len(found) < len(pairs):
        raise ValueError(f"every word once, {example}")
    return found


def _mapping(value: Any, example: str = "pairs such as file:path") -> dict[str, str]:
    if isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        pairs = [pair for one in value if isinstance(one, Mapping) for pair in one.items()]
        if len(value) != len(pairs) or len(value) != len(dict(pairs)):
            raise ValueError(f"every word once, {example}")
        value = dict(pairs)
    if isinstance(value, Mapping):
        if other := [key for key in value if type(key) not in (str, int)]:
            raise ValueError(f"words, in quotes where YAML reads another thing: {other[0]!r}")
        found = {str(k): "" if word in (None, "") else _word(word) for k, word in value.items()}
    else:
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list | tuple) or not all(isinstance(one, str) for one in words):
            raise ValueError(example)
        found = _pairs(words, ":", example, empty=True)
    spelled: dict[str, str] = {}  # Positive and positive are one
    return {k: spelled.setdefault(v.strip().casefold(), v.strip()) for k, v in found.items()}


def _labels(value: Any) -> dict[str, str]:
    """Read a label map, in which all spellings of a word (Happy, happy) mean one label."""
    from ctl_helpers.corpora.words import fold

    found, seen = _mapping(value, "pairs such as excited:happy"), {}
    for word, label in found.items():
        if "," in label or label in _COLUMNS:
            raise ValueError(f"labels without commas that are no column of a table: {label!r}")
        if seen.setdefault(fold(word), label) != label:
            raise ValueError(f"one label for a word, of which {word!r} is another spelling")
    return found


def _columns(value: Any) -> dict[str, str]:
    """Read names of columns, each with what it means here; empty for one that is not read."""
    from ctl_helpers.corpora.tables import ALIASES

    found = _mapping(value)
    for meaning in found.values():
        if meaning and meaning not in ALIASES:
            hint = nearest(meaning, ALIASES) or f", one of {', '.join(ALIASES)}"
            raise ValueError(f"pairs such as file:path{hint}")
    return found


def _changes(value: Any) -> tuple[dict[str, Any], ...]:
    values = value if isinstance(value, list | tuple) else [value]
    if not values:
        raise ValueError("one entry or more")
    return tuple(dict(v) if isinstance(v, Mapping) else _assignments(str(v)) for v in values)


def _assignments(text: str) -> dict[str, Any]:
    example = "assignments such as epochs=20,shift=4"
    return {k: _literal(word) for k, word in _pairs(text.split(","), "=", example).items()}


def _literal(word: str) -> Any:
    with suppress(ValueError):
        return json.loads(word)
    return word


def _option(default: Any, read: Callable, text: str, name: str = "NAME", known: str = "") -> Any:
    """Declare a setting: its default, how a value is read, its help, what its values are called.

    ``known`` is where the words stand that it may have.
    """
    return field(default_factory=lambda: default, metadata=locals())


@dataclass(frozen=True)
class Settings:
    """The settings of a study, or of one block of it. ``--help`` says what each means."""

    corpora: str | None = _option(
        None, _place, "folder that holds the corpora; by default the miniature ones", "FOLDER"
    )
    names: tuple[str, ...] = _option((), _words, "which corpora; by default all that are found")
    emotions: Mapping[str, str] = _option(
        {},
        _labels,
        "what the words of your labels mean, such as excited:happy; WORD: leaves it out",
        "WORD:EMOTION",
    )
    columns: Mapping[str, str] = _option(
        {},
        _columns,
        "what the columns of your tables mean, such as file:path; COLUMN: leaves it out",
        "COLUMN:MEANING",
    )
    votes: bool = _option(
        False, _flag, "if rows of a table disagree, take the emotion that most of them name"
    )
    unpublished: bool = _option(
        False, _flag, "also use utterances that were not published first (EmoDB 2.0: 281 more)"
    )
    seconds: float | None = _option(
        None, _length, "length that signals are padded or cropped to; by default the corpus's", "S"
    )
    methods: tuple[str, ...] = _option(
        ("cpac/released", "source-only/released", "caam-released/released", "caam-mdd/released"),
        _some,
        "NETWORK/RECIPE, ADAPTATION/RECIPE, FEATURES+CLASSIFIER, mean(...), given:FILE",
    )
    protocols: tuple[str, ...] = _option(
        ("kfold",),
        _or_none,
        "inside a corpus: kfold, stratified, loso, grouped, sentences, strangers, "
        "partition:FOLDER, FILE.py:FUNCTION, inner:ANY, or none",
    )
    folds: int = _option(10, _count, "folds of the k-fold protocols", "N")
    divisions: tuple[int, ...] = _option((98,), _seeds, "seeds of the division", "N")
    only: tuple[int, ...] = _option((), _numbers, "numbers of the splits to run, from 0", "N")
    pairs: tuple[str, ...] = _option(
        ("all",),
        _or_none,
        "SOURCE:TARGET across corpora (casia+ravdess:emodb), all, or none",
        "A:B",
    )
    scorings: tuple[str, ...] = _option(
        ("transductive",),
        _some,
        "across corpora: transductive, inductive",
        known="ctl_helpers.protocols:SCORINGS",
    )
    labels: tuple[str, ...] = _option(
        ("emotion",),
        _some,
        "classes across corpora: emotion, shared, arousal, valence",
        known="ctl_helpers.protocols:LABELS",
    )
    normalisations: tuple[str, ...] = _option(
        ("own",),
        _some,
        "own: as the recipe says; or none, utterance, speaker (with all the speech of a new "
        "voice; speaker-5s, speaker-20s, speaker-60s with some of it), corpus, global",
        known="ctl_helpers.methods:NORMALISATIONS",
    )
    seeds: tuple[int, ...] = _option((0,), _seeds, "seeds of the training; a run for each", "N")
    selection: str = _option(
        "last", _word, "epoch that is scored: last, validation, best_test (keeps both)", "RULE",
        known="ctl_helpers.methods:SELECTIONS",
    )  # fmt: skip
    epochs: int | None = _option(None, _count, "epochs; by default the recipe's", "N")
    changes: tuple[Mapping[str, Any], ...] = _option(
        ({},), _changes, "fields of the recipes to change; a run for each entry", "FIELD=VALUE,..."
    )
    notebooks: bool = _option(True, _flag, "execute the notebooks that show the runs")
    out: str = _option("reports", _place, "folder of the report and its runs", "FOLDER")
    jobs: int | None = _option(None, _count, "processes; by default one per core", "N")
    engine: str = _option("local", _word, "local or dask", known="ctl_helpers.parallel:ENGINES")
    scheduler: str | None = _option(None, _word, "of Dask, such as tcp://host:8786", "ADDRESS")

    @property
    def reading(self) -> dict[str, Any]:
        """How corpora are read, as :func:`ctl_helpers.corpora.load_manifest` takes it."""
        found = {name: getattr(self, name) for name in READING}
        return {"labels": found.pop("emotions")} | found


READING = ("emotions", "columns", "votes", "unpublished", "seconds")
FIELDS = {one.name: one for one in fields(Settings)}
_WHOLE_STUDY = ("corpora", "out", "jobs", "engine", "scheduler", *READING)


@dataclass(frozen=True)
class Study:
    """A study: settings that hold for all of it, and blocks of runs with settings of their own.

    Parameters
    ----------
    settings : Settings
        Of the whole study.
    blocks : dict of str to Settings
        By name; one without a name where the study is not divided.
    later : dict of str to str
        Blocks that are planned, but not computed unless they are asked for by name, and why.
    """

    settings: Settings
    blocks: Mapping[str, Settings]
    later: Mapping[str, str] = field(default_factory=dict)


def read_study(
    file: str | Path | None = None,
    changes: Mapping[str, Any] | None = None,
    only: Sequence[str] = (),
) -> Study:
    """Read a study from a YAML file.

    Parameters
    ----------
    file : path, optional
        Fields of `Settings`, and ``blocks``: a mapping of names to further fields, and to
        ``later``, why a block is not computed unless it is named. Without a file the study has one
        block with the defaults.
    changes : dict, optional
        Fields that take the place of those of the file, in all blocks: values as in YAML or as
        words of a command line.
    only : sequence of str
        Names of blocks to keep; all by default.

    Raises
    ------
    StudyError
        When the file cannot be read, a key is not known or a value is not valid.
    """
    changes = {name: parse(name, value, "") for name, value in (changes or {}).items()}
    if file is None and only:
        raise StudyError(f"--blocks {' '.join(only)}: expected a study's FILE, which has them")
    content = {} if file is None else _read_yaml(Path(file))
    if "later" in content:
        raise StudyError(f"{file}: later holds for a block, not for a whole study")
    blocks = content.pop("blocks", None) or {"": {}}
    found = blocks.values() if isinstance(blocks, dict) else [blocks]
    if not all(isinstance(block, dict | None) for block in found):
        raise StudyError(f"{file}: blocks: expected names with settings, got {blocks!r}")
    blocks = {str(name): dict(block or {}) for name, block in blocks.items()}
    common = _parsed(content, str(file))
    made, later = {}, {}
    if unknown := [name for name in only if name not in blocks]:
        known = "; ".join(filter(None, blocks)) or "none"
        hint = nearest(unknown[0], blocks)
        raise StudyError(f"{file}: no block {unknown[0]!r}; it has {known}{hint}")
    for name, block in blocks.items():
        if only and name not in only:
            continue
        where = f"{file}, block {name!r}" if name else str(file)
        if (why := block.pop("later", None)) is not None and not only:
            if not isinstance(why, str):
                raise StudyError(f"{where}: later: expected the reason, in words, got {why!r}")
            later[name] = why.strip()
        if misplaced := [key for key in block if key in _WHOLE_STUDY]:
            raise StudyError(f"{where}: {misplaced[0]} holds for a whole study, not for a block")
        made[name] = Settings(**common | _parsed(block, where) | changes)
        if changes.get("epochs") and "changes" not in changes:  # an option overrides the file
            left = [{k: v for k, v in one.items() if k != "epochs"} for one in made[name].changes]
            made[name] = replace(made[name], changes=tuple(left))
    settings = Settings(**common | changes)
    if settings.scheduler and settings.engine == "local" and "engine" not in changes:
        where = "--scheduler" if "scheduler" in changes else f"{file}: scheduler"
        raise StudyError(f"{where}: expected the engine dask with it, got local")
    return Study(settings, made, later)


def _read_yaml(file: Path) -> dict:
    import yaml

    class Once(yaml.SafeLoader):
        """Refuses a key that is there twice, of which the last would count without a word."""

        def construct_mapping(self, node, deep=False):
            seen = set()
            for key, _ in node.value:
                if str(key.value) in seen and key.value != "<<":
                    raise yaml.YAMLError(f"the key {key.value!r} twice, {key.start_mark}")
                seen.add(str(key.value))
            return super().construct_mapping(node, deep)

    try:
        with file.open(encoding="utf-8") as text:
            content = yaml.load(text, Once)
    except FileNotFoundError as error:
        raise StudyError(f"study {file}: no such file") from error
    except (OSError, ValueError, yaml.YAMLError) as error:  # of a date in February, say
        reason = " ".join(str(error).split())
        raise StudyError(f"study {file}: expected a YAML file, got: {reason}") from error
    if not isinstance(content, dict):
        raise StudyError(f"study {file}: expected settings, as names: [emodb], got {content!r}")
    return content


def _parsed(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    return {name: parse(name, value, where) for name, value in content.items() if name != "about"}


def parse(name: str, value: Any, where: str) -> Any:
    """Bring a value of a YAML file or a command line into the type of its setting.

    Raises
    ------
    StudyError
        In a line that names the setting, where it stands and what was expected.
    """
    if name not in FIELDS:
        hint = nearest(str(name), [*FIELDS, "blocks", "about", "later"])
        raise StudyError(f"{where or 'study'}: no setting {name!r}{hint}")
    metadata, place = FIELDS[name].metadata, f"{where}: {name}" if where else f"--{name}"
    if value is None:
        return metadata["default"]
    try:
        found = metadata["read"](value)
    except (ValueError, TypeError) as error:
        raise StudyError(f"{place}: expected {error}, got {value!r}") from error
    if metadata["known"]:
        for word in found if isinstance(found, tuple) else (found,):
            check_choice(place, word, load(metadata["known"]))
    return found


def spelled(name: str, found: Iterable[str]) -> str:
    """Spell the name of a corpus as it was found, whatever its case.

    Raises
    ------
    StudyError
        When no corpus of that name was found.
    """
    from ctl_helpers.corpora.words import uncased

    found = list(found)
    for one in sorted(found, key=lambda one: one != name):
        if uncased(one) == uncased(name):
            return one
    known = ", ".join(found) + " (see --names)" + nearest(name, found)
    raise StudyError(f"corpus {name!r}: expected one of those found: {known}")
