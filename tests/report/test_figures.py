import io
import itertools

import fabricated
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from ctl_helpers.corpora import EMOTIONS
from ctl_helpers.errors import StudyError
from ctl_helpers.report import figures, tables
from ctl_helpers.results import comparisons
from ctl_helpers.results import runs as results
from ctl_helpers.results.naming import DAGGER, OURS, label_of
from ctl_helpers.results.spaces import Space, neighbours
from ctl_helpers.results.verdict import verdict


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return fabricated.fill(tmp_path_factory.mktemp("store"), folds=3)


@pytest.fixture(scope="module")
def runs(store):
    return results.load_runs(store)


@pytest.fixture(scope="module")
def loso(store, runs):
    mine = runs[(runs["corpus"] == "emodb") & (runs["protocol"] == "loso")]
    return results.load_predictions(store, mine)


@pytest.fixture(scope="module")
def manifest():
    rows = [
        {"corpus": "emodb", "emotion": emotion, "speaker": speaker, "text": text}
        for emotion, speaker, text in itertools.product(
            fabricated.EMOTIONS["emodb"], ("03", "08", "09"), ("a01", "a02")
        )
        if (emotion, speaker) != ("angry", "03")
    ]
    duration = np.random.default_rng(0).gamma(8, 0.3, len(rows))
    return pd.DataFrame(rows).assign(duration=duration, path="x.wav", sampling_rate=16_000)


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def test_every_figure_is_returned_closed_and_can_be_saved(store, runs, loso, manifest, tmp_path):
    before = plt.get_fignums()
    beside = tables.ours_beside_published(runs)
    values = np.random.default_rng(0).normal(size=(len(manifest), 20, 39)).astype(np.float32)
    tones = {"angry": np.sin(np.arange(12_000) / 20), "sad": np.sin(np.arange(9_000) / 20)}
    space = Space(values[:, 0], manifest)
    drawn = {
        "confusion": figures.confusion_matrix(loso),
        "curves": figures.learning_curves(results.load_history(store, runs)),
        "speakers": figures.recalls(loso, "speaker"),
        "emotions": figures.recalls(loso),
        "single": figures.comparison(beside[beside["corpus"] != ""]),
        "across": figures.comparison(beside[beside["source"] != ""]),
        "overview": figures.overview(beside),
        "verdict": figures.verdicts(verdict(runs)),
        "gap": figures.gap(comparisons.gap(runs)),
        "gains": figures.gains(comparisons.gains(runs, results.load_predictions(store, runs))),
        "reliability": figures.reliability(loso),
        "balance": figures.class_balance(manifest),
        "utterances": figures.utterance_panels(tones, {"angry": values[0], "sad": values[1]}, 8000),
        "normalisation": figures.normalisation_effect({"none": values, "other": values}, manifest),
        "scatter": figures.embedding_scatter({"a": space, "b": space}, ("emotion", "speaker")),
    }
    assert plt.get_fignums() == before
    for name, figure in drawn.items():
        assert isinstance(figure, Figure)
        for path in figures.save_figure(figure, tmp_path, name):
            assert path.stat().st_size > 1000, path


def test_saving_twice_gives_the_same_bytes(loso, tmp_path):
    first = figures.save_figure(figures.confusion_matrix(loso), tmp_path / "a", "f")
    second = figures.save_figure(figures.confusion_matrix(loso), tmp_path / "b", "f")
    assert [path.suffix for path in first] == [".png", ".svg"]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_a_small_image_looks_the_same(loso):
    drawn = io.BytesIO()
    look = {"dpi": 160, "bbox_inches": "tight", "facecolor": "white"}
    figures.confusion_matrix(loso).savefig(drawn, format="png", **look)
    small = figures.png_of(figures.confusion_matrix(loso))
    assert len(small) < 0.6 * len(drawn.getvalue())
    before, after = (
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), float)
        for data in (drawn.getvalue(), small)
    )
    assert before.shape == after.shape and np.abs(before - after).mean() < 1
    assert (after[0, 0] == 255).all()


def test_figures_that_cannot_be_written(loso, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StudyError, match=r"cannot write .*f\.png"):
        figures.save_figure(figures.confusion_matrix(loso), tmp_path / "file", "f")


def test_confusion_matrix_writes_counts_and_rates(loso):
    shown = texts(figures.confusion_matrix(loso))
    angry = loso[loso["emotion"] == "angry"]
    hits = (angry["predicted"] == "angry").sum()
    assert shown[0] == f"{100 * hits / len(angry):.0f}\n{hits}"
    assert sum(int(text.split()[1]) for text in shown) == len(loso)


def test_confusion_matrix_keeps_emotions_that_were_never_predicted():
    frame = pd.DataFrame({"emotion": ["sad", "happy"], "predicted": ["sad", "sad"]})
    figure = figures.confusion_matrix(frame)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["happy", "sad"]
    assert texts(figure) == ["0\n0", "100\n1", "0\n0", "100\n1"]


def test_learning_curves_are_means_over_runs(store, runs):
    history = results.load_history(store, runs[runs["recipe"] == "released"])
    loss, score = figures.learning_curves(history).axes
    expected = history.groupby("epoch")["loss"].mean()
    assert loss.lines[0].get_ydata() == pytest.approx(expected.to_numpy())
    labels = [line.get_label() for line in score.lines]
    assert labels == ["training accuracy", "test WAR", "test UAR"]


@pytest.mark.parametrize("epochs", [1, 2, 60])
def test_learning_curves_of_one_run_without_scores(epochs):
    epoch = np.arange(1, epochs + 1)
    history = pd.DataFrame({"run": "a", "epoch": epoch, "loss": 1 / epoch, "accuracy": np.nan})
    figure = figures.learning_curves(history)
    assert len(figure.axes) == 1 and "One run" in figure.get_suptitle()
    ticks = figure.axes[0].get_xticks()
    assert len(ticks) < 15 and (ticks == ticks.astype(int)).all()


def test_learning_curves_below_zero_are_seen():
    history = pd.DataFrame({"run": "a", "epoch": [1, 2], "loss": 0.5, "discrepancy": [-0.2, -1.3]})
    (ax,) = figures.learning_curves(history).axes
    assert ax.get_ylim()[0] < -1.3


def labels(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_comparison_marks_the_optimistic_and_has_a_panel_per_corpus_and_protocol(runs):
    table = tables.ours_beside_published(runs)
    figure = figures.comparison(table[table["corpus"] != ""])
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles[:2] == ["CASIA, shuffled k-fold", "CASIA, leave one speaker out"]
    assert f"CPAC released {DAGGER} (3 of 10 folds)" in labels(figure.axes[0])
    assert "CPAC (Ye et al. 2023)" in labels(figure.axes[0])


def test_scores_never_go_beyond_what_can_be(store, runs, loso):
    table = tables.ours_beside_published(runs)
    best = loso.assign(predicted=loso["emotion"])
    drawn = [figures.comparison(table), figures.overview(table)]
    drawn += [figures.recalls(best), figures.recalls(best, "speaker")]
    drawn += [figures.gap(comparisons.gap(runs)), figures.verdicts(verdict(runs))]
    for figure in drawn:
        for ax in figure.axes:
            low, high = ax.get_xlim()
            assert 0 <= low < high <= 101
            assert all(0 <= tick <= 100 for tick in ax.get_xticks() if low <= tick <= high)


def test_the_overview_lays_both_protocols_of_a_method_on_one_row(runs):
    axis = figures.overview(tables.ours_beside_published(runs)).axes[0]
    assert axis.get_title(loc="left") == "CASIA"
    row = labels(axis).index("CPAC modern")
    mine = runs[(runs["corpus"] == "casia") & (runs["recipe"] == "modern")]
    drawn = [line.get_xdata()[0] for line in axis.lines if list(line.get_ydata()) == [row]]
    expected = 100 * mine.groupby("protocol")["uar"].mean()
    assert sorted(drawn) == pytest.approx(sorted(expected))
    chance = [line for line in axis.lines if line.get_linestyle() == ":"]
    assert chance[0].get_xdata()[0] == pytest.approx(100 / 6)


def test_published_scores_have_their_dot_beside_ours_with_intervals_over_utterances(store, runs):
    table = tables.ours_beside_published(runs, results.load_predictions(store, runs))
    published = table[(table["corpus"] == "casia") & (table["reported_by"] != OURS)]
    axis = figures.overview(table).axes[0]
    for row in published.to_dict("records"):
        place = [labels(axis).index(label_of(row))]
        drawn = [line.get_xdata()[0] for line in axis.lines if list(line.get_ydata()) == place]
        assert set(drawn) == {row["uar"]}


def test_transfers_have_a_panel_per_pair_and_methods_in_one_order(runs):
    table = tables.ours_beside_published(runs)
    figure = figures.comparison(table[table["source"] != ""])
    pairs = [ax.get_title(loc="left") for ax in figure.axes]
    assert pairs == ["CASIA → EmoDB", "EmoDB → CASIA"]
    means = runs[runs["source"] != ""].groupby("method")["uar"].mean()
    words = {"source-only": "source only released", "caam-mdd": "CAAM (MDD) released"}
    words["caam-released"] = "CAAM (released loss)"
    assert labels(figure.axes[0]) == [words[m] for m in means.sort_values(ascending=False).index]


def test_a_scatter_says_how_near_its_kin_are(manifest):
    points = np.random.default_rng(0).normal(size=(len(manifest), 5))
    space = Space(points, manifest)
    figure = figures.embedding_scatter(space, ("emotion", "speaker"))
    for ax, row in zip(figure.axes, neighbours(space).itertuples(), strict=True):
        assert f"same {row.by} {100 * row.share:.0f} %" in ax.get_xlabel()
        assert f"(chance {100 * row.chance:.0f} %)" in ax.get_xlabel()
    looks = figure.axes[1].collections
    colours = {tuple(colour) for look in looks for colour in look.get_facecolors()}
    assert len(colours) == manifest["speaker"].nunique()


@pytest.mark.filterwarnings("error")
def test_gains_of_one_method_and_seed_have_room(store, runs, tmp_path):
    few = runs[(runs["source"] == "casia") & (runs["method"] != "caam-mdd") & (runs["seed"] == 0)]
    table = comparisons.gains(few, results.load_predictions(store, few))
    assert len(table) == 1
    figures.save_figure(figures.gains(table), tmp_path, "gains")


def test_gains_have_a_panel_per_pair_and_an_interval_over_each(store, runs):
    figure = figures.gains(comparisons.gains(runs, results.load_predictions(store, runs)))
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["CASIA → EmoDB", "EmoDB → CASIA"]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert sorted(labels) == ["CAAM (MDD) released", "CAAM (released loss)"]
    alone = figures.gains(comparisons.gains(runs))  # without predictions there are no thin bars
    thin = [
        sum(np.isfinite(line.get_xdata()).all() for line in f.axes[0].lines)
        for f in (figure, alone)
    ]
    assert thin[0] - thin[1] == 2


def test_one_utterance_per_emotion_of_one_speaker_and_sentence(manifest):
    one = figures.one_per_emotion(manifest)
    assert one["emotion"].tolist() == fabricated.EMOTIONS["emodb"]
    assert one["speaker"].nunique() == 1 and one["text"].nunique() == 1
    assert one["speaker"].iloc[0] != "03"  # who was never angry


def test_one_utterance_per_emotion_without_speakers(manifest):
    one = figures.one_per_emotion(manifest.assign(speaker="", text=""))
    assert one["emotion"].tolist() == fabricated.EMOTIONS["emodb"]


def test_pca_is_pca_on_standardised_values():
    values = np.random.default_rng(0).normal(size=(30, 6)) * np.arange(1, 7)
    expected = PCA(2).fit_transform(StandardScaler().fit_transform(values))
    found = figures.project(values)
    assert np.abs(found) == pytest.approx(np.abs(expected))


@pytest.mark.parametrize("shape", [(2, 3), (4, 1), (5, 64), (3, 1, 1)])
def test_few_utterances_are_projected_too(shape):
    points = figures.project(np.random.default_rng(0).normal(size=shape))
    assert points.shape == (shape[0], 2) and np.isfinite(points).all()


def test_mistakes_are_named(loso):
    with pytest.raises(StudyError, match="two or more utterances"):
        figures.project(np.zeros((1, 2)))
    for draw in (figures.confusion_matrix, figures.learning_curves, figures.comparison):
        with pytest.raises(StudyError, match="empty"):
            draw(loso.iloc[:0])
    with pytest.raises(StudyError, match="empty"):
        figures.class_balance(pd.DataFrame({"corpus": [], "emotion": []}))


def test_every_emotion_has_its_own_colour_and_strangers_get_one():
    for others in ([], ["ironic", "bashful"], [f"kind {i}" for i in range(40)]):
        names = [*others, *EMOTIONS]
        colours = figures.colours_of(names)
        assert list(colours) == names and len(set(colours.values())) == len(names)
        assert figures.colours_of(EMOTIONS).items() <= colours.items()
    corpora = figures.colours_of(["casia", "emodb", "mine", "ours"])
    assert len(set(corpora.values())) == 4


@pytest.mark.skipif(
    not {"Noto Sans CJK SC", "Noto Sans CJK JP"} & {*get_font_names()},
    reason="needs a font with Chinese letters that Matplotlib knows",
)
def test_labels_in_other_scripts_are_drawn(manifest, recwarn):
    figures.png_of(figures.class_balance(manifest.assign(emotion="愤怒")))
    assert not [warning for warning in recwarn if "missing from font" in str(warning.message)]
