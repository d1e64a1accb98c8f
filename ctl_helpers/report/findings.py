"""What came out of a study: a table for each question, and up to three sentences."""

from pathlib import Path

import pandas as pd

from ctl_helpers.features import TRANSDUCTIVE
from ctl_helpers.report import cells, tables
from ctl_helpers.report.markup import CAPTIONS, Table
from ctl_helpers.report.notebooks import listed
from ctl_helpers.results import comparisons, questions
from ctl_helpers.results.naming import (
    OURS,
    RULES,
    TESTED_BY,
    label_with_part_of,
    method_of,
    name_of,
    place_of,
)
from ctl_helpers.results.runs import load_predictions, load_runs, study_runs
from ctl_helpers.results.summaries import costs
from ctl_helpers.results.verdict import FAILS, HOLDS, OPEN, verdict
from ctl_helpers.runs.store import RunStore


class Findings:
    """What is reported of a report's runs, those of the usual division where it ran.

    Parameters
    ----------
    out
        The report's folder; see `runs.study_runs` for what counts of it.

    Attributes
    ----------
    store : RunStore
        Where the runs are.
    runs, predictions, scores, claims, gap, gains, choice, divisions : DataFrame
        From `runs.load_runs`, `runs.load_predictions`, `tables.ours_beside_published`,
        `verdict.verdict`, `comparisons.gap`, `comparisons.gains`,
        `questions.chosen_by_other_pairs` and `questions.scores_by_division`.
    inside, across : DataFrame
        The scores inside one corpus, and those across corpora.
    count : int
        Of all runs, those of other divisions too.
    synthetic : bool
        Whether the speech is synthetic.
    """

    rule = RULES["verdict"]

    def __init__(self, out: str | Path):
        self.store, all_runs = RunStore(Path(out) / "runs"), study_runs(out)
        self.count = all_runs["run"].nunique()
        self.runs = questions.usual_division(all_runs)
        self.predictions = load_predictions(self.store, self.runs)
        self.scores = tables.ours_beside_published(self.runs, self.predictions)
        self.inside = self.scores[self.scores["corpus"] != ""]
        self.across = self.scores[self.scores["source"] != ""]
        self.synthetic = len(self.runs) > 0 and bool(self.runs["synthetic"].all())
        self.claims = verdict(self.runs)
        # Both epochs of a training: one of them may be out-dated by a run that asked for it alone.
        self.gap = comparisons.gap(load_runs(self.store, self.runs["run"]))
        self.gains = comparisons.gains(self.runs, self.predictions)
        self.choice = questions.chosen_by_other_pairs(self.runs)
        self.divisions = questions.scores_by_division(all_runs)

    def questions(self) -> dict[str, Table]:
        """Return a table per question, those that have rows."""
        inside, across = self.inside, self.across
        found = {
            "claims": self.claims,
            "inside": tables.at_a_glance(inside),
            "across": tables.at_a_glance(across),
            "cpac": comparisons.against_cpac(self.runs, self.predictions),
            "voices": questions.seconds_of_a_new_voice(self.runs),
            "divisions": self.divisions,
            "gains": self.gains,
            "choice": self.choice,
            "gap": self.gap,
            "goals": questions.goals(self.runs[~self.runs["synthetic"]]),
            "costs": costs(self.runs),
            "all_inside": inside,
            "all_across": across,
        }
        passages = CAPTIONS["notes"] | RULES
        cited = {"inside": cells.notes_of(inside), "across": cells.notes_of(across)}
        asked = {}
        for name, (title, note) in CAPTIONS["questions"].items():
            if len(found[name]):
                note = " ".join([note.format(**passages), *cited.get(name, ())])
                asked[title] = cells.as_table(found[name], note=note)
        return asked

    def sentences(self) -> list[str]:
        """Say what came out, a sentence for each question that the runs can answer."""
        transfer = [_transfer(self.across, self.choice), _caam(self.gains)]
        said = _leak(self.inside), _hold(self.claims, self.gap), " ".join(filter(None, transfer))
        return list(filter(None, said))

    def sources(self):
        """List where the published numbers come from, those that are shown, for a notebook."""
        shown = self.scores[self.scores["citation"] != ""]
        return listed(*cells.notes_of(shown) or ["No published number stands in this report."])

    def seen(self):
        """Say in sentences what was seen, for a notebook."""
        return listed(*self.sentences())


def _leak(inside: pd.DataFrame) -> str:
    """Say what holding speakers out costs and their speech is worth, or else the best method."""
    unheard = inside[~inside["normalisation"].isin(TRANSDUCTIVE)]
    both = tables.side_by_side(unheard)
    both = tables.side_by_side(inside) if both.empty else both
    if both.empty:
        ours = inside[(inside["reported_by"] == OURS) & ~inside["optimistic"].eq(True)]
        if ours.empty:
            return ""
        best = ours.loc[ours["uar"].idxmax()].to_dict()
        score = f"a UAR of {best['uar']:.1f} % on {place_of(best)} ({label_with_part_of(best)})"
        chance = f"chance is {tables.chance_of(best):.1f} %"
        return f"The best score inside a corpus is {score}, where {chance}."
    drop = both[tables.SHUFFLED] - both[tables.HELD_OUT]
    means = drop.groupby("corpus").mean()
    down = (means >= 0).all()
    changes = []
    for corpus, mean in means.items():
        points = f"{mean:.1f}" if down else f"{-mean:+.1f}"
        methods = f"{drop[corpus].size} method{'s' * (drop[corpus].size > 1)}"
        changes.append(f"{points} points on {name_of(corpus)} ({methods})")
    cpac = both[both.index.get_level_values("label").str.startswith("CPAC")]
    corpus, label = (both if cpac.empty else cpac)[tables.SHUFFLED].idxmax()
    shuffled, held = both.loc[(corpus, label)]
    change = f"UAR {'falls' if down else 'changes'} by {', '.join(changes)}"
    example = f"{label} on {name_of(corpus)} goes from {shuffled:.1f} to {held:.1f} %"
    said = f"With speakers that were never heard in training, {change}. {example}."
    voices = [
        f"{heard:.1f} % on {name_of(corpus)} ({unheard:.1f} % without)"
        for corpus, unheard, heard in tables.best_for_voices(inside).itertuples()
    ]
    speech = "With unlabelled speech of these speakers the best in hindsight reaches"
    return f"{said} {speech} {', '.join(voices)}." if voices else said


def _hold(claims: pd.DataFrame, gap: pd.DataFrame) -> str:
    """Say how many published numbers hold, by any recipe, and what picking the epoch adds."""
    sentences = []
    claims = claims[claims["metric"] == "UAR"]
    if len(claims):
        numbers = claims["claim"] + claims["citation"]  # one may be tested by several recipes
        verdicts = {kind: claims["verdict"].str.startswith(kind) for kind in (HOLDS, OPEN, FAILS)}
        said = pd.DataFrame(verdicts).groupby(numbers).any().idxmax(axis=1)
        held, failed, unknown = (int(said.eq(kind).sum()) for kind in (HOLDS, FAILS, OPEN))
        scores = f"{len(said)} published score{'s' * (len(said) > 1)}"
        of_each = said.eq(HOLDS).groupby(said.index.str.split(",").str[0], sort=False)
        parts = [f"{name} {hold.sum()} of {len(hold)}" for name, hold in of_each]
        hold = f"{held} hold{'s' * (held == 1)} by UAR at the last epoch ({', '.join(parts)})"
        hold += f", {failed} do{'es' * (failed == 1)} not"
        rest = f"{unknown} {'is' if unknown == 1 else 'are'} open"
        how = "computed again with the authors' settings"
        sentences.append(f"Of {scores}, {how}, {hold}, and {rest}.")
    uar = gap[gap["metric"] == "UAR"]
    if len(uar):
        picking = "Picking the epoch by its test score, as the released code does,"
        sentences.append(f"{picking} adds {uar['gap'].mean():.1f} points of UAR.")
    return " ".join(sentences)


def _transfer(across: pd.DataFrame, chosen: pd.DataFrame) -> str:
    """Say what source only reaches across corpora, what a chosen method, and which is best."""
    ours = across[(across["reported_by"] == OURS) & across["labels"].eq("emotion")]
    ours = ours[ours["protocol"].eq("transductive")]
    if ours.empty:
        return ""
    single = ~(ours["source"] + ours["target"]).str.contains("+", regex=False)
    ours = ours[single | ~single.any()]  # pairs of single corpora, if there are any
    ours = ours.assign(name=[method_of(row) for row in ours.to_dict("records")])
    pairs = ours.groupby(["source", "target"]).ngroups
    means = ours.groupby("name").agg(uar=("uar", "mean"), pairs=("uar", "size"))
    means = means[means["pairs"] == means["pairs"].max()]
    best, ran = means["uar"].idxmax(), int(means["pairs"].max())
    chances = [tables.chance_of(row) for _, row in ours[ours["name"].isin(means.index)].iterrows()]
    chance = " to ".join(sorted({f"{one:.0f}" for one in (min(chances), max(chances))}))
    words = []
    row = ours[ours["name"] == best].iloc[0]
    plain = method_of({**row, "method": "source-only"})
    if plain in means.index and plain != best:
        words.append(f"{means.loc[plain, 'uar']:.1f} % for source only")
    if len(chosen) == pairs:
        score = f"{chosen['uar'].mean():.1f} %"
        words.append(f"{score} for the method that the other pairs' scores choose")
    words.append(f"{means.loc[best, 'uar']:.1f} % for the best in hindsight ({best})")
    how = "with the target's speech but not its labels"
    said = f"Across corpora the mean UAR over {ran} pair{'s' * (ran > 1)}, {how}, is"
    return f"{said} {', '.join(words)}; chance is {chance} %."


def _caam(gains: pd.DataFrame) -> str:
    """Say what the paper's own method adds to source only.

    Of its recipes the one that ran on most pairs counts; of several that did, the authors'.
    """
    if gains.empty or not (caam := gains["method"].str.startswith("caam")).any():
        return ""
    keys = ["recipe", "normalisation", "method"]
    means = gains[caam].groupby(keys)["difference"].agg(["mean", "size"]).reset_index()
    means = means[means["size"] == means["size"].max()]
    ran = list(means["recipe"])
    recipe = next(filter(ran.__contains__, TESTED_BY["CAAM"][1:]), ran[0])
    means = means[means["recipe"] == recipe]
    changes = [f"{row.mean:+.1f} points with {name_of(row.method)}" for row in means.itertuples()]
    pairs = f"{means['size'].iloc[0]} pair{'s' * int(means['size'].iloc[0] > 1)}"
    change = f"UAR changes by {', '.join(changes)}, on average over {pairs}"
    return f"Compared with source only, {change} (recipe {recipe})."
