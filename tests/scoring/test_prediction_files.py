from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from lmim_kedro.cli import cli
from lmim_kedro.errors import InputError
from lmim_kedro.scoring.compare import read_predictions
from lmim_kedro.scoring.files import read_pairs, split_brackets

SHARED = Path(os.environ.get("LMIM_SHARED", Path(__file__).parents[2].parent / "shared"))
PUBLISHED = {"scene": "67.81", "web": "62.74", "document": "97.86", "handwriting": "51.67"}


def main(arguments: list[str]) -> int:
    """`lmim-kedro score`; its exit status."""
    return cli.main(["score", *arguments], standalone_mode=False) or 0


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8"))
    return path


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        ("0 [abc] [abd]", ("abc", "abd")),
        ("12 [] [a]", ("", "a")),
        ("3 [a b] [c  d]", ("a b", "c  d")),
        ("4 [n)]=a(1)la(2)+a] [n)]=a(1)[a(2)+a]", ("n)]=a(1)la(2)+a", "n)]=a(1)[a(2)+a")),
        ("5 [[] []]", ("[", "]")),
        ("6 [][] [[x]", ("][", "[x")),
        ("7 [x [y] [z] w] [x [y] [z] w]", ("x [y] [z] w", "x [y] [z] w")),  # closed brackets decide
        ("8 [a\u2028b] [c]", ("a\u2028b", "c")),
        ("9 [a] [b] [c]", None),  # nobody can tell
        ("10 [] [] []", None),
        ("[a] [b]", None),
        ("11 [a][b]", None),
        ("12 [a] [b", None),
        ("13 [a] [b] ", None),
        ("x [a] [b]", None),
    ],
)
def test_brackets_are_split_where_there_is_one_way_to_split_them(line: str, pair: tuple[str, str] | None) -> None:
    assert split_brackets(line) == pair


PAIRS = [("a,b", 'say "hi"'), ("tab-less", "ünï [1] [2]"), ("", "x"), ("\u2028", "NA")]
FORMS = {
    "csv": 'key,prediction,label\n1,"a,b","say ""hi"""\n2,tab-less,ünï [1] [2]\n3,,x\n4,\u2028,NA\n',
    "tsv": 'label\tprediction\nsay "hi"\ta,b\nünï [1] [2]\ttab-less\nx\t\nNA\t\u2028\n',
    "jsonl": (
        '{"prediction": "a,b", "label": "say \\"hi\\""}\n{"prediction": "tab-less", "label": "ünï [1] [2]", "n": 1}\n'
        '{"label": "x", "prediction": ""}\n{"label": "NA", "prediction": "\u2028"}\n'
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_form_gives_the_same_pairs_whatever_the_file_is_called(
    form: str, newline: str, mark: str, tmp_path: Path
) -> None:
    pairs = read_pairs(write(tmp_path / "predictions.txt", mark + FORMS[form].replace("\n", newline)))
    assert list(zip(*pairs, strict=True)) == PAIRS


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("0 [a] [b]\n1 [a] b]\n", 2),
        ("0 [a] [b]\n\n1 [a] [b]\n", 2),
        ("prediction\tlabel\na\tb\na\tb\tc\n", 3),
        ("prediction,label\na\n", 2),
        ('prediction,label\n"a"b,c\n', 2),
        ('{"prediction": "a", "label": "b"}\n{"prediction": "a"}\n', 2),
        ('{"prediction": "a", "label": "b"}\n{"prediction": "a", "label": null}\n', 2),
        ('{"prediction": "a", "label": "b"}\n[1, 2]\n', 2),
        ("image,text\na,b\n", 1),
    ],
)
def test_malformed_line_is_named_by_file_and_line(text: str, line: int, tmp_path: Path) -> None:
    path = write(tmp_path / "p.txt", text)
    with pytest.raises(InputError, match=rf"p\.txt:{line} "):
        read_pairs(path)


def test_unusable_files_are_refused_with_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file .*none.txt"):
        read_pairs(tmp_path / "none.txt")
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(tmp_path)
    (tmp_path / "latin").write_bytes(b"0 [caf\xe9] [cafe]\n")
    with pytest.raises(InputError, match="latin is not UTF-8"):
        read_pairs(tmp_path / "latin")
    for text in ("", "\n", "prediction,label\n"):
        with pytest.raises(InputError, match="holds no predictions"):
            read_pairs(write(tmp_path / "empty", text))


def test_command_prints_one_line_per_file_and_counts_apart_what_cannot_be_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write(tmp_path / "one.txt", "0 [ab] [AB]\n1 [x] [y]\n2 [x] [x]\n")
    two = write(tmp_path / "two.csv", "prediction,label\na,a\n-,-\n")
    assert main(["--metric", "waics", str(one), str(two)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{one}: 3 crops, WAICS 66.67 %",
        f"{two}: 1 crops, WAICS 100.00 %, 1 labels cannot be scored",
    ]


def test_command_scores_each_benchmark_of_an_evaluate_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "predictions.parquet"
    rows = [("svt", "1", "ab", "AB"), ("cute80", "1", "x", "y"), ("svt", "2", "x", "y")]
    pd.DataFrame(rows, columns=["benchmark", "key", "prediction", "label"]).to_parquet(path)
    assert main([str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{path} svt: 2 crops, WAICS 50.00 %",
        f"{path} cute80: 1 crops, WAICS 0.00 %",
    ]


def test_command_fails_with_the_sentence_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(write(tmp_path / "p.txt", "0 [a] [b]\n1 a\n"))]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and "p.txt:2 " in printed.err
    assert main([str(write(tmp_path / "q.txt", "0 [a] [?]\n"))]) == 2
    assert "none of its 1 labels can be scored by waics" in capsys.readouterr().err


@pytest.mark.skipif(
    not (SHARED / "golden/chinese_predictions").is_dir(),
    reason="needs golden/chinese_predictions in ../shared, or where LMIM_SHARED says",
)
@pytest.mark.parametrize("subset", PUBLISHED)
def test_published_chinese_accuracies_come_out(subset: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--metric", "chinese", str(SHARED / f"golden/chinese_predictions/transocr_{subset}.txt")]) == 0
    assert capsys.readouterr().out.endswith(f"{PUBLISHED[subset]} %\n")


def test_first_line_of_an_unknown_form_is_shown_up_to_60_characters(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"'{'x' * 60}'"):
        read_pairs(write(tmp_path / "a", "x" * 60))
    with pytest.raises(InputError, match=f"'{'x' * 57}[.]{{3}}'"):
        read_pairs(write(tmp_path / "a", "x" * 61))


def test_files_of_nothing_but_the_two_columns_are_read(tmp_path: Path) -> None:
    for text in ("prediction\tlabel\na\tb\n", "label,prediction\nb,a\n"):
        assert read_pairs(write(tmp_path / "a", text)) == (["a"], ["b"])


@pytest.mark.parametrize("row", ['{"prediction": 1, "label": "b"}', '{"prediction": "a", "label": 1}', '"a"', "{"])
def test_lines_of_json_without_two_strings_are_refused(row: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a:2 is not a JSON object with the strings"):
        read_pairs(write(tmp_path / "a", f'{{"prediction": "a", "label": "b"}}\n{row}\n'))


@pytest.mark.parametrize(
    ("name", "text", "pairs"),
    [
        ("a.csv", "prediction,label\ra,b\r", (["a"], ["b"])),
        ("a.txt", "0 [a] [b]\r1 [c] [d]", (["a", "c"], ["b", "d"])),
        ("a.jsonl", '{"prediction": "a\\r", "label": "b"}', (["a\r"], ["b"])),
    ],
)
def test_a_lone_carriage_return_ends_a_line_but_not_a_text(tmp_path: Path, name: str, text: str, pairs: object) -> None:
    assert read_pairs(write(tmp_path / name, text)) == pairs


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\r", "holds no predictions"),
        ('{"prediction": ' + "[" * 100_000, ":1 is not a JSON object"),
        ('{"prediction": "a", "prediction": "b", "label": "c"}', ":1 is not a JSON object"),
        ("a" * 200_000 + ",b", ":1 is 'aaa"),
        ("prediction,label\n" + "a" * 200_000 + ",b", r":2 is not CSV \(field larger than field limit"),
    ],
)
def test_odd_files_of_predictions_are_sentences(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_pairs(write(tmp_path / "a.csv", text))


def test_pipe_and_device_are_sentences(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path, kind in ((tmp_path / "pipe.csv", "a pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(InputError, match=f"cannot be read .{kind}, no regular file"):
            read_pairs(path)


def test_predictions_in_parquet_that_are_no_text_are_a_sentence(tmp_path: Path) -> None:
    rows = {"benchmark": ["a"], "key": ["1"], "label": [3], "prediction": [None]}
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="other values than text in label, prediction: give the predictions"):
        read_predictions(tmp_path / "a.parquet")
