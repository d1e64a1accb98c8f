import pandas as pd

from ctl_helpers.report.markup import Table

FRAME = pd.DataFrame({"a|b": ["50 %", "C → E"], "UAR": ["86.9 [85.1, 88.7]", ""]})


def test_markdown():
    expected = """**Scores**

| a\\|b | UAR |
|---|---:|
| 50 % | 86.9 [85.1, 88.7] |
| C → E |  |

*Read with care.*
"""
    assert Table(FRAME, None, "Scores", "Read with care.").markdown() == expected


def test_latex_escapes_and_uses_booktabs():
    table = Table(FRAME.rename(columns={"a|b": "a_b"}), None, "Scores & more", "†")
    text = table.latex("scores")
    assert r"\begin{tabular}{lr}" in text
    assert r"a\_b & UAR \\" in text
    assert r"50 \% & 86.9 {[}85.1, 88.7{]} \\" in text
    assert r"C $\rightarrow$ E &  \\" in text
    assert r"\caption{Scores \& more}" in text and r"\textdagger{}" in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]


def test_a_table_without_rows_is_still_a_table():
    empty = FRAME.iloc[:0]
    assert Table(empty).markdown().splitlines() == ["| a\\|b | UAR |", "|---|---|"]
    assert r"\begin{tabular}{ll}" in Table(empty).latex("empty")
