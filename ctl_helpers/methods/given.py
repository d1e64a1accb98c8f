"""Given predictions: those of another tool, put beside ours on the same splits."""

import io
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd

from ctl_helpers.corpora import EMOTIONS
from ctl_helpers.errors import StudyError, nearest, warn_once
from ctl_helpers.features import short_hash
from ctl_helpers.methods.outcome import Members, Method, Outcome
from ctl_helpers.plugins import own_file
from ctl_helpers.protocols import Problem

_WHERE = ("protocol", "division", "split", "part")


@dataclass(frozen=True)
class GivenMethod(Method):
    """Predictions of another tool.

    Parameters
    ----------
    file : str
        A CSV with the column ``utterance`` (the path below the corpus's folder), a column
        ``p_<emotion>`` per emotion (or ``predicted`` alone), and ``corpus`` and ``split`` where an
        utterance is predicted more than once. Of the further columns of ``ctl-mtnet splits``,
        ``protocol``, ``division`` and ``part``, the rows of the problem's test part count.
    """

    file: str

    kind = "given"
    features = ()

    @cached_property
    def name(self) -> str:
        """The file's name."""
        return f"given:{Path(self.file).name}"

    @property
    def label(self) -> str:
        """What a study names it by."""
        return f"given:{self.file}"

    @cached_property
    def _content(self) -> bytes:
        try:
            return own_file(self.file).read_bytes()
        except OSError as error:
            raise StudyError(f"{self.label}: cannot read it ({error.strerror})") from error

    @cached_property
    def table(self) -> pd.DataFrame:
        """The predictions, text but for the probabilities."""
        words, content = dict.fromkeys(["utterance", "corpus", *_WHERE], str), self._content
        try:
            first = content.partition(b"\n")[0]
            sign = max(b",;\t|", key=first.count)
            read = partial(pd.read_csv, sep=chr(sign), decimal="," if sign == ord(";") else ".")
            header = read(io.BytesIO(content), header=None, nrows=1, dtype=str)
            table = read(io.BytesIO(content), dtype=words)
        except ValueError as error:
            raise StudyError(f"{self.label}: expected a CSV table, got: {error}") from error
        names = header.iloc[0]
        if names.duplicated().any():
            twice = names[names.duplicated()].iloc[0]
            raise StudyError(f"{self.label}: the column {twice!r} is there twice")
        if "utterance" not in table or table.filter(regex="^(p_.*|predicted)$").columns.empty:
            raise StudyError(
                f"{self.label}: expected the columns utterance and p_<emotion> (or predicted), got "
                f"{', '.join(map(str, table.columns))}"
            )
        if "corpus" in table:
            table["corpus"] = table["corpus"].fillna("").str.strip().str.casefold()
        return table

    def suits(self, problem: Problem) -> bool:
        """Whether the file has predictions for some of the problem's corpus."""
        if "split" not in self.table:
            warn_once(
                f"{self.label}: without a column split it is taken on trust that no utterance was "
                "predicted by a model that was trained on it, or on its speaker where speakers are "
                "held out"
            )
        tested = set(problem.manifest["corpus"].iloc[problem.test].str.casefold())
        return "corpus" not in self.table or bool(tested & set(self.table["corpus"]))

    def spec(self) -> dict:
        """Describe the method for a run's specification, JSON."""
        recipe = {"name": "", "normalisation": "", "content": short_hash(self._content)}
        return {"name": self.name, "kind": self.kind, "recipe": recipe}

    def run(self, problem: Problem, seed: int, folder: Path, members: Members = ()) -> Outcome:
        """Look the predictions of the test part up."""
        rows, classes = self._rows(problem), list(problem.classes)
        known = {f"p_{emotion}" for emotion in (*EMOTIONS, *classes)}
        if "predicted" in rows and known.isdisjoint(rows):
            return Outcome({"last": self._certain(rows["predicted"].astype(str), classes)})
        return Outcome({"last": self._probabilities(rows, classes, problem.place)})

    def _rows(self, problem: Problem) -> pd.DataFrame:
        """Rows of the test part, in its order."""
        table = self.table
        asked = (problem.protocol, str(problem.division), problem.split, "test")
        for column, value in zip(_WHERE, asked, strict=True):
            if column in table:
                values = table[column].str.strip()
                table = table[values == value]
                if table.empty:
                    got = ", ".join(map(repr, values.unique()[:4]))
                    raise StudyError(f"expected rows of the {column} {value!r}, got {got}")
        part = problem.manifest[["corpus", "utterance"]].iloc[problem.test]
        part = part.assign(corpus=part["corpus"].str.casefold())
        keys = ["utterance"]
        if "corpus" in table:
            keys = ["corpus", "utterance"]
            table = table[table["corpus"].isin(part["corpus"])]
        wanted, given = (pd.MultiIndex.from_frame(frame[keys]) for frame in (part, table))
        trained = problem.manifest["utterance"].iloc[[] if problem.across else problem.train]
        if "split" in table and table["utterance"].isin(trained).any():
            warn_once(
                f"{self.label}: a split has rows of utterances outside its test part, which do not "
                "count; it is taken on trust that it is the split of this division"
            )
        missing = wanted[~wanted.isin(given)]
        if len(missing):
            what = f"none for {len(missing)}, such as {missing[0][-1]}"
        elif given.has_duplicates:
            what = "several for one"
        elif wanted.has_duplicates:
            what = "one for several of the same name (a column corpus tells them apart)"
        else:
            return table.iloc[given.get_indexer(wanted)]
        raise StudyError(f"expected a prediction for each of {len(wanted)} utterances, got {what}")

    def _certain(self, predicted: pd.Series, classes: list[str]) -> np.ndarray:
        """Probabilities of 1 for the emotions that are predicted."""
        if unknown := sorted(set(predicted) - set(classes)):
            raise StudyError(
                f"{self.label}: expected predictions among {', '.join(classes)}, got {unknown[0]!r}"
            )
        return (predicted.to_numpy()[:, None] == np.array(classes)).astype(float)

    def _probabilities(self, rows: pd.DataFrame, classes: list[str], place: str) -> np.ndarray:
        """Probabilities that sum to 1; counts of votes, say, become shares."""
        where, columns = f"{self.label}, {place}", [f"p_{name}" for name in classes]
        if absent := [column for column in columns if column not in rows]:
            hint = nearest(absent[0], rows.filter(regex="^p_").columns)
            raise StudyError(f"{self.label}: expected a column {absent[0]}, found none{hint}")
        if others := sorted(set(rows.filter(regex="^p_").columns) - set(columns)):
            warn_once(
                f"{where}: {', '.join(others)} is of no emotion among the classes here; the others "
                "are scaled to sum to 1"
            )
        probabilities = rows[columns].apply(pd.to_numeric, errors="coerce").to_numpy(float)
        likeliest = np.array(classes)[np.nan_to_num(probabilities).argmax(axis=1)]
        said = rows.get("predicted", pd.Series(likeliest, rows.index))
        if differ := int((said.isin(classes) & said.ne(likeliest)).sum()):
            warn_once(
                f"{where}: the column predicted is not the likeliest emotion of {differ} rows; its "
                "probabilities count"
            )
        sums = probabilities.sum(axis=1, keepdims=True)
        wrong = ~np.isfinite(probabilities) | (probabilities < 0) | (sums == 0)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            cell = rows[columns].iloc[row, column]
            raise StudyError(
                f"{self.label}: expected probabilities of 0 or more, not all 0, got {cell} in the "
                f"column {columns[column]} of {rows['utterance'].iloc[row]}"
            )
        same = np.ptp(sums) <= 0.05 * sums.max()
        is_usual = np.isclose(sums[0], (1, 100), rtol=0.05).any() if same else sums.max() <= 1.05
        if not is_usual and (probabilities % 1).any():
            warn_once(
                f"{where}: rows sum to {sums.min():.3g} to {sums.max():.3g} and are scaled to 1; "
                "of logits give the softmax"
            )
        return probabilities / sums
