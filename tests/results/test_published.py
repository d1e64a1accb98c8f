import os
import re
from pathlib import Path

import pytest

from ctl_helpers.errors import StudyError
from ctl_helpers.results.published import COLUMNS, published

SHARED = Path(os.environ.get("CTL_SHARED", Path(__file__).resolve().parents[3] / "shared"))


def test_every_number_has_a_source_and_is_a_percentage():
    table = published()
    assert list(table.columns) == COLUMNS
    assert len(table) == 3 * 4 + 4 * 7 + 4 * 7
    assert table["citation"].str.contains("ICASSP 2023|2207.10644").all()
    assert table[["uar", "war"]].stack().between(15, 100).all()
    assert not table.duplicated(["task", "method", "corpus", "source", "target", "protocol"]).any()


def test_casia_is_balanced_so_uar_is_war():
    casia = published("cpac").query("corpus == 'casia'")
    assert (casia["uar"] == casia["war"]).all()


@pytest.mark.parametrize("protocol", ["transductive", "svm"])
def test_printed_means_are_the_means_of_the_pairs(protocol):
    table = published("transfer").query("protocol == @protocol")
    for method, rows in table.groupby("method"):
        printed = rows[rows["source"] == "mean"][["uar", "war"]].to_numpy()[0]
        pairs = rows[rows["source"] != "mean"]
        assert len(pairs) == 6
        assert pairs[["uar", "war"]].mean().to_numpy() == pytest.approx(printed, abs=0.011), method


def test_the_numbers_are_those_of_the_reference():
    reference = SHARED / "REFERENCE.md"
    if not reference.is_file():
        pytest.skip("needs REFERENCE.md beside the repository")
    section = reference.read_text(encoding="utf-8").split("## 6.")[1].split("## 7.")[0]
    expected = [
        (float(uar), float(war))
        for line in section.splitlines()
        for uar, war in re.findall(r"(\d\d\.\d\d) / (\d\d\.\d\d)", line)
    ]
    table = published()
    assert list(zip(table["uar"], table["war"], strict=True)) == expected


def test_unknown_task():
    with pytest.raises(StudyError, match="cpac, transfer; got 'asr'"):
        published("asr")
