import pandas as pd

from ctl_helpers.report.markup import to_latex, to_markdown

FRAME = pd.DataFrame({"a|b": ["50 %", "C → E"], "UAR": ["86.9 [85.1, 88.7]", ""]})


def test_markdown():
    expected = """**Scores**

| a\\|b | UAR |
|---|---:|
| 50 % | 86.9 [85.1, 88.7] |
| C → E |  |

*Read with care.*
"""
    assert to_markdown(FRAME, "Scores", "Read with care.") == expected


def test_latex_escapes_and_uses_booktabs():
    text = to_latex(FRAME.rename(columns={"a|b": "a_b"}), "scores", "Scores & more", "†")
    assert r"\begin{tabular}{lr}" in text
    assert r"a\_b & UAR \\" in text
    assert r"50 \% & 86.9 {[}85.1, 88.7{]} \\" in text
    assert r"C $\rightarrow$ E &  \\" in text
    assert r"\caption{Scores \& more}" in text and r"\textdagger{}" in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]


def test_a_table_without_rows_is_still_a_table():
    empty = FRAME.iloc[:0]
    assert to_markdown(empty).splitlines() == ["| a\\|b | UAR |", "|---|---|"]
    assert r"\begin{tabular}{ll}" in to_latex(empty, "empty")
