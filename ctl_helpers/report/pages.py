"""Notebooks as pages of a report: what they open and show, and how a batch executes them."""

import base64
import contextlib
import hashlib
import html
import json
import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ctl_helpers.corpora import is_miniature, make_miniature
from ctl_helpers.errors import StudyError
from ctl_helpers.report import figures, tables

PACKAGE = Path(__file__).resolve().parents[1]
NOTEBOOKS = PACKAGE.parent / "notebooks"
SYNTHETIC = "Synthetic speech: the scores mean nothing about emotion."
_STYLE = """
body { max-width: 1000px; margin: 0 auto; padding: 1.5rem; background: #fff; color: #1c2430;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
a { color: #0072b2; }
a.anchor-link { visibility: hidden; }
pre { overflow-x: auto; margin: .4rem 0; font-size: .86rem; line-height: 1.4; }
.highlight pre { background: #f4f6f9; border: 1px solid #e2e6ec; padding: .5rem .8rem; }
.output_subarea { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #e2e6ec; }
img { max-width: 100%; }
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style></head>
<body><p><a href="../index.html">All of the study</a></p>
{body}
</body></html>
"""
_MOST_NAMED = 60  # run folders that a table's note lists; more are counted


@dataclass(frozen=True)
class Page:
    """Where a notebook's figures and tables are kept besides being shown.

    Parameters
    ----------
    out : path
        The report's folder; ``figures/`` and ``tables/`` are made in it.
    name : str
        First part of the names of all files.
    synthetic : bool
        Whether every table has to say that the speech is.
    """

    out: Path
    name: str
    synthetic: bool = False

    def figure(self, figure: Figure, name: str) -> Figure:
        """Keep a figure as PNG and SVG, and hand it back to be shown."""
        figures.save_figure(figure, Path(self.out) / "figures", f"{self.name}-{name}")
        return figure

    def table(
        self,
        frame: pd.DataFrame,
        name: str,
        caption: str,
        runs: Iterable[str] = (),
        note: str = "",
        digits: int = 1,
    ):
        """Keep a table as CSV, Markdown and LaTeX, and hand it back to be shown.

        Parameters
        ----------
        frame : DataFrame
            See :func:`ctl_helpers.report.tables.write_table`.
        name, caption : str
            Last part of the files' names; what stands above the table.
        runs : iterable of str
            Run folders that its numbers come from; the note names them.
        note : str
            What else the note says.
        digits : int
            Decimals of scores.
        """
        from IPython.display import Markdown

        parts = [SYNTHETIC if self.synthetic else "", note, named_runs(runs)]
        paths = tables.write_table(
            *(frame, Path(self.out) / "tables", f"{self.name}-{name}", caption),
            note=" ".join(filter(None, parts)),
            digits=digits,
        )
        shown = next(path for path in paths if path.suffix == ".md")
        return Markdown(shown.read_text(encoding="utf-8"))


def named_runs(runs: Iterable[str]) -> str:
    """Say in a sentence which run folders numbers come from."""
    names = sorted(set(runs))
    if not names:
        return ""
    if len(names) > _MOST_NAMED:
        return f"{len(names)} run folders; runs.csv beside the tables of notebook 4 lists them."
    return f"Run folder{'s' * (len(names) > 1)}: {', '.join(names)}."


def open_corpora(root: str | Path | None = None) -> Path:
    """Open a folder of corpora for a notebook; without one make the miniature corpora.

    Prints as its first line that the speech is synthetic, where it is.

    Parameters
    ----------
    root : path, optional
        The folder that holds the corpora.

    Returns
    -------
    Path
    """
    folder = make_miniature() if root is None else Path(root)
    if is_miniature(folder):
        print(f"{SYNTHETIC} It was made by eSpeak NG (miniature corpora).")
    return folder


@dataclass(frozen=True)
class Cell:
    """One notebook of a study, with its parameters.

    Parameters
    ----------
    notebook : str
        Name of the notebook that is executed, without its ending.
    name : str
        Name of the executed one.
    title : str
        What the index page calls it.
    parameters : dict
        Of its cell tagged ``parameters``; JSON.
    inputs : tuple of str
        What it reads besides: run folders, keys of features.
    """

    notebook: str
    name: str
    title: str
    parameters: dict
    inputs: tuple = ()

    @property
    def source(self) -> Path:
        """The notebook that is executed."""
        return NOTEBOOKS / f"{self.notebook}.ipynb"

    def key(self) -> str:
        """Hash of all that the executed notebook depends on: parameters, inputs, code."""
        told = json.dumps([self.parameters, sorted(self.inputs)], sort_keys=True)
        return hashlib.sha256(told.encode() + code_hash() + self.source.read_bytes()).hexdigest()


def code_hash() -> bytes:
    """Hash of the package's source."""
    found = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        found.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return found.digest()


def is_done(cell: Cell, out: Path) -> bool:
    """Whether a cell's executed notebook and HTML are there, made from the same."""
    notebook, page = _outputs(cell, out)
    try:
        done = json.loads(notebook.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return page.is_file() and done.get("metadata", {}).get("ctl_helpers", {}) == {"key": cell.key()}


def execute(cell: Cell, out: Path) -> str:
    """Execute a cell's notebook and make its HTML, each there whole or not at all.

    Parameters
    ----------
    cell : Cell
        Which notebook with which parameters.
    out : Path
        The report's folder, from which the notebook is run; it gets ``notebooks/*.ipynb`` and
        ``.html``.

    Returns
    -------
    str
        Empty, or one line that says what went wrong.
    """
    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").setLevel(logging.ERROR)
    notebook, page = _outputs(cell, out)
    key = cell.key()
    try:
        notebook.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings(), environment(**_for_kernels()):
            warnings.simplefilter("ignore")
            done = papermill.execute_notebook(
                *(str(cell.source), None, cell.parameters),
                **{"kernel_name": "python3", "cwd": str(out), "progress_bar": False},
                extra_arguments=["--IPKernelApp.log_level=50"],
            )
    except PapermillExecutionError as error:
        return f"notebook {cell.name}: {error.ename}: {error.evalue}".splitlines()[0]
    except DeadKernelError:
        return f"notebook {cell.name}: its kernel died; was there enough memory?"
    except OSError as error:
        raise StudyError(f"report {out}: cannot write ({error.strerror or error})") from error
    _forget_when_and_where(done)
    _shrink_images(done)
    done.metadata["ctl_helpers"] = {"key": key}
    _write(page, _to_html(done, cell.title))
    _write(notebook, nbformat.writes(done) + "\n")
    return ""


def _outputs(cell: Cell, out: Path) -> tuple[Path, Path]:
    folder = Path(out) / "notebooks"
    return folder / f"{cell.name}.ipynb", folder / f"{cell.name}.html"


@contextlib.contextmanager
def environment(**changes: str) -> Iterator[None]:
    """Set variables of the environment inside a ``with`` block."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _for_kernels() -> dict[str, str]:
    """Give a kernel this package, no progress bars and a quiet backend."""
    paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "CTL_PROGRESS": "0",
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYTHONWARNINGS": "ignore:IProgress",  # tqdm, of widgets that nobody asked for
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _forget_when_and_where(notebook) -> None:
    """Drop papermill's times and paths, so that the same study gives the same files."""
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)


def _to_html(notebook, title: str) -> str:
    """Make a page that needs nothing else: nbconvert's own would bring 300 kB of styles, each."""
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter

    logging.getLogger("traitlets").setLevel(logging.ERROR)
    exporter = HTMLExporter(
        template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body = exporter.from_notebook_node(notebook)[0]
    style = _STYLE + HtmlFormatter().get_style_defs(".highlight")
    return _PAGE.format(title=html.escape(title), style=style, body=body)


def _shrink_images(notebook) -> None:
    """Save the notebook's figures with fewer colours, a third of the size."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if text := output.get("data", {}).get("image/png"):
                small = figures.shrink_png(base64.b64decode(text))
                output["data"]["image/png"] = base64.b64encode(small).decode()


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StudyError(f"report: cannot write {path} ({error.strerror or error})") from error
