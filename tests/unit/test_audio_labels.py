"""Label files: tables, Audacity tracks and TextGrids."""

from __future__ import annotations

from pathlib import Path

import pytest

from timbre.audio.labels import Label, check_labels, overlapping, read_labels
from timbre.errors import DatasetError

Row = tuple[float, float, str, str | None]

LONG_GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 3.5
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "TextTier"
        name = "points"
        xmin = 0
        xmax = 3.5
        points: size = 1
        points [1]:
            number = 1.5
            mark = "click"
    item [2]:
        class = "IntervalTier"
        name = "empty"
        xmin = 0
        xmax = 3.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 3.5
            text = ""
    item [3]:
        class = "IntervalTier"
        name = "Wörter"
        xmin = 0
        xmax = 3.5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 1.25
            text = "he said ""hi"" 5 ! times"
        intervals [2]:
            xmin = 1.25
            xmax = 2
            text = " "
        intervals [3]:
            xmin = 2
            xmax = 3.5
            text = "två
rader"
"""
SHORT_GRID = """File type = "ooTextFile short"
"TextGrid"

0
3.5
<exists>
1
"IntervalTier" ! a comment with "quotes" and 7
"Wörter"
0
3.5
2
0 1.25 "eins"
1.25 3.5
"zwei"
"""


def rows(labels: list[Label]) -> list[Row]:
    return [(label.start_s, label.end_s, label.name, label.speaker) for label in labels]


def read(tmp_path: Path, text: str | bytes, tier: str | None = None) -> list[Label]:
    path = tmp_path / "some.labels"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_labels(path, tier)


PLAIN: list[Row] = [(0.5, 1.25, "one", None), (62.5, 3723.25, "two", "ann")]


@pytest.mark.parametrize(
    "text",
    [
        "0.5,1.25,one\n1:02.5,1:02:03.25,two,ann\n",
        "start,end,name,speaker\n0.5,1.25,one,\n62.5,3723.25,two,ann",
        "\ufeffSpeaker;Note;Text;END;Begin\r\n;x;one;1,25;0,5\r\nann;;two;01:02:03,25;1:02,5\r\n",
        "0.5\t1.25\tone\n\\\t100.0\t200.0\n\n62.500000\t3723.250000\ttwo\tann\n",
        'start_s\tend_s\tlabel\tsinger\n0.5\t1.25\t"one"\t\n62.5\t3723.25\ttwo\tann\n',
        ' 0.5 , 1.25 ,"one"\n\n 62.5,3723.25, two ,"ann"',
        "end,start,title,voice\n1.25,0.5,one\n3723.25,62.5,two,ann\n",
    ],
)
def test_tables_of_all_kinds(tmp_path: Path, text: str) -> None:
    assert rows(read(tmp_path, text)) == PLAIN
    assert rows(read(tmp_path, text.lstrip("\ufeff").encode("utf-16"))) == PLAIN


def test_names_in_any_form(tmp_path: Path) -> None:
    text = '0,1,"a, ""b""\nc"\n1,2,\n2,3\n3,4,第一節\n'
    labels = read(tmp_path, text)
    assert [label.name for label in labels] == ['a, "b"\nc', "002", "003", "第一節"]
    assert [label.line for label in labels] == [2, 3, 4, 5]
    assert read(tmp_path, '0\t1\t"a\n1\t2\tb"\n')[0].name == '"a'  # Audacity quotes nothing


def test_textgrid_in_its_long_form(tmp_path: Path) -> None:
    expected: list[Row] = [(0.0, 1.25, 'he said "hi" 5 ! times', None), (2.0, 3.5, "två\nrader", None)]
    for coding in ("utf-8", "utf-8-sig", "utf-16"):
        labels = read(tmp_path, LONG_GRID.encode(coding))
        assert rows(labels) == expected
        assert [label.line for label in labels] == [37, 45]


def test_textgrid_in_its_short_form(tmp_path: Path) -> None:
    assert rows(read(tmp_path, SHORT_GRID)) == [(0.0, 1.25, "eins", None), (1.25, 3.5, "zwei", None)]


def test_tier_by_name(tmp_path: Path) -> None:
    assert len(read(tmp_path, LONG_GRID, "Wörter")) == 2
    with pytest.raises(DatasetError, match=r"no interval tier named 'points'; its interval tiers are: 'empty', 'Wört"):
        read(tmp_path, LONG_GRID, "points")
    with pytest.raises(DatasetError, match="holds no labels"):
        read(tmp_path, LONG_GRID, "empty")
    with pytest.raises(DatasetError, match="is no TextGrid, so it has no tier 'a'"):
        read(tmp_path, "0,1,a", "a")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no labels"),
        ("start,end,name\n", "holds no labels"),
        ("start,name\n0,a", "line 1 names a column for the start but none for the end"),
        ("0,1,a\n1,zwei,b", "line 2: the end is 'zwei'; it must be a time"),
        ("0,1,a\n-1,2,b", "line 2: the start is '-1'"),
        ("0,1,a\n2", "line 2: the end is ''"),
        ("0,nan,a", "line 1: the end is 'nan'"),
        ("0,1:75,a", "line 1: the end is '1:75'; its minutes and seconds must be below 60"),
        ("0,1:60:00,a", "line 1: the end is '1:60:00'; its minutes and seconds"),
        ("name\nx", "line 1: the start is 'name'"),
        ("\n\n3,2,a", "line 3: the label 'a' starts at 3 s and ends at 2 s"),
        ("1,1,a", "line 1: the label 'a' starts at 1 s and ends at 1 s"),
        ("9" * 400 + "," + "9" * 401, "starts at inf s"),
        ('0,1,"a\n1,2,b\n', "line 2 is no row of a table"),
        (b"0,1,gr\xfc\xdfe\n", "is no text in UTF-8 or UTF-16; save it as UTF-8"),
        (b"0,1,\0\n", "is no text"),
        (SHORT_GRID[:120], "ends after line 11, amid its tiers"),
        (SHORT_GRID.replace('"TextGrid"', '"Pitch"'), "line 2: 'Pitch' stands where 'TextGrid' should"),
        (SHORT_GRID.replace("1.25 3.5", "1.25 x"), 'line 15: "zwei" stands where a number should'),
        (SHORT_GRID.replace("<exists>\n1", "<exists>\n1.5"), "line 7: 1.5 stands where a count should"),
        (SHORT_GRID.replace("IntervalTier", "Tear"), "line 8: 'Tear' stands where the kind of a tier should"),
        (SHORT_GRID.replace("0 1.25", "-1 1.25"), "line 13: the label 'eins' starts at -1 s"),
        (SHORT_GRID.replace("<exists>", "<absent>"), "no interval tier with text; its interval tiers are: none"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(DatasetError) as caught:
        read(tmp_path, text)
    assert says in str(caught.value) and str(caught.value).startswith("some.labels ")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.csv cannot be read \(No such file"):
        read_labels(tmp_path / "none.csv")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_labels(tmp_path)


def test_labels_must_lie_within_their_recording(tmp_path: Path) -> None:
    labels = read(tmp_path, "0,1,a\n1,2.0005,b\n")
    check_labels(labels, tmp_path / "x.csv", "song.wav", 2.0)  # rounded to milliseconds
    with pytest.raises(DatasetError, match=r"x\.csv line 2: the label 'b' ends at 2.0005 s, but song.wav is 1.990 s"):
        check_labels(labels, tmp_path / "x.csv", "song.wav", 1.99)


def test_overlaps_are_found_against_the_label_that_lasts_longest(tmp_path: Path) -> None:
    labels = read(tmp_path, "5,6,d\n0,4,a\n1,2,b\n3,5,c\n")
    assert [(one.name, other.name) for one, other in overlapping(labels)] == [("a", "b"), ("a", "c")]
