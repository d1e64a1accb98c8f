"""What a study leaves to be read: the index page, and the README's section of results."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ctl_helpers.corpora import is_miniature
from ctl_helpers.errors import StudyError
from ctl_helpers.report.markup import to_markdown
from ctl_helpers.report.pages import SYNTHETIC
from ctl_helpers.report.tables import DAGGER_NOTE, display, ours_beside_published
from ctl_helpers.results.naming import OURS, label_of, name_of
from ctl_helpers.results.runs import load_predictions, load_runs

KINDS = {
    "1_feature_exploration": ("Features", "What the speech and its MFCC look like."),
    "2_cpac_kfold": ("CPAC inside one corpus", "Curves, confusions, speakers, embeddings."),
    "3_caam_transfer": ("CAAM across corpora", "Source only against adaptation."),
    "4_result_tables": ("Tables", "Ours beside the published, with their sources."),
}
START, END = "<!-- results -->", "<!-- /results -->"
_COLUMNS = ["corpus", "source", "target", "protocol", "method", "recipe", "normalisation"]
_COLUMNS += [f"{score}{end}" for score in ("uar", "war") for end in ("", "_low", "_high")]
_COLUMNS += ["utterances", "of_utterances", "folds", "of_folds", "seeds", "optimistic"]
_COLUMNS += ["reported_by"]
_OURS = '<tr class="ours">'
_SHOWN = 6  # figures on the index page
_STYLE = """
:root { --ink: #1c2430; --soft: #5b6675; --line: #e2e6ec; --blue: #0072b2; --paper: #ffffff; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f6f9; color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
.notice { background: #fff3cd; border-bottom: 1px solid #e6d38a; padding: .6rem 1.5rem;
  text-align: center; font-weight: 600; }
header { background: var(--ink); color: #fff; padding: 2.2rem 1.5rem 2rem; }
header > *, main { max-width: 1160px; margin: 0 auto; }
header h1 { font-size: 1.9rem; line-height: 1.2; margin-bottom: .4rem; }
header p { color: #c9d2de; }
main { padding: 1.5rem; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.2rem 1.5rem 1.4rem; margin-bottom: 1.4rem; }
h2 { font-size: 1.2rem; margin: 0 0 .6rem; }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(230px, 1fr)); }
.card { border: 1px solid var(--line); border-radius: 8px; padding: .9rem 1.1rem; }
.card h3 { margin: 0; font-size: 1rem; }
.card p { margin: .15rem 0 .5rem; color: var(--soft); font-size: .88rem; }
.card ul { margin: 0; padding: 0; list-style: none; }
.card li { padding: .12rem 0; }
a { color: var(--blue); text-decoration: none; }
a:hover { text-decoration: underline; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
td.number { font-variant-numeric: tabular-nums; }
tr.ours td { background: #eef6fb; }
.note, footer { color: var(--soft); font-size: .86rem; }
.figures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(400px, 1fr)); }
figure { margin: 0; border: 1px solid var(--line); border-radius: 8px; padding: .8rem; }
figure img { width: 100%; max-height: 420px; object-fit: contain; }
figcaption { color: var(--soft); font-size: .86rem; }
.problems li { color: #8a2c0d; }
footer { text-align: center; padding: 0 0 2rem; }
@media (max-width: 480px) { .figures { grid-template-columns: 1fr; } }
"""


def study_runs(out: str | Path) -> pd.DataFrame:
    """Read the runs of the study that a report tells; all runs where it does not say which.

    Parameters
    ----------
    out : path
        The report's folder.

    Returns
    -------
    DataFrame
        See :func:`ctl_helpers.results.runs.load_runs`.
    """
    runs = load_runs(Path(out) / "runs")
    told = read_study(out).get("runs")
    if told is None:
        return runs
    return runs[runs["run"].isin(told)].reset_index(drop=True)


def read_study(out: str | Path) -> dict:
    """Read what a study wrote down of itself (``study.json``); empty where there was none."""
    try:
        return json.loads((Path(out) / "study.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StudyError(f"report {out}: study.json is damaged; run the study again") from error


def open_report(out: str | Path, root: str | Path | None = None) -> tuple[pd.DataFrame, bool]:
    """Open a report for a notebook: its runs, and whether their speech is synthetic.

    Prints as its first line that it is, if so.

    Parameters
    ----------
    out : path
        The report's folder.
    root : path, optional
        The folder of corpora that its runs read, None for the miniature ones; asked for where no
        study has written down what its speech was.

    Returns
    -------
    runs : DataFrame
        From `study_runs`.
    synthetic : bool
    """
    synthetic = read_study(out).get("synthetic", root is None or is_miniature(root))
    if synthetic:
        print(SYNTHETIC)
    return study_runs(out), synthetic


def key_table(runs: pd.DataFrame, store: str | Path, task: str) -> pd.DataFrame:
    """Lay a study's scores beside the published ones of the same protocols.

    Parameters
    ----------
    runs : DataFrame
        From `study_runs`.
    store : path
        The folder of runs.
    task : {"cpac", "transfer"}
        Inside one corpus or across two.

    Returns
    -------
    DataFrame
        As :func:`ctl_helpers.report.tables.ours_beside_published` gives it; empty if there are no runs.
    """
    mine = runs[(runs["task"] == "transfer") == (task == "transfer")]
    if mine.empty:
        return pd.DataFrame()
    return ours_beside_published(mine, task, load_predictions(store, mine))


def write_index(
    out: Path, pages: Mapping[str, Sequence[str]], synthetic: bool, problems: Sequence[str] = ()
) -> Path:
    """Write a report's index page, which needs no other file to be looked at.

    Parameters
    ----------
    out : Path
        The report's folder.
    pages : dict
        Its notebooks: notebook and title by the name of the executed one; links to those that are
        there.
    synthetic : bool
        Whether the speech is: the first line then says so.
    problems : list of str
        What was left out, a line each.

    Returns
    -------
    Path
        ``out/index.html``.
    """
    runs = study_runs(out)
    parts = [
        f'<div class="notice">{html.escape(SYNTHETIC)}</div>' if synthetic else "",
        "<header><h1>Speech emotion recognition with CTL-MTNet</h1><p>CPAC inside one corpus, "
        f"CAAM across corpora: {runs['run'].nunique()} runs.</p></header><main>",
        _problems(problems),
        f'<section><h2>Notebooks</h2><div class="cards">{_cards(out, pages)}</div></section>',
        *(_results(out, runs, task, title) for task, title in _TITLES.items()),
        _figures(out, pages),
        '<footer>Tables (CSV, Markdown, LaTeX) are in <a href="tables">tables</a>, figures (PNG, '
        'SVG) in <a href="figures">figures</a>, runs in <a href="runs">runs</a>.</footer></main>',
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width, initial-scale=1"><title>CTL-MTNet study</title>'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(filter(None, parts)) + "\n"
        "</body></html>\n"
    )
    path = Path(out) / "index.html"
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StudyError(f"report: cannot write {path} ({error.strerror})") from error
    return path


_TITLES = {"cpac": "Inside one corpus", "transfer": "Across corpora"}


def _problems(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in problems)
    return f'<section class="problems"><h2>Left out</h2><ul>{lines}</ul></section>'


def _cards(out: Path, pages: Mapping[str, Sequence[str]]) -> str:
    cards = []
    for kind, (title, text) in KINDS.items():
        links = []
        for name, (notebook, called) in pages.items():
            page = f"notebooks/{name}.html"
            if notebook == kind and (out / page).is_file():
                links.append(f'<li><a href="{page}">{html.escape(called)}</a></li>')
        if links:
            cards.append(
                f'<div class="card"><h3>{title}</h3><p>{text}</p><ul>{"".join(links)}</ul></div>'
            )
    return "".join(cards)


def _results(out: Path, runs: pd.DataFrame, task: str, title: str) -> str:
    table = key_table(runs, out / "runs", task)
    if table.empty:
        return ""
    shown = display(table[[column for column in _COLUMNS if column in table]])
    head = "".join(f"<th>{html.escape(column)}</th>" for column in shown)
    lines = []
    for ours, row in zip(table["reported_by"] == OURS, shown.to_numpy(str), strict=True):
        cells = "".join(f"<td>{html.escape(text)}</td>" for text in row)
        lines.append(f"{_OURS if ours else '<tr>'}{cells}</tr>")
    return (
        f'<section><h2>{title}</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f'<tbody>{"".join(lines)}</tbody></table></div><p class="note">Scores in percent, 95 % '
        f"intervals in brackets; blue rows are this study's. {html.escape(' '.join(_notes(table)))}"
        "</p>"
        "</section>"
    )


def _notes(table: pd.DataFrame) -> list[str]:
    notes = [DAGGER_NOTE] if table["optimistic"].any() else []
    cited = table[table["citation"] != ""].drop_duplicates(["citation", "note"])
    return notes + [f"{row.reported_by}: {row.citation}; {row.note}." for row in cited.itertuples()]


def _figures(out: Path, pages: Mapping[str, Sequence[str]]) -> str:
    """Put a few figures into the page: comparisons first, then of each kind the first."""
    wanted = ["4_result_tables-comparison", "4_result_tables-transfers"]
    firsts = {notebook: name for name, (notebook, _) in reversed(pages.items())}
    for kind, name in (("2_cpac_kfold", "confusion"), ("2_cpac_kfold", "curves")):
        wanted.append(f"{firsts.get(kind)}-{name}")
    wanted.append(f"{firsts.get('3_caam_transfer')}-spaces")
    wanted.append(f"{firsts.get('1_feature_exploration')}-utterances")
    found = [path for name in wanted if (path := out / "figures" / f"{name}.png").is_file()]
    if not found:
        return ""
    shown = []
    for path in found[:_SHOWN]:
        data = base64.b64encode(path.read_bytes()).decode()
        name = html.escape(path.stem)
        shown.append(
            f'<figure><img alt="{name}" src="data:image/png;base64,{data}">'
            f"<figcaption>{name}</figcaption></figure>"
        )
    return f'<section><h2>Figures</h2><div class="figures">{"".join(shown)}</div></section>'


def rewrite_readme(readme: Path, out: Path) -> int:
    """Rewrite the section of results between the README's markers from a report's runs.

    Parameters
    ----------
    readme : Path
        The file.
    out : Path
        The report's folder; without runs in it the section says that there are none yet.

    Returns
    -------
    int
        How many runs it tells of.

    Raises
    ------
    StudyError
        If the file cannot be read or written, or has not the two markers.
    """
    try:
        text = readme.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{readme}: cannot read it ({error})") from error
    if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
        raise StudyError(f"{readme}: expected the lines {START} and {END}, one of each")
    runs = study_runs(out)
    before, rest = text.split(START)
    section = _section(runs, out) if len(runs) else "None yet.\n"
    if read_study(out).get("synthetic"):
        section = f"**{SYNTHETIC}**\n\n{section}"
    try:
        readme.write_text(f"{before}{START}\n{section}{END}{rest.split(END)[1]}", encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{readme}: cannot write it ({error.strerror})") from error
    return runs["run"].nunique()


def _section(runs: pd.DataFrame, out: Path) -> str:
    """Write a table per corpus and protocol, one across corpora, and where they come from."""
    parts, notes = [], []
    for task, title in _TITLES.items():
        table = key_table(runs, out / "runs", task)
        if table.empty:
            continue
        notes += _notes(table)
        if task == "transfer":
            parts.append(to_markdown(display(table[[c for c in _COLUMNS if c in table]]), title))
            continue
        for (corpus, protocol), part in table.groupby(["corpus", "protocol"], sort=False):
            if (part["reported_by"] == OURS).any():
                where = f"{title}: {name_of(corpus)}, {name_of(protocol)}"
                parts.append(to_markdown(_brief(part), where))
    listed = out / "tables" / "4_result_tables-runs.csv"
    named = (
        f"listed in `{listed.as_posix()}`"
        if listed.is_file()
        else ", ".join(sorted(set(runs["run"])))
    )
    parts.append(
        f"95 % intervals over folds in brackets (over seeds, where there is one split). "
        f"{' '.join(dict.fromkeys(notes))} Run folders: {runs['run'].nunique()} in "
        f"`{out.as_posix()}/runs`, {named}.\n"
    )
    if commands := read_study(out).get("commands"):
        lines = "\n".join(commands)
        again = "The same runs again, from a folder with the corpora, into `reports/`:"
        parts.append(f"{again}\n\n```sh\n{lines}\n```\n")
    return "\n".join(parts)


def _brief(table: pd.DataFrame) -> pd.DataFrame:
    """Show the scores of one place as the README does, in few columns."""
    shown = display(table)
    empty = pd.Series("", table.index)
    folds, seeds = shown.get("folds", empty), shown.get("seeds", empty)
    return pd.DataFrame(
        {
            "method": [label_of(row) for row in table.to_dict("records")],
            "UAR %": shown["UAR %"],
            "WAR %": shown["WAR %"],
            "folds × seeds": [
                " × ".join(filter(None, pair)) for pair in zip(folds, seeds, strict=True)
            ],
            "utterances": shown.get("utterances", empty),
        }
    )
