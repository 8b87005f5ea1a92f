import csv
import io
import math
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest
from tests.report import sample

from glioscope.core import InputError
from glioscope.report._document import PValue, Table
from glioscope.report._tables import cell_text, table_csv, table_html, table_latex, write_tables
from glioscope.stats import Estimate

TABLES = [table for section in sample.document().sections for table in section.tables]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        ("FL-CNN", "FL-CNN"),
        (1874, "1874"),
        (-3, "−3"),
        (0.8219, "0.822"),
        (-0.005, "−0.005"),
        (-0.0001, "0.000"),
        (54.26, "54.3"),
        (Estimate(0.8219, 0.7291, 0.8769), "0.822 (0.729, 0.877)"),
        (Estimate(-0.005, -0.02, 0.01), "−0.005 (−0.020, 0.010)"),
        (Estimate(0.8219), "0.822"),
        (Estimate(math.nan), "–"),
        (PValue(0.00009), "< 0.0001"),
        (PValue(0.0001), "0.0001"),
        (PValue(0.52163), "0.5216"),
        (PValue(1 / 64, 1 / 64), "0.0156 (least 0.0156)"),
        (PValue(math.nan, 1 / 64), "–"),
    ],
)
def test_a_cell_prints_as_the_paper_does(cell, text):
    assert cell_text(cell) == text


def test_a_csv_keeps_every_digit_of_values_intervals_and_methods():
    value = Estimate(1 / 3, 0.1 + 0.2, 2 / 3, "DeLong, clustered")
    table = Table(
        "t", "T", ("Model", "AUC", "P", "n"), (('a,"b"', value, PValue(1 / 7, 1 / 64), 3), ("c", None, None, None))
    )
    frame = pd.read_csv(io.StringIO(table_csv(table)))
    assert list(frame) == ["Model", "AUC", "AUC_low", "AUC_high", "AUC_ci_method", "P", "P_smallest", "n"]
    assert frame.loc[0].tolist() == ['a,"b"', 1 / 3, 0.1 + 0.2, 2 / 3, "DeLong, clustered", 1 / 7, 1 / 64, 3]
    assert frame.loc[1].drop("Model").isna().all()


def test_a_csv_row_has_as_many_cells_as_its_header():
    for table in TABLES:
        lengths = {len(row) for row in csv.reader(io.StringIO(table_csv(table)))}
        assert len(lengths) == 1


def test_latex_leaves_no_character_of_a_text_with_a_meaning_to_tex():
    body = table_latex(sample.hostile())
    assert r"\textless{}script\textgreater{}" in body
    assert r"100 \% of\_them {[}red{]} \{x\} \textbackslash{}par \textasciitilde{}\textasciicircum{} \$5 \#1" in body
    for line in body.splitlines()[1:]:
        assert not re.search(r"(?<!\\)[%#$^~]", line)
        assert not line.startswith(("[", "*"))
        plain = line.replace(r"\{", "").replace(r"\}", "")
        assert plain.count("{") == plain.count("}")


def test_latex_rows_have_one_cell_a_column():
    for table in TABLES:
        rows = [line for line in table_latex(table).splitlines() if line.endswith(r" \\")]
        assert len(rows) == len(table.rows) + 1
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(table.columns) - 1}


def test_latex_does_not_number_a_table_twice():
    assert r"\caption{Comparisons}" in table_latex(sample.comparisons())


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_every_latex_table_compiles_when_it_is_input(tmp_path):
    write_tables(TABLES, tmp_path)
    inputs = "\n".join(rf"\input{{{table.name}}}" for table in TABLES)
    head = r"\documentclass{article}\usepackage{booktabs}\begin{document}"
    (tmp_path / "all.tex").write_text(f"{head}\n{inputs}\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:]


class Cells(HTMLParser):
    """Text and attributes of each cell of one table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append(("", dict(attrs)))

    def handle_data(self, data):
        if self.rows and self.rows[-1] and self.lasttag in ("td", "th") and data.strip():
            text, attributes = self.rows[-1][-1]
            self.rows[-1][-1] = (text + data, attributes)


def test_html_gives_back_every_text_and_no_element_of_it():
    for table in TABLES:
        cells = Cells(table_html(table))
        assert set(cells.tags) <= {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "p"}
        assert [text for text, _ in cells.rows[0]] == list(table.columns)
        assert [[text for text, _ in row] for row in cells.rows[1:]] == [
            list(map(cell_text, row)) for row in table.rows
        ]


def test_html_cells_say_what_they_sort_by_and_how_they_were_computed():
    table = Table("t", "T", ("a", "b", "c", "d"), (("x", Estimate(0.5, 0.4, 0.6, "Wilson", 100, 7), None, math.inf),))
    (_, text), (_, value), (_, blank), (_, infinite) = Cells(table_html(table)).rows[1]
    assert "data-sort" not in text
    assert (value["data-sort"], value["title"]) == ("0.5", "Wilson, 100 resamples, 7 patients")
    assert blank["data-sort"] == ""
    assert infinite["data-sort"] == "Infinity"


def test_a_table_has_the_print_that_its_width_and_height_need():
    assert 'class="table wide"' in table_html(sample.wide())
    assert 'class="table normal"' in table_html(sample.rates())
    assert 'class="table normal tall"' in table_html(sample.long())
    wide = sample.wide()
    medium = replace(wide, columns=wide.columns[:8], rows=tuple(row[:8] for row in wide.rows))
    assert 'class="table dense"' in table_html(medium)


def test_every_table_is_written_three_times(tmp_path):
    write_tables(TABLES, tmp_path / "new")
    expected = {f"{table.name}.{suffix}" for table in TABLES for suffix in ("csv", "tex", "html")}
    assert {path.name for path in (tmp_path / "new").iterdir()} == expected
    assert len(expected) == 18


def test_names_that_would_leave_the_folder_or_overwrite_each_other_are_refused(tmp_path):
    for name in ("../up", "", "a/b", ".hidden", 'a"b', "a b"):
        with pytest.raises(InputError, match="table name"):
            write_tables([replace(sample.counts(), name=name)], tmp_path)
    with pytest.raises(InputError, match="used 2 times"):
        write_tables([sample.counts(), sample.counts()], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_row_with_too_few_cells_is_refused():
    with pytest.raises(InputError, match="row 0 has 1 cells for 2 columns"):
        table_csv(Table("t", "T", ("a", "b"), (("x",),)))


def test_a_table_without_rows_prints_its_head():
    empty = Table("t", "T", ("a", "b"), ())
    assert table_csv(empty) == "a,b\n"
    assert r"a & b \\" in table_latex(empty)
    assert "<tbody>" in table_html(empty)
