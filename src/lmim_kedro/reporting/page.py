"""The report: one HTML page that needs nothing but itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from lmim_kedro.reporting.data_card import card_rows
from lmim_kedro.reporting.figures import Figures
from lmim_kedro.reporting.images import attention_picture, crop_picture, picture, prediction_picture
from lmim_kedro.reporting.paper.published import published_accuracy
from lmim_kedro.reporting.recipe_in_words import recipe_in_words
from lmim_kedro.reporting.shown_readings import Readings
from lmim_kedro.reporting.tables import accuracy_table, compared_tables, total, training_table
from lmim_kedro.scoring.metrics import METRICS, accuracies_with

if TYPE_CHECKING:
    import pandas as pd

PAPER_SIZES = {
    "english": (
        "ViT-S, a recognizer of 35.8 M parameters, pre-trained on 10 M crops (Tables 1-5: about 5 M) and fine-tuned on "
        "3.2 M (ARD: 2.8 M)"
    ),
    "chinese": "ViT-S, a recognizer of 43.8 M parameters, pre-trained on 11 M crops and fine-tuned on 1.1 M",
}
SHOWN_CONFUSIONS = 12


@dataclass(frozen=True)
class Pictures:
    """What was seen along the way.

    Attributes:
        sheet: (H, W, 3) uint8: crops beside their guidance views.
        attention: crops (N, 3, H, W) uint8; maps (N, Q, rows, columns); queries (N, Q, 2) as (row, column).
        reconstructions: of evaluation.reconstruction.reconstruct; empty where there are none.
    """

    sheet: np.ndarray
    attention: Mapping[str, np.ndarray]
    reconstructions: Mapping[str, np.ndarray]


def render_page(
    scores: Mapping[str, Any],
    recipe: Mapping[str, Any],
    facts: Mapping[str, Any],
    stages: Mapping[str, pd.DataFrame],
    summaries: Mapping[str, pd.DataFrame],
    figures: Figures,
    readings: Readings,
    confusions: pd.DataFrame,
    pictures: Pictures,
    cls_statistics: Mapping[str, Any] | None = None,
    data_card: pd.DataFrame | None = None,
) -> str:
    """The whole page: no script, no font, no picture from elsewhere. The same inputs give the same page.

    Args:
        scores: of reporting.scores.build_scores.
        recipe: of params.Recipe, as saved beside the checkpoint.
        facts: of reporting.facts.run_facts.
        stages: metrics tables by what to call the stage; empty ones are left out.
        summaries: ingest summaries by what the crops are for: pretraining, finetuning, benchmarks.
        confusions: of scoring.analysis.confusions; the most frequent substitutions are shown.
        figures, readings, pictures: what to show.
        cls_statistics: of models.cls_statistics, of the encoder and of its teacher.
        data_card: of crops.checks.data_card.describe_data; None: the page has no such section.
    """
    metric = scores["metric"]
    return (
        templates()
        .get_template("page.html.jinja")
        .render(
            scores=scores,
            metric=METRICS[metric].title,
            meaning=METRICS[metric].meaning,
            headline=_headline(scores),
            accuracies={kind: METRICS[kind].title for kind in accuracies_with(metric)},
            table=[plain(row) for row in accuracy_table(scores).to_dict("records")],
            compared=compared_tables(scores),
            size_note=_size_note(scores, recipe, facts, summaries),
            recipe=recipe_in_words(recipe, facts),
            full={"recipe": _json(recipe), "scores": _json(scores)},
            facts=[(name.replace("_", " "), value) for name, value in facts.items() if value is not None],
            summaries={use: [plain(row) for row in summary.to_dict("records")] for use, summary in summaries.items()},
            data_card=None if data_card is None else card_rows(data_card),
            stages=training_table(stages),
            cls_line=_cls_line(cls_statistics or {}),
            figures=figures,
            readings=readings,
            confusions=_substitutions(confusions),
            edits={str(kind): int(count) for kind, count in confusions.groupby("kind")["count"].sum().items()},
            sheet=picture(pictures.sheet),
            attention=_attention(pictures.attention),
            reconstructions=_reconstructions(pictures.reconstructions),
            pixels_predicted="predicted" in pictures.reconstructions,
            views=recipe["views_name"],
        )
    )


def headline(scores: Mapping[str, Any]) -> list[str]:
    """One line per benchmark and average, for a terminal."""
    title = METRICS[scores["metric"]].title
    lines = []
    for card in _headline(scores):
        interval = "" if card["low"] is None else f" (95 %: {card['low']:.1f} to {card['high']:.1f})"
        value = "cannot be scored" if card["value"] is None else f"{card['value']:.2f} %{interval}"
        lines.append(f"{card['name']}: {title} {value} of {card['n']:,} crops")
    return lines


def _headline(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    cards = []
    for name, accuracy in scores["accuracy"].items():
        low, high = scores["interval_95"][name]
        cards.append({"name": name, "value": accuracy[scores["metric"]], "low": low, "high": high, "n": accuracy["n"]})
    for name, average in scores["averages"].items():
        for key, title in (("avg", "Avg"), ("weighted_avg", "W-Avg")):
            cards.append(
                {"name": f"{name} {title}", "value": average[key], "low": None, "high": None, "n": average["n"]}
            )
    for card in cards:
        card |= {key: None if card[key] is None else 100 * card[key] for key in ("value", "low", "high")}
        found = published_accuracy(scores["variant"], scores["env"], card["name"], scores["labels"])
        card["paper"] = found and (found[0], f"Table {found[1].table}")
    return cards


def _size_note(
    scores: Mapping[str, Any],
    recipe: Mapping[str, Any],
    facts: Mapping[str, Any],
    summaries: Mapping[str, pd.DataFrame],
) -> str:
    """What made these numbers and what made the paper's, in two sentences."""
    crops = {use: int(total(summary).get("ok", 0)) for use, summary in summaries.items()}
    parameters = facts.get("parameters")
    size = f", a recognizer of {parameters / 1e6:.1f} M parameters" if parameters else ""
    before = (
        "not pre-trained"
        if recipe["pretraining"]["method"] == "none"
        else f"pre-trained on {crops.get('pretraining', 0):,} crops"
    )
    paper = PAPER_SIZES["chinese" if scores["metric"] == "chinese" else "english"]
    return (
        f"This run: {scores['model']}{size}, {before}, fine-tuned on {crops.get('finetuning', 0):,} labeled crops, "
        f"seed {scores['seed']}. The paper's rows: {paper}. Read them side by side with these sizes in mind."
    )


def _substitutions(confusions: pd.DataFrame) -> list[dict[str, Any]]:
    rows = confusions[confusions["kind"] == "substitution"].head(SHOWN_CONFUSIONS)
    return [plain(row) for row in rows.to_dict("records")]


def _cls_line(statistics: Mapping[str, Any]) -> str:
    """What [cls] carries over benchmark crops, in a sentence; empty where nothing is known."""
    known = {name: found for name, found in statistics.items() if found}
    parts = [
        f"{name} {found['cls']['std']:.3g} in {found['cls']['effective_rank']:.1f} of {found['width']} directions"
        for name, found in known.items()
    ]
    crops = next((found["crops"] for found in known.values()), 0)
    return f"Spread and effective rank of [cls] over {crops:,} benchmark crops: {'; '.join(parts)}." if parts else ""


def _attention(attention: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    rows = zip(attention["crops"], attention["maps"], attention["queries"], strict=True)
    return [
        {
            "crop": picture(crop_picture(crop)),
            "maps": [
                {
                    "picture": picture(attention_picture(crop, attended, query)),
                    "query": f"row {int(query[0]) + 1}, column {int(query[1]) + 1}",
                }
                for attended, query in zip(maps, queries, strict=True)
            ],
        }
        for crop, maps, queries in rows
    ]


def _reconstructions(arrays: Mapping[str, np.ndarray]) -> list[dict[str, str]]:
    rows = []
    for number, crop in enumerate(arrays.get("crops", ())):
        masked = crop_picture(arrays["masked"][number])
        shown = {"crop": crop_picture(crop), "masked": masked, "predicted": prediction_picture(arrays, number)}
        rows.append({name: picture(image) for name, image in shown.items()})
    return rows


def plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of a table with None for whatever is missing."""
    import pandas as pd

    return {str(name): None if pd.isna(value) else value for name, value in row.items()}


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


@cache
def templates() -> Environment:
    """The templates of pages, with their filters."""
    environment = Environment(
        loader=PackageLoader("lmim_kedro.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["thousands"] = lambda value: f"{value:,.0f}"
    environment.filters["decimals"] = _decimals
    environment.filters["short"] = lambda value: f"{value:.3g}"
    environment.filters["megabytes"] = lambda value: f"{value / 1e6:,.1f}"
    environment.filters["duration"] = _duration
    return environment


def _decimals(value: float | None, places: int = 1) -> str:
    return "" if value is None else f"{value:.{places}f}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s" if minutes else f"{seconds:.1f} s"
