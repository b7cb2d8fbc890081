"""The ready reader beside others, on labeled crops of the user's."""

import pytest

from benchmarks import readers
from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.errors import InputError


@pytest.fixture
def crops(tmp_path):
    words = RenderedWords(30, seed=4, split="heldout", styles={"easy": {}})
    lines = []
    for number in range(30):
        label, data = words.render(number)
        (tmp_path / f"{number}.jpg").write_bytes(data)
        lines.append(f"{number}.jpg\t{label}\n")
    (tmp_path / "labels.txt").write_text("".join(lines), "utf-8")
    return tmp_path / "labels.txt"


def test_a_row_says_what_is_read_at_what_cost(crops, monkeypatch):
    monkeypatch.setattr(readers, "READERS", {"ready reader": readers.READERS["ready reader"]})
    (row,) = readers.compare_readers(readers.labeled([f"words={crops}"], None)).to_dict("records")
    assert row["reader"] == "ready reader" and 30 <= row["words"] <= 100
    assert 0 < row["ms a crop"] < 500 and 0.1 < row["MB"] < 8 and 0 < row["cold start, s"] < 60


def test_crops_without_labels_are_refused(crops):
    crops.unlink()
    with pytest.raises(InputError, match="has crops without labels: give a labeled source"):
        readers.labeled([f"words={crops.parent}"], None)


def test_fewer_crops_are_read_where_that_is_asked(crops):
    assert len(readers.labeled([f"words={crops}"], 7)["words"]) == 7
