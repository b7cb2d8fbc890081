from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from lmim_kedro.params import EvaluationParams
from lmim_kedro.pipelines.paper import create_pipeline

WORDS = ["Guide", "market", "OPEN", "street", "1984", "harbour", "exit", "Library"] * 25
METRICS = ["step", "epoch", "loss", "learning_rate", "crops_per_second", "seconds"]


def leave_a_run(data: Path, variant: str, seed: int, share: float) -> None:
    """What evaluate, pretrain and finetune leave of one run, made up: `share` of the crops read right."""
    output = data / "07_model_output" / variant / "mini" / f"seed{seed}"
    models = data / "06_models" / variant / "mini" / f"seed{seed}"
    output.mkdir(parents=True)
    models.mkdir(parents=True)
    right = np.random.default_rng(seed).permutation(len(WORDS)) < share * len(WORDS)
    table = pd.DataFrame({"benchmark": "svt", "key": [f"{n:04d}" for n in range(len(WORDS))], "label": WORDS})
    table["prediction"] = np.where(right, table["label"], "x")
    table["waics"] = pd.array(right.tolist(), dtype="boolean")
    table.to_parquet(output / "predictions.parquet")

    draw = np.random.default_rng(0)
    crops = draw.integers(0, 255, (2, 3, 32, 128), dtype=np.uint8)
    queries = np.array([[[0, 5], [0, 20]]] * 2)
    np.savez(output / "attention.npz", crops=crops, maps=draw.random((2, 2, 1, 32)), queries=queries)
    if variant == "mim":
        np.savez(output / "reconstructions.npz", crops=crops, masked=crops // 2, predicted=255 - crops)
    elif variant == "lmim":
        similarity = np.where(draw.random((2, 1, 32)) < 0.2, np.nan, 0.7)
        np.savez(output / "reconstructions.npz", crops=crops, masked=crops // 2, similarity=similarity)
    else:
        np.savez(output / "reconstructions.npz")
    near = {"encoder": crops[:, None], "encoder_labels": np.array([["a"], ["b"]]), "encoder_cosines": np.ones((2, 1))}
    near |= {key.replace("encoder", "teacher"): value for key, value in near.items()}
    np.savez(output / "cls_neighbors.npz", queries=crops, query_labels=np.array(["c", "d"]), **near)
    part = {"std": 0.5, "effective_rank": 7.0}
    found = {"crops": 200, "width": 128, "cls": part, "patches": part}
    (output / "cls_statistics.json").write_text(
        json.dumps({"encoder": found, "teacher": found if variant == "lmim" else None})
    )
    for stage in ("teacher", "pretraining", "finetuning"):
        rows = [[50, 1.0, 2.0, 1e-3, 100.0, 5.0], [100, 2.0, 1.0, 1e-3, 100.0, 9.0]]
        trained = variant != "scratch" or stage == "finetuning"
        pd.DataFrame(rows if trained else [], columns=METRICS).to_csv(models / f"{stage}_metrics.csv", index=False)


def entries(project: Path, data: Path) -> dict[str, Any]:
    """What the catalog says of each dataset of the pipeline, with its files under another folder."""
    bootstrap_project(project)
    with KedroSession.create(project, env="mini", save_on_close=False) as session:
        resolver = session.load_context().catalog.config_resolver
    found = {name: resolver.resolve_pattern(name) for name in create_pipeline().datasets()}
    stored = {name: entry for name, entry in found.items() if entry.keys() & {"filepath", "path"}}
    return json.loads(json.dumps(stored).replace(f"{project}/data", str(data)))


@pytest.fixture(scope="module")
def made(project: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder of the tables of four runs, and what was logged."""
    data = tmp_path_factory.mktemp("project") / "data"
    for variant, seed, share in (("lmim", 0, 0.8), ("lmim", 1, 0.9), ("mim", 0, 0.5), ("scratch", 0, 0.3)):
        leave_a_run(data, variant, seed, share)
    catalog = DataCatalog.from_config(entries(project, data))
    catalog["params:env"] = MemoryDataset("mini")
    catalog["params:evaluation"] = MemoryDataset(
        EvaluationParams(
            metric="waics",
            labels="original",
            batch_size=4,
            looks=1,
            language="none",
            beside=None,
            attention_crops=4,
            attention_queries=4,
        )
    )
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("lmim_kedro.pipelines.paper")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        SequentialRunner().run(create_pipeline(), catalog)
    finally:
        log.removeHandler(handler)
    return data / "08_reporting" / "paper" / "mini", messages


def test_pipeline_writes_everything_that_the_catalog_names(project: Path, made: tuple[Path, list[str]]) -> None:
    found = entries(project, made[0].parents[2])
    written = {Path(entry["filepath"]).name for entry in found.values() if "filepath" in entry}
    assert {path.name for path in made[0].iterdir()} == written
    assert written >= {"tables.csv", "tables.md", "tables.tex", "tables.html", "ordering.csv"}


def test_long_table_has_paper_ours_spread_and_what_was_run(made: tuple[Path, list[str]]) -> None:
    table = pd.read_csv(made[0] / "tables.csv").set_index(["table", "row", "detail", "column"]).sort_index()
    ours = table.loc[(8, "LMIM", "Union14M-L, original labels", "our mean")]
    assert ours["ours_percent"] == pytest.approx(85)
    assert ours["std_percent"] == pytest.approx(7.0711, abs=1e-4)
    assert (ours["min_percent"], ours["max_percent"], ours["seeds"], ours["crops"]) == (80, 90, 2, 200)
    assert ours["env"] == "mini"
    shared = table.loc[(8, "LMIM", "Union14M-L, original labels", "svt")]
    assert (shared["paper_percent"], shared["ours_percent"]) == (97.7, 85)
    assert pd.isna(table.loc[(8, "LMIM", "Union14M-L, corrected labels", "our mean")]["ours_percent"])


def test_markdown_and_latex_show_the_same_cells(made: tuple[Path, list[str]]) -> None:
    markdown = (made[0] / "tables.md").read_text("utf-8")
    markdown = re.sub(" +", " ", markdown)  # columns are padded
    assert "| LMIM | authors | lmim | 82.2 | 85.00 ± 7.07 | 2 | 200 | mini |" in markdown
    assert "| SeqCLR | authors | seqclr | 80.3 | | | | |" in markdown
    assert markdown.count("\n## Table ") == 8
    latex = (made[0] / "tables.tex").read_text("utf-8")
    assert r"LMIM & 82.2 & 85.00 $\pm$ 7.07 & 2 & 200 \\" in latex
    assert latex.count(r"\begin{table*}") == latex.count(r"\end{table*}") == 8
    assert r"Union14M-L, original labels & 97.7 / 85.00 $\pm$ 7.07 & 95.9" in latex


def test_order_is_written_and_logged(made: tuple[Path, list[str]]) -> None:
    order = pd.read_csv(made[0] / "ordering.csv")
    sixth = order[order["table"] == 6]
    assert len(sixth) == 3 and sixth["agrees"].all() and sixth["significant"].all()
    assert (sixth["kendall"] == 1).all()
    assert any(
        message == "Table 6: Chinese benchmark: 3 of 3 pairs of rows in the paper's order, 3 beyond chance; 0 beyond "
        "chance the other way"
        for message in made[1]
    )


def test_page_holds_all_tables_and_figures_and_nothing_from_elsewhere(made: tuple[Path, list[str]]) -> None:
    page = (made[0] / "tables.html").read_text("utf-8")
    assert all(f'id="table-{number}"' in page for number in range(1, 9))
    assert page.count("data:image/png;base64,") == 5
    assert not re.search(r"<script[^>]*src|https?://", page)
    assert "85.00 ± 7.07" in page
    assert "of environment ard" in page
    assert page.count("<td>teacher</td>") == 2, "both seeds of lmim have a teacher"


def test_figures_are_pictures_of_what_was_run(made: tuple[Path, list[str]]) -> None:
    from PIL import Image

    sizes = {path.stem: Image.open(path).size for path in made[0].glob("*.png")}
    assert set(sizes) == {"losses", "lengths", "attention", "reconstructions", "neighbors"}
    assert sizes["attention"][1] == pytest.approx(130 * (4 * 0.42 + 0.35), abs=2), "a row for each query of two crops"
    assert min(min(size) for size in sizes.values()) > 150


def test_every_input_and_output_is_in_the_catalog(project: Path) -> None:
    found = entries(project, Path("data"))
    flow = create_pipeline()
    assert {name for name in flow.inputs() if not name.startswith("params:")} == {
        name for name, entry in found.items() if "path" in entry
    }
    assert flow.all_outputs() - found.keys() == {"paper_tables", "run_results"}


def neighbors_of(crops: np.ndarray, *sides: str) -> dict[str, Any]:
    found: dict[str, Any] = {"queries": crops, "query_labels": np.array(["c", "d"])}
    for side in sides:
        found |= {side: crops[:, None], f"{side}_labels": np.array([["a"], ["b"]]), f"{side}_cosines": np.ones((2, 1))}
    return found


def test_neighbors_are_shown_before_alignment_without_it_and_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from lmim_kedro.pipelines.paper.nodes import draw_neighbors
    from lmim_kedro.reporting.paper import figures as paper_figures

    shown: list[list[str]] = []
    monkeypatch.setattr(paper_figures, "draw_neighbors", lambda runs: shown.append(list(runs)))
    crops = np.zeros((2, 3, 32, 128), np.uint8)
    lmim = neighbors_of(crops, "teacher", "encoder")
    draw_neighbors({("lmim", 0): lambda: lmim, ("no_alignment", 0): lambda: neighbors_of(crops, "encoder")})
    draw_neighbors({("lmim", 0): lambda: lmim, ("no_alignment", 0): lambda: neighbors_of(crops + 1, "encoder")})
    draw_neighbors({("mim", 0): lambda: neighbors_of(crops, "encoder")})
    aligned = ["before: teacher", "after: LMIM"]
    assert shown == [[aligned[0], "not aligned", aligned[1]], aligned, ["MIM"]]
