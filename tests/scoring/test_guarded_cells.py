"""Cells of CSV files that are no formulas for a spreadsheet, and come back; lines of a terminal that stay lines."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.datasets.readings import ReadingsDataset
from lmim_kedro.datasets.tables import CsvTable
from lmim_kedro.files import guarded, unguarded
from lmim_kedro.reading.files import write_readings, write_text
from lmim_kedro.reporting.rendering import markdown, markdown_code, plain_markdown
from lmim_kedro.scoring.compare import pair_up, write_differences
from lmim_kedro.text.marks import on_lines, on_one_line, show_controls
from lmim_kedro.text.spelling import Reading

FORMULAS = ["=1+1", "+1", "-5", "@SUM(A1)", "\t=1", "\r-1", " =A1", "'=1", "''+", "=", "\uff1d1"]
BEGINS = st.sampled_from(["", "=", "+", "-", "@", "\t", "\r", "'", " ", "\uff1d"])
TEXTS = st.builds("{}{}{}".format, BEGINS, BEGINS, st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.mark.parametrize("text", FORMULAS)
def test_what_a_spreadsheet_would_compute_gets_an_apostrophe(text):
    assert guarded(text) == f"'{text}" and unguarded(guarded(text)) == text


@pytest.mark.parametrize("text", ["exit", "", "'", "'tis", "a=b", "1-2", "(", "'exit'"])
def test_other_texts_stay_as_they_are(text):
    assert guarded(text) == text and unguarded(text) == text


@given(TEXTS)
def test_every_text_comes_back_and_no_cell_is_a_formula(text):
    cell = guarded(text)
    assert unguarded(cell) == text
    assert cell.lstrip()[:1] not in tuple("=+-@\uff1d\uff0b\uff0d\uff20")


@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_readings_in_csv_hold_no_formula_and_json_lines_hold_the_texts_themselves(texts):
    readings = [Reading(text, 0.5, (0.5,), None, key=text) for text in texts]
    file = io.StringIO(newline="")
    write_text(readings, file, "csv")
    file.seek(0)
    rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == [guarded(text) for text in texts]
    assert [unguarded(row["key"]) for row in rows] == texts
    file = io.StringIO()
    write_text(readings, file, "jsonl")
    assert [json.loads(line)["text"] for line in file.getvalue().split("\n")[:-1]] == texts


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_readings_are_loaded_as_they_were_written(tmp_path, form):
    path = tmp_path / f"readings.{form}"
    write_readings([Reading(text, 0.5, (0.5,), None, f"{text}.png") for text in FORMULAS], path, form)
    table = ReadingsDataset(filepath=str(path), format=form).load()
    assert table["text"].tolist() == FORMULAS
    assert table["key"].tolist() == [f"{text}.png" for text in FORMULAS]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    Image.new("RGB", (60, 20)).save(folder / "-a.png")
    return folder


@given(text=TEXTS)
def test_readings_that_become_labels_are_the_texts_that_were_read(place, text):
    # Line ends of users' files are all the same, and a label keeps no mark at its ends.
    text = text.replace("\r", "\n").strip("\u200b\u200e\u200f\u2060\ufeff\n")
    write_readings([Reading(text, 0.5, (0.5,), None, "-a.png")], place / "readings.csv", "csv")
    source = open_source("words", {"path": str(place / "readings.csv"), "format": "csv"})
    (crop,) = source.read(0, 1)
    assert crop.key == "-a.png" and crop.data is not None
    assert crop.label == text


@pytest.mark.parametrize("text", ["a\u2028b", "a\x85b", "\x0ba", "=\x1c"])
def test_readings_with_characters_that_python_takes_for_line_ends_become_labels(place, text):
    write_readings([Reading(text, 0.5, (0.5,), None, "-a.png")], place / "readings.csv", "csv")
    (crop,) = open_source("words", {"path": str(place / "readings.csv"), "format": "csv"}).read(0, 1)
    assert crop.label == text


def test_lists_of_others_keep_their_apostrophes(place):
    (place / "list.csv").write_text("filename,text\n-a.png,'-5\n")
    (crop,) = open_source("words", {"path": str(place / "list.csv")}).read(0, 1)
    assert crop.label == "'-5"


def test_tables_and_differences_are_guarded_and_tables_come_back(tmp_path):
    table = pd.DataFrame({"source": ["=a", "b\r,c", None], "n": [-1, 2, 3], "share": [-0.5, 0.1, 0.2]})
    dataset = CsvTable(filepath=str(tmp_path / "t.csv"))
    dataset.save(table)
    assert (tmp_path / "t.csv").read_text().splitlines()[1] == '"\'=a",-1,-0.5'
    assert dataset.load()["source"].tolist()[:2] == ["=a", "b\r,c"] and dataset.load()["n"].tolist() == [-1, 2, 3]
    sides = [
        pd.DataFrame({"benchmark": "x", "key": ["=1"], "label": ["-5"], "prediction": [said]}) for said in ("-5", "@")
    ]
    assert write_differences(pair_up(*sides), "exact", tmp_path / "d.csv") == 1
    assert (tmp_path / "d.csv").read_text().splitlines()[1].replace('"', "") == "x,'=1,'-5,'-5,'@,A"


EVIL = "\x1b[2Jword\u202egnp\x9b\r\u2066"


@given(st.text())
def test_no_line_of_a_terminal_holds_a_control_or_a_turn(text):
    assert not CONTROL.search(on_lines(text)) and not CONTROL.search(on_one_line(text))
    assert "\n" not in on_one_line(text) and "\t" not in on_one_line(text)


def test_escapes_and_turns_are_shown_as_what_they_are():
    assert on_one_line(EVIL) == r"\x1b[2JwordU+202Egnp\x9b\rU+2066"
    assert on_lines("a\tb\nc" + EVIL) == "a\tb\nc" + r"\x1b[2JwordU+202Egnp\x9b\rU+2066"
    assert (
        on_one_line("\u0645\u06cc\u200c\u062e \U0001f469\u200d\U0001f52c")
        == "\u0645\u06cc\u200c\u062e \U0001f469\u200d\U0001f52c"
    )


def test_lines_of_the_log_are_shown_as_lines_of_the_terminal():
    file = io.StringIO()
    handler = logging.StreamHandler(file)
    logging.getLogger().addHandler(handler)
    try:
        show_controls()
        show_controls()
        logging.getLogger("lmim_kedro.crops").warning("%s: bad", EVIL)
        logging.getLogger("kedro").warning("%s", "two\nlines")
    finally:
        logging.getLogger().removeHandler(handler)
    assert file.getvalue() == r"\x1b[2JwordU+202Egnp\x9b\rU+2066: bad" + "\ntwo\nlines\n"


def test_no_command_prints_what_it_was_given_without_a_look(project):
    """Whatever a command prints is a text of the project's own, or goes through `on_lines` or `on_one_line`."""
    own = re.compile(r"echo\((on_lines\(|$|\"|f\"\{on_one_line|f\"open http)")
    for file in (project / "src/lmim_kedro/commands").glob("*.py"):
        for line in file.read_text("utf-8").splitlines():
            if "echo(" in line and file.name != "verify.py":  # whose texts are the project's
                assert own.search(line.strip().removeprefix("click.")) or "measure_cost" in line, (file.name, line)


def test_markdown_shows_texts_as_they_are():
    table = pd.DataFrame({"a|b": ["<img src=x>", "`code`", "x|y", "[l](http://e)", "a\nb", "*s* _t_ ic13_1015"]})
    lines = markdown(table, ["a|b"]).splitlines()
    assert len(lines) == 8 and all(len(re.findall(r"(?<!\\)\|", line)) == 2 for line in lines)
    cells = [line.strip("| ") for line in lines[2:]]
    assert cells[:2] == ["&lt;img src=x&gt;", r"\`code\`"]
    assert cells[3:] == [r"\[l\](http://e)", r"a\nb", r"\*s\* \_t\_ ic13_1015"]
    assert lines[0].strip("| ") == r"a\|b"
    assert markdown_code("a`<b>") == "`` a`<b> ``" and plain_markdown("a\\b") == r"a\\b"
