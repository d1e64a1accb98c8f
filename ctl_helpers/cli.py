"""The command line: ``ctl-mtnet``."""

import argparse
import errno
import io
import json
import logging
import os
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import shtab
import yaml

from ctl_helpers import __version__
from ctl_helpers.errors import StudyError, log, nearest
from ctl_helpers.study.settings import FIELDS, READING, parse, read_study

_PROGRAM = "ctl-mtnet"
_HELP = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
_STUDIES = Path(__file__).resolve().parents[1] / "studies"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : list of str, optional
        By default those of the process.

    Returns
    -------
    int
        The exit status: 0 all done, 1 something was left out (a line each says what), 2 nothing
        could be done (one line says why), 130 stopped from the keyboard.
    """
    parsed = _parser().parse_args(arguments)
    _log_to_stderr()
    # Python's own remark on what it cleans up after Ctrl-C, which nobody can act on.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")
    for stream in (sys.stdout, sys.stderr):  # an encoding may not have the letters of a name
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        _check_place()
        status = parsed.command(parsed)
        sys.stdout.flush()
        return status
    except StudyError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno == errno.ENOSPC:
            print("error: no space left on the disk; make room and start again", file=sys.stderr)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to write
        elif error.filename and error.strerror:  # a path that may not be looked at, or too long
            print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        else:
            raise
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command continues from here", file=sys.stderr)
        return 130


def _check_place() -> None:
    if sys.platform == "win32":
        raise StudyError("system: expected Linux or macOS, got Windows; use WSL")
    try:
        os.getcwd()
    except FileNotFoundError as error:
        reason = "the folder that this was started in is gone; change to another"
        raise StudyError(reason) from error


def _log_to_stderr() -> None:
    """Print this package's warnings, each as a line."""
    if not log.handlers:
        log.addHandler(_OneLine())
        log.propagate = False


class _OneLine(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        line = f"{record.levelname.lower()}: {record.getMessage()}"
        print(" ".join(line.split()), file=sys.stderr, flush=True)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as everything else here does."""

    def __init__(self, **options):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[override]
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:  # said by the command's own parser, which knows what may have been meant
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown

    def error(self, message: str) -> None:
        word = message.partition("unrecognized arguments: --")[2].split(" ")[0]
        known = [option.lstrip("-") for option in self._option_string_actions]
        hint = nearest(word, known) or f"; see {self.prog} --help"
        self.exit(2, f"error: {message}{hint}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=_PROGRAM, **_HELP[_PROGRAM])
    parser.add_argument("--version", action="version", version=f"{_PROGRAM} {__version__}")
    shtab.add_argument_to(parser, "--print-completion")  # of bash, zsh or tcsh
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", required=True)

    def command(name, function):
        sub = commands.add_parser(name, **{"description": _HELP[name]["help"]} | _HELP[name])
        sub.set_defaults(command=function)
        return sub

    sub = command("study", _study)
    sub.add_argument("file", metavar="FILE", nargs="?", help="a study's YAML file")
    _settings_arguments(sub, FIELDS)
    blocks = "blocks to run [all not left for later]"
    sub.add_argument("--blocks", nargs="+", metavar="NAME", default=(), help=blocks)
    listed = "list the runs and their estimated time"
    sub.add_argument("--dry-run", action="store_true", help=listed)
    sub = command("splits", _splits)
    chosen = ("corpora", "names", "protocols", "folds", "divisions", "only", *READING)
    _settings_arguments(sub, chosen)
    sub = command("corpora", _corpora)
    sub.add_argument("root", metavar="FOLDER", help="folder that holds the corpora")
    sub.add_argument("--problems", action="store_true", help="list every file with a problem")
    _settings_arguments(sub, READING)
    sub = command("train", _train)
    _settings_arguments(sub, ("corpora", "names"))
    sub.add_argument("--recipe", metavar="NAME", help="recipe for CPAC [modern]")
    sub.add_argument("--method", metavar="NETWORK/RECIPE", help="another network, with its recipe")
    sub.add_argument("--seed", metavar="N", default=0, help="seed of the training [0]")
    _settings_arguments(sub, ("epochs", *READING))
    sub.add_argument("--report", metavar="OUT", help="report whose scores the model card quotes")
    sub.add_argument("--out", metavar="FILE.keras", required=True, help="file to write")
    sub = command("predict", _predict)
    several = "recordings, folders, patterns; - reads a recording from standard input"
    sub.add_argument("files", metavar="FILE", nargs="*", help=several)
    sub.add_argument("--model", metavar="FILE", help="a .keras file, or the folder of a run")
    sub.add_argument(
        "--window",
        metavar="SECONDS",
        type=float,
        help="length of a window; at most, and by default, what the model hears at once",
    )
    form = sub.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_true", help="print JSON, a line per row; with --card, the card"
    )
    form.add_argument("--csv", action="store_true", help="print CSV in place of a table")
    sub.add_argument("--plot", metavar="FILE.png", help="draw the emotions over time")
    sub.add_argument("--card", action="store_true", help="print what is known about the model")
    for sub in (command("archive", _archive), command("results", _results)):
        of_report = "folder of a report, the --out of its study [reports/reference]"
        sub.add_argument(
            "out", metavar="OUT", nargs="?", default="reports/reference", help=of_report
        )
    return parser


def _settings_arguments(sub: argparse.ArgumentParser, names: Iterable[str]) -> None:
    for name in names:
        metadata, default = FIELDS[name].metadata, FIELDS[name].metadata["default"]
        options = {"help": metadata["text"] + _default(default)}
        if isinstance(default, bool):
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["metavar"] = metadata["name"]
            options["nargs"] = "+" if isinstance(default, tuple | dict) else None
        sub.add_argument(f"--{name}", default=argparse.SUPPRESS, **options)


def _default(value: object) -> str:
    if value in (None, (), {}, ({},)) or isinstance(value, bool):
        return ""
    return f" [{' '.join(map(str, value)) if isinstance(value, tuple) else value}]"


def _given(parsed: argparse.Namespace) -> dict:
    return {name: value for name, value in vars(parsed).items() if name in FIELDS}


def _study(parsed: argparse.Namespace) -> int:
    from ctl_helpers.study.run import dry_run, run_study

    given = _given(parsed)
    if parsed.file is None and "corpora" not in given:
        parsed.file = _STUDIES / "miniature.yaml"
    study = read_study(parsed.file, given, parsed.blocks)
    say = partial(print, flush=True)
    if parsed.dry_run:
        return _left_out(dry_run(study, say))
    report = run_study(study, say)
    print(f"report: {report.index}")
    return _left_out(report.problems)


def _left_out(problems: Iterable[str]) -> int:
    """Name what was left out, a line each; return the exit status."""
    for problem in problems:
        print(f"left out: {' '.join(problem.split())}", file=sys.stderr)
    return 1 if problems else 0


def _splits(parsed: argparse.Namespace) -> int:
    from ctl_helpers.study.plan import list_splits

    print(list_splits(read_study(None, _given(parsed))).to_csv(index=False), end="")
    return 0


def _corpora(parsed: argparse.Namespace) -> int:
    from ctl_helpers.corpora import SYNTHETIC, audit, find_corpora, is_miniature

    failed = 0
    reading = read_study(None, _given(parsed)).settings.reading
    places = find_corpora(parsed.root, reading["columns"], reading["labels"])
    if all(map(is_miniature, places.values())):
        print(SYNTHETIC)
    for name in places:
        try:
            found = audit(parsed.root, name, **reading)
        except StudyError as error:
            failed = _left_out([str(error)])
            continue
        print(found.line)
        for counts in (found.counts, found.speakers):
            print(counts.dropna(axis=1, how="all").T.to_string())
        if parsed.problems and len(found.problems):
            print(found.problems.to_string(index=False))
        print()
    return failed


def _train(parsed: argparse.Namespace) -> int:
    from ctl_helpers.runs.model import load_predictor
    from ctl_helpers.study.train import train_network

    if parsed.recipe and parsed.method:
        raise StudyError("train: expected --recipe or --method, got both")
    method = parsed.method or f"cpac/{parsed.recipe or 'modern'}"
    (seed,) = parse("seeds", parsed.seed, "--seed")
    study = read_study(None, _given(parsed))
    model = train_network(study, parsed.out, method, seed, parsed.report)
    card = load_predictor(model)[1]
    speech = f"{card['utterances']} utterances of {len(card['classes'])} emotions"
    print(f"model: {model}, trained on all {speech}: none is left to score it on")
    methods = " ".join(dict.fromkeys([method, "cpac/quick"]))
    print(f"how well recipes learn from this speech: {_PROGRAM} study --methods {methods} ...")
    if card["features"]:
        print(f"try it: {_PROGRAM} predict --model {model} FILE")
    else:
        print("it takes other features than MFCC, which `predict` does not compute")
    return 0


def _predict(parsed: argparse.Namespace) -> int:
    from ctl_helpers.runs.model import MODEL, load_predictor
    from ctl_helpers.runs.predict import predict_files

    model = MODEL if parsed.model is None else parsed.model
    if parsed.card:
        _print_card(load_predictor(model)[1], parsed.json)
        return 0
    if not parsed.files:
        raise StudyError("predict: expected recordings, got none; see ctl-mtnet predict --help")
    if parsed.files.count("-") > 1:
        raise StudyError("predict: expected one recording on standard input, got - twice")
    if parsed.plot:
        _check_picture(Path(parsed.plot))
    with tempfile.TemporaryDirectory() as folder:
        place = f"{folder}{os.sep}"
        if "-" in parsed.files:
            Path(f"{place}-").write_bytes(sys.stdin.buffer.read())
        files = [f"{place}-" if word == "-" else word for word in parsed.files]
        table, notes, problems = predict_files(model, files, parsed.window)
    table["file"] = table["file"].replace(f"{place}-", "-")
    notes, problems = ([x.replace(place, "") for x in some] for some in (notes, problems))
    if model == MODEL:
        said = "the model was trained on ten German actors (EmoDB); --card tells its limits"
        notes = [said, *notes]
    for line in notes:
        print(f"note: {line}", file=sys.stderr)
    if parsed.json:
        for row in table.astype(object).where(table.notna(), None).to_dict("records"):
            print(json.dumps(row, ensure_ascii=False))
    elif len(table):
        whole = table["start"].isna().all()
        shown = table.drop(columns=["start", "end"]) if whole else table
        if parsed.csv:
            print(shown.to_csv(index=False, float_format="%.4f"), end="")
        else:
            print(shown.to_string(index=False, float_format="%.3f", na_rep=""))
    if parsed.plot and len(table):
        from ctl_helpers.report.figures import timeline

        try:
            timeline(table).savefig(parsed.plot, dpi=160)
        except OSError as error:
            raise StudyError(f"predict: cannot write {parsed.plot} ({error.strerror})") from error
    status = _left_out(problems)
    return status if len(table) else 2


def _print_card(card: dict, as_json: bool) -> None:
    if as_json:
        print(json.dumps(card, indent=1, ensure_ascii=False))
        return
    shown = {n: v for n, v in card.items() if n not in ("mean", "scale", "reach")}
    plain = json.loads(json.dumps(shown))  # Keras wraps its lists
    print(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100), end="")


def _check_picture(file: Path) -> None:
    """Refuse a picture file that cannot be written, before any work."""
    kinds = (".png", ".svg", ".pdf")
    folder = file.absolute().parent
    if file.suffix.lower() not in kinds or not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise StudyError(
            f"predict: expected a picture {', '.join(kinds)} in a folder that can be written: "
            f"--plot FILE.png, got {file}"
        )


def _archive(parsed: argparse.Namespace) -> int:
    from ctl_helpers.results.archive import write_archive

    for path in write_archive(Path(parsed.out)):
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    return 0


def _results(parsed: argparse.Namespace) -> int:
    from ctl_helpers.report.sections import rewrite_readme

    root = _STUDIES.parent
    count = rewrite_readme(root / "README.md", parsed.out, root / "docs" / "results.md")
    print(f"README.md and docs/results.md: results of {count} runs in {parsed.out}")
    return 0
