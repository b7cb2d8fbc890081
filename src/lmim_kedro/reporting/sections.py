"""The sections of the report: each is one function here, one template, and one entry of registries.SECTIONS."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lmim_kedro.registries import METRICS
from lmim_kedro.reporting.data_card import card_rows
from lmim_kedro.reporting.figures import Figures
from lmim_kedro.reporting.images import attention_picture, crop_picture, picture, prediction_picture
from lmim_kedro.reporting.paper.published import published_accuracy
from lmim_kedro.reporting.recipe_in_words import recipe_in_words
from lmim_kedro.reporting.rendering import plain_rows, render
from lmim_kedro.reporting.shown_readings import Readings
from lmim_kedro.reporting.tables import accuracy_table, compared_tables, total, training_table
from lmim_kedro.scoring.metrics import accuracies_with

_PAPER_SIZES = {
    "english": (
        "ViT-S, a recognizer of 35.8 M parameters, pre-trained on 10 M crops (Tables 1-5: about 5 M) and fine-tuned on "
        "3.2 M (ARD: 2.8 M)"
    ),
    "chinese": "ViT-S, a recognizer of 43.8 M parameters, pre-trained on 11 M crops and fine-tuned on 1.1 M",
}
_SHOWN_CONFUSIONS = 12


@dataclass(frozen=True)
class Report:
    """What a run left behind, for the sections to show.

    Attributes:
        scores: from reporting.scores.build_scores.
        recipe: a recipe.Recipe as plain values, as saved beside the checkpoint.
        facts: from reporting.facts.run_facts.
        stages: metrics tables by title of the stage; empty ones are left out.
        summaries: ingest summaries by title of the use: pre-training, fine-tuning, benchmarks.
        figures, readings: drawn figures and chosen readings.
        confusions: from scoring.analysis.confusions; the most frequent substitutions are shown.
        sheet: (H, W, 3) uint8: crops beside their guidance views.
        attention: crops (N, 3, H, W) uint8; maps (N, Q, rows, columns); queries (N, Q, 2) as (row, column).
        reconstructions: from evaluation.reconstruction.reconstruct; empty where there are none.
        cls_statistics: from evaluation.cls, for the encoder and for its teacher.
        data_card: from crops.checks.data_card.describe_data; None if there is none.
    """

    scores: Mapping[str, Any]
    recipe: Mapping[str, Any]
    facts: Mapping[str, Any]
    stages: Mapping[str, pd.DataFrame]
    summaries: Mapping[str, pd.DataFrame]
    figures: Figures
    readings: Readings
    confusions: pd.DataFrame
    sheet: np.ndarray
    attention: Mapping[str, np.ndarray]
    reconstructions: Mapping[str, np.ndarray]
    cls_statistics: Mapping[str, Any] = field(default_factory=dict)
    data_card: pd.DataFrame | None = None


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        title: its name in the navigation.
        show: gives its HTML, or nothing where the report has nothing for it; text in it must be escaped (a template
            does that, or markupsafe.escape).

    Example:
        >>> section = Section("Seed", lambda report: f"<p>Seed {report.scores['seed']}.</p>")
    """

    title: str
    show: Callable[[Report], str]


Values = dict[str, Any]


def _section(title: str) -> Callable[[Callable[[Report], Values | None]], Section]:
    """Make a section of a function: what its template, named like the function, takes beside the report's parts."""

    def make(values: Callable[[Report], Values | None]) -> Section:
        def show(report: Report) -> str:
            own = values(report)
            known = vars(report) | {"metric": METRICS[report.scores["metric"]].title}
            return "" if own is None else render(values.__name__, **known | own)

        return Section(title, show)

    return make


@_section("Accuracy")
def accuracy(report: Report) -> Values:
    """Accuracies with their intervals, and where the recognizer goes wrong."""
    scores, confusions = report.scores, report.confusions
    substitutions = confusions[confusions["kind"] == "substitution"].head(_SHOWN_CONFUSIONS)
    return {
        "meaning": METRICS[scores["metric"]].meaning,
        "headline": cards(scores),
        "accuracies": {kind: METRICS[kind].title for kind in accuracies_with(scores["metric"])},
        "table": plain_rows(accuracy_table(scores)),
        "confusions": plain_rows(substitutions),
        "edits": {str(kind): int(count) for kind, count in confusions.groupby("kind")["count"].sum().items()},
    }


@_section("Beside the paper")
def paper(report: Report) -> Values:
    """The paper's tables that have a row of this variant, and the sizes of both."""
    return {"compared": compared_tables(report.scores), "size_note": _size_note(report)}


@_section("Readings")
def readings(report: Report) -> Values:
    """Right and wrong readings."""
    return {}


@_section("Recipe")
def recipe(report: Report) -> Values:
    """What made the numbers, in words and as JSON."""
    plain = {"recipe": report.recipe, "scores": report.scores}
    full = {name: json.dumps(value, indent=2, ensure_ascii=False) for name, value in plain.items()}
    return {"recipe": recipe_in_words(report.recipe, report.facts), "full": full}


@_section("Data")
def data(report: Report) -> Values:
    """What ingest took in and set aside."""
    return {"summaries": {use: plain_rows(summary) for use, summary in report.summaries.items()}}


@_section("Data card")
def card(report: Report) -> Values | None:
    """What the checks of ingest found."""
    return None if report.data_card is None else {"data_card": card_rows(report.data_card)}


@_section("Training")
def training(report: Report) -> Values:
    """What each stage of training did."""
    return {"stages": training_table(report.stages), "cls_line": _cls_line(report.cls_statistics)}


@_section("Guidance views")
def views(report: Report) -> Values:
    """Crops beside their guidance views."""
    return {"sheet": picture(report.sheet), "views": report.recipe["views_name"]}


@_section("Attention")
def attention(report: Report) -> Values:
    """Attention of a few patches of a few crops."""
    arrays = (report.attention[name] for name in ("crops", "maps", "queries"))
    rows = [
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
        for crop, maps, queries in zip(*arrays, strict=True)
    ]
    return {"attention": rows}


@_section("Reconstructions")
def reconstructions(report: Report) -> Values | None:
    """What the masked branch predicts."""
    arrays, rows = report.reconstructions, []
    for number, crop in enumerate(arrays.get("crops", ())):
        masked = crop_picture(arrays["masked"][number])
        shown = {"crop": crop_picture(crop), "masked": masked, "predicted": prediction_picture(arrays, number)}
        rows.append({name: picture(image) for name, image in shown.items()})
    return {"reconstructions": rows, "pixels_predicted": "predicted" in arrays} if rows else None


@_section("Machine")
def machine(report: Report) -> Values:
    """Versions and hardware."""
    return {"facts": [(name.replace("_", " "), value) for name, value in report.facts.items() if value is not None]}


def cards(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Name, value, low, high (percent), n and the paper's value of each benchmark and average."""
    cards = []
    for name, accuracy in scores["accuracy"].items():
        low, high = scores["interval_95"][name]
        cards.append({"name": name, "value": accuracy[scores["metric"]], "low": low, "high": high, "n": accuracy["n"]})
    for name, average in scores["averages"].items():
        for key, title in (("avg", "Avg"), ("weighted_avg", "W-Avg")):
            cards.append({"name": f"{name} {title}", "value": average[key], "n": average["n"]})
    for card in cards:
        card |= {key: None if card.get(key) is None else 100 * card[key] for key in ("value", "low", "high")}
        found = published_accuracy(scores["variant"], scores["env"], card["name"], scores["labels"])
        card["paper"] = found and (found[0], f"Table {found[1].table}")
    return cards


def _size_note(report: Report) -> str:
    """What made these numbers and what made the paper's, in two sentences."""
    scores = report.scores
    crops = {use: int(total(summary).get("ok", 0)) for use, summary in report.summaries.items()}
    parameters = report.facts.get("parameters")
    size = f", a recognizer of {parameters / 1e6:.1f} M parameters" if parameters else ""
    trained = report.recipe["pretraining"]["method"] != "none"
    before = f"pre-trained on {crops.get('pretraining', 0):,} crops" if trained else "not pre-trained"
    return (
        f"This run: {scores['model']}{size}, {before}, fine-tuned on {crops.get('finetuning', 0):,} labeled crops, "
        f"seed {scores['seed']}. The paper's rows: "
        f"{_PAPER_SIZES['chinese' if scores['metric'] == 'chinese' else 'english']}. "
        "Read them side by side with these sizes in mind."
    )


def _cls_line(statistics: Mapping[str, Any]) -> str:
    """What [cls] carries over benchmark crops, in a sentence; empty where nothing is known."""
    known = {name: found for name, found in statistics.items() if found}
    parts = [
        f"{name} {found['cls']['std']:.3g} in {found['cls']['effective_rank']:.1f} of {found['width']} directions"
        for name, found in known.items()
    ]
    crops = next((found["crops"] for found in known.values()), 0)
    return f"Spread and effective rank of [cls] over {crops:,} benchmark crops: {'; '.join(parts)}." if parts else ""
