"""The command line: ``python -m ctl_helpers``."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ctl_helpers.errors import StudyError

# Before any backend is imported, here and in every process started from here.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

_PROGRAM = "python -m ctl_helpers"
_DESCRIPTION = """\
Speech emotion recognition with CTL-MTNet: CPAC inside one corpus, CAAM across corpora."""
_COMMANDS = {
    "study": "compute a grid of runs and write a report: notebooks, tables, figures, index.html",
    "corpora": "find corpora, compare them with what was published of them",
    "features": "extract and cache the MFCC of a corpus",
    "predict": "tell the emotion of recordings with a trained network",
    "runs": "list the runs of a report",
    "readme": "rewrite the README's section of results from a report",
}
_EXAMPLES = """\
examples:
  python -m ctl_helpers study                              # synthetic speech, a few minutes
  python -m ctl_helpers study --corpora /data/ser          # real speech, as it is distributed
  python -m ctl_helpers corpora /data/ser
  python -m ctl_helpers predict reports/runs/0123456789ab my.wav

exit status: 0 all done; 1 something was left out, and named; 2 nothing could be done;
130 stopped"""
_STUDY_TEXT = """\
Compute every run of a grid that is not there yet, execute the notebooks that tell them, and write
OUT/index.html. What was computed is kept: a study that was stopped, or killed, goes on where it
was when it is started again with the same words; one that is extended computes what is new.

Without --corpora it runs on miniature synthetic corpora: everything works, the scores mean nothing.
Words in brackets are the defaults on real corpora and, behind a slash, on the miniature ones."""
_STUDY_EXAMPLES = """\
examples:
  python -m ctl_helpers study --names emodb casia --epochs 2
      a short trial on two miniature corpora
  python -m ctl_helpers study --corpora /data/ser --names emodb --pairs none
      CPAC as released, 10 folds of 300 epochs, on EmoDB alone
  python -m ctl_helpers study --corpora /data/ser --protocols kfold loso --seeds 0 1 2
      speakers in both parts and held out, three seeds
  python -m ctl_helpers study --corpora /data/ser --protocols loso --normalisation recipe speaker
      beside the recipe's own normalisation one within every speaker
  python -m ctl_helpers study --corpora /data/ser --recipe modern --protocols none --seeds 0 1 2
      transfers between all corpora that are found, in all directions
  python -m ctl_helpers study --corpora /shared/ser --engine dask --scheduler tcp://head:8786
      on a cluster whose workers see the same folders

/data/ser holds a folder per corpus, as it is distributed (emodb/wav/03a01Fa.wav,
casia/liuchanhg/angry/201.wav, savee/AudioData/DC/a01.wav, ravdess/Actor_01/*.wav, emovo/f1/*.wav),
or one of your own: NAME/<emotion>/*.wav, NAME/manifest.csv or NAME.csv with the columns path,
emotion and speaker."""


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
    try:
        return parsed.command(parsed)
    except StudyError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130


def _log_to_stderr() -> None:
    """Print this package's warnings, each as a line."""
    logger = logging.getLogger("ctl_helpers")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(_OneLine("%(levelname)s: %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False


class _OneLine(logging.Formatter):
    def format(self, record):
        return " ".join(super().format(record).replace("WARNING", "warning", 1).split())


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as everything else here does."""

    def error(self, message):
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog=_PROGRAM, description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=shape
    )
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", required=True)

    def command(name, function, text, epilog=""):
        sub = commands.add_parser(
            name, description=text, epilog=epilog, formatter_class=shape, help=_COMMANDS[name]
        )
        sub.set_defaults(command=function)
        return sub

    _study_arguments(command("study", _study, _STUDY_TEXT, _STUDY_EXAMPLES))
    sub = command("corpora", _corpora, "Find the corpora under a folder and audit each of them.")
    sub.add_argument("root", metavar="ROOT", help="folder that holds the corpora")
    sub.add_argument("--problems", action="store_true", help="list every file with a problem")
    sub = command("features", _features, "Extract the MFCC of a corpus into the cache.")
    sub.add_argument("root", metavar="ROOT", help="folder that holds the corpora")
    sub.add_argument("name", metavar="NAME", help="which of them")
    sub.add_argument("--preset", default="released", help="paper, pitch, moments [released]")
    sub.add_argument("--jobs", type=_count, help="processes (default: one per core)")
    sub = command("predict", _predict, _PREDICT_TEXT)
    sub.add_argument("model", metavar="MODEL", help="a run folder, or the model.keras in it")
    sub.add_argument("files", metavar="FILE", nargs="+", help="recordings, wav or flac")
    sub.add_argument("--csv", action="store_true", help="print CSV in place of a table")
    sub = command("runs", _runs, "List the runs of a report, a row each.")
    sub.add_argument("out", metavar="OUT", nargs="?", default="reports", help="[reports]")
    sub.add_argument("--csv", action="store_true", help="print CSV in place of a table")
    sub = command("readme", _readme, _README_TEXT)
    sub.add_argument("out", metavar="OUT", nargs="?", default="reports/reference")
    sub.add_argument("--file", default="README.md", help="what is rewritten [README.md]")
    return parser


_PREDICT_TEXT = """\
Tell the emotion of recordings with the network of a run, and the probability of each emotion.

The features are made as in the run. Where it normalised with statistics of a speaker or a corpus,
those of the files given here take their place: give many files of one speaker, and of that speaker
only. A file that cannot be read costs that file."""
_README_TEXT = """\
Rewrite the section of the README between <!-- results --> and <!-- /results --> from the runs of a
report (default: reports/reference), so that no number in it is typed."""


def _study_arguments(sub: argparse.ArgumentParser) -> None:
    add = sub.add_argument
    add("--corpora", metavar="ROOT", help="folder that holds the corpora; without: miniature ones")
    add("--names", nargs="+", default=(), metavar="NAME", help="which corpora [all found]")
    add("--recipe", "--recipes", nargs="+", metavar="NAME", help="[released / quick]")
    add("--epochs", type=_count, metavar="N", help="in place of the recipe's own")
    add(
        *("--normalisation", "--normalisations"),
        **{"nargs": "+", "default": ("recipe",), "metavar": "NAME"},
        help="conditions inside one corpus: recipe, what the recipe names itself; none, utterance, "
        "speaker, corpus, global in its place. speaker and corpus use the unlabelled speech of the "
        "test part, and every table says so [recipe]",
    )
    add(
        *("--protocols", "--protocol"),
        **{"nargs": "+", "default": ("kfold",), "metavar": "NAME"},
        help="kfold, stratified, loso, grouped, partition:FOLDER, or none: transfers alone [kfold]",
    )
    add("--folds", type=_count, metavar="N", help="of the k-fold protocols [10 / 3]")
    add(
        "--only",
        type=int,
        nargs="+",
        metavar="N",
        help="numbers of the splits to run, from 0 [all]",
    )
    add(
        *("--baselines",),
        **{"nargs": "*", "default": (), "metavar": "NAME"},
        help="shallow methods beside the network; without a name all: egemaps+linear egemaps+rbf "
        "compare+linear compare+rbf (these need opensmile: pip install 'ctl-helpers[baselines]') "
        "mfcc+logistic mfcc+linear mfcc+rbf [none]",
    )
    add("--seeds", type=int, nargs="+", default=(0,), metavar="N", help="a run for each [0]")
    add(
        *("--pairs",),
        **{"nargs": "+", "metavar": "A:B"},
        help="transfers from A to B, or none [all ordered pairs / emodb:casia casia:emodb]",
    )
    add(
        *("--methods",),
        **{"nargs": "+", "metavar": "NAME"},
        help="of the transfers: source-only caam-released caam-mdd dann cdan cdan-e coral mmd jan "
        "information [source-only caam-released caam-mdd]",
    )
    add(
        *("--scoring",),
        **{"nargs": "+", "default": ("transductive",), "metavar": "NAME"},
        help="of the transfers: transductive, adapt to all of the target and score it; inductive, "
        "adapt to half of its speakers and score the others [transductive]",
    )
    add(
        *("--labels",),
        **{"nargs": "+", "default": ("emotion",), "metavar": "NAME"},
        help="what transfers tell apart: emotion, or the halves of arousal or valence [emotion]",
    )
    add(
        *("--selection",),
        **{"metavar": "RULE"},
        help="epoch that is scored: last, validation, or best_test, which gives the last epoch "
        "and, marked as optimistic, the best on the test part [last / best_test]",
    )
    add("--out", default="reports", help="folder of the report and its runs [reports]")
    add("--jobs", type=_count, metavar="N", help="processes side by side [one per core]")
    add("--engine", default="local", help="local or dask [local]")
    add("--scheduler", metavar="ADDRESS", help="of Dask, as tcp://host:8786")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text}")
    return number


def _study(parsed: argparse.Namespace) -> int:
    from ctl_helpers.study.run import run_study
    from ctl_helpers.study.settings import METHODS, Settings

    settings = Settings(
        corpora=parsed.corpora,
        names=tuple(parsed.names),
        recipes=tuple(parsed.recipe) if parsed.recipe else None,
        epochs=parsed.epochs,
        normalisations=tuple(parsed.normalisation),
        protocols=() if list(parsed.protocols) == ["none"] else tuple(parsed.protocols),
        folds=parsed.folds,
        only=tuple(parsed.only) if parsed.only else None,
        baselines=("all",) if parsed.baselines == [] else tuple(parsed.baselines),
        seeds=tuple(parsed.seeds),
        pairs=_pairs(parsed.pairs),
        methods=tuple(parsed.methods or METHODS),
        scorings=tuple(parsed.scoring),
        labels=tuple(parsed.labels),
        selection=parsed.selection,
        out=parsed.out,
        jobs=parsed.jobs,
        engine=parsed.engine,
        scheduler=parsed.scheduler,
    )
    report = run_study(settings, _say)
    for problem in report.problems:
        print(f"left out: {' '.join(problem.split())}", file=sys.stderr)
    print(f"report: {report.index}")
    return 1 if report.problems else 0


def _say(line: str) -> None:
    print(line, flush=True)


def _pairs(words: Sequence[str] | None) -> tuple[tuple[str, str], ...] | None:
    if words is None:
        return None
    if list(words) == ["none"]:
        return ()
    pairs = [tuple(word.split(":")) for word in words]
    for word, pair in zip(words, pairs, strict=True):
        if len(pair) != 2 or not all(pair):
            raise StudyError(f"pair {word!r}: expected SOURCE:TARGET, as emodb:casia, or none")
    return tuple(pairs)


def _corpora(parsed: argparse.Namespace) -> int:
    from ctl_helpers.corpora import audit, find_corpora, is_miniature
    from ctl_helpers.report.pages import SYNTHETIC

    if is_miniature(parsed.root):
        print(SYNTHETIC)
    failed = 0
    for name in find_corpora(parsed.root):
        try:
            found = audit(parsed.root, name)
        except StudyError as error:
            print(f"left out: {error}", file=sys.stderr)
            failed += 1
            continue
        print(found.line)
        for counts in (found.counts, found.speakers):
            print(counts.dropna(axis=1, how="all").T.to_string())
        if parsed.problems and len(found.problems):
            print(found.problems.to_string(index=False))
        print()
    return 1 if failed else 0


def _features(parsed: argparse.Namespace) -> int:
    from ctl_helpers.corpora import load_manifest
    from ctl_helpers.features.mfcc import extract

    features = extract(load_manifest(parsed.root, parsed.name), parsed.preset, parsed.jobs)
    utterances, frames, coefficients = features.values.shape
    print(
        f"{parsed.name}: {utterances} utterances x {frames} frames x {coefficients} coefficients, "
        f"preset {parsed.preset}, key {features.key}"
    )
    return 0


def _predict(parsed: argparse.Namespace) -> int:
    from ctl_helpers.runs.predict import predict_files

    table, notes, problems = predict_files(parsed.model, parsed.files)
    for line in notes:
        print(f"note: {line}", file=sys.stderr)
    for line in problems:
        print(f"left out: {' '.join(line.split())}", file=sys.stderr)
    if parsed.csv:
        print(table.to_csv(index=False, float_format="%.4f"), end="")
    else:
        print(table.to_string(index=False, float_format="%.3f"))
    return 1 if problems else 0


def _runs(parsed: argparse.Namespace) -> int:
    from ctl_helpers.results.runs import load_runs

    runs = load_runs(Path(parsed.out) / "runs")
    if runs.empty:
        raise StudyError(f"report {parsed.out}: no runs in {Path(parsed.out) / 'runs'}")
    columns = ["run", "task", "corpus", "source", "target", "protocol", "split", "method"]
    columns += ["recipe", "seed", "selection", "uar", "war", "epochs", "seconds"]
    shown = runs[[column for column in columns if not runs[column].eq("").all()]]
    if parsed.csv:
        print(shown.to_csv(index=False, float_format="%.4f"), end="")
    else:
        print(shown.to_string(index=False, float_format="%.3f"))
    return 0


def _readme(parsed: argparse.Namespace) -> int:
    from ctl_helpers.report.index import rewrite_readme

    count = rewrite_readme(Path(parsed.file), Path(parsed.out))
    print(f"{parsed.file}: results of {count} runs in {parsed.out}")
    return 0
