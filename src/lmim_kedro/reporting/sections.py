"""The report: one HTML page that asks for no other file. A section is a template here and an entry of SECTIONS."""

import json
import os.path
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from lmim_kedro.recipe import Recipe
from lmim_kedro.registries import METRICS, SECTIONS
from lmim_kedro.reporting.data_card import card_rows
from lmim_kedro.reporting.figures import Figures
from lmim_kedro.reporting.images import attention_picture, crop_picture, prediction_picture
from lmim_kedro.reporting.paper.published import published_accuracy
from lmim_kedro.reporting.recipe_in_words import kept_in_words, recipe_in_words, weights_in_words
from lmim_kedro.reporting.rendering import plain_rows, render
from lmim_kedro.reporting.shown_readings import Readings
from lmim_kedro.reporting.tables import accuracy_table, compared_tables, training_table
from lmim_kedro.scoring.metrics import accuracies_with

_PAPER_SIZES = {
    "english": (
        "ViT-S, a recognizer of 35.8 M parameters, pre-trained on 10 M crops (Tables 1-5: about 5 M) and fine-tuned on "
        "3.2 M (ARD: 2.8 M)"
    ),
    "chinese": "ViT-S, a recognizer of 43.8 M parameters, pre-trained on 11 M crops and fine-tuned on 1.1 M",
}


@dataclass(frozen=True)
class Report:
    """What a run left behind, for the sections to show.

    Attributes:
        scores: from reporting.scores.build_scores.
        recipe: a recipe.Recipe as plain values, as saved beside the checkpoint.
        facts: from reporting.facts.run_facts.
        stages: metrics tables by title of the stage; empty ones are left out.
        summaries: ingest summaries by title of the use: Pre-training, Fine-tuning, Benchmarks.
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


def _section(name: str, title: str, more: Callable[[Report], Values | None] = lambda report: {}) -> Section:
    """A section whose template takes the report's parts and `more`; it is left out where `more` gives None."""

    def show(report: Report) -> str:
        values = vars(report) | {"metric": METRICS[report.scores["metric"]].title}
        own = more(report)
        return "" if own is None else render(name, **values | own)

    return Section(title, show)


def _accuracy(report: Report) -> Values:
    scores, confusions = report.scores, report.confusions
    return {
        "meaning": METRICS[scores["metric"]].meaning,
        "headline": cards(scores),
        "extreme": [name for name, found in scores["accuracy"].items() if found[scores["metric"]] in (0, 1)],
        "other": _other(scores),
        "accuracies": {kind: METRICS[kind].title for kind in accuracies_with(scores["metric"])},
        "table": plain_rows(accuracy_table(scores)),
        "confusions": plain_rows(confusions[confusions["kind"] == "substitution"].head(12)),
        "edits": {str(kind): int(count) for kind, count in confusions.groupby("kind")["count"].sum().items()},
    }


def _recipe(report: Report) -> Values:
    plain = {"recipe": report.recipe, "scores": report.scores}
    full = {name: json.dumps(value, indent=2, ensure_ascii=False) for name, value in plain.items()}
    return {"recipe": recipe_in_words(report.recipe, report.facts), "full": full}


def _attention(report: Report) -> Values:
    rows = [
        {
            "crop": crop_picture(crop),
            "maps": [
                (attention_picture(crop, *asked), f"row {asked[1][0] + 1}, column {asked[1][1] + 1}")
                for asked in zip(maps, queries, strict=True)
            ],
        }
        for crop, maps, queries in zip(*(report.attention[name] for name in ("crops", "maps", "queries")), strict=True)
    ]
    return {"attention": rows}


def _reconstructions(report: Report) -> Values | None:
    arrays = report.reconstructions
    rows = [
        (crop_picture(crop), crop_picture(arrays["masked"][number]), prediction_picture(arrays, number))
        for number, crop in enumerate(arrays.get("crops", ()))
    ]
    return {"reconstructions": rows, "pixels_predicted": "predicted" in arrays} if rows else None


accuracy = _section("accuracy", "Accuracy", _accuracy)
paper = _section(
    "paper", "Beside the paper", lambda report: {"compared": compared_tables(report.scores), "note": _size_note(report)}
)
readings = _section("readings", "Readings", lambda report: {"other": _other(report.scores)})
recipe = _section("recipe", "Recipe", _recipe)
data = _section("data", "Data")
card = _section(
    "card",
    "Data card",
    lambda report: None if report.data_card is None else {"data_card": card_rows(report.data_card)},
)
training = _section(
    "training",
    "Training",
    lambda report: {
        "stages": training_table(report.stages),
        "cls_line": _cls_line(report.cls_statistics),
        "kept_line": _kept_line(report),
    },
)
views = _section("views", "Guidance views")
attention = _section("attention", "Attention", _attention)
reconstructions = _section("reconstructions", "Reconstructions", _reconstructions)
machine = _section("machine", "Machine")


def render_page(report: Report) -> str:
    """The whole page: it asks for nothing from elsewhere; its script only sorts, enlarges and filters what is there.

    The same report gives the same page.

    Its sections are the entries of registries.SECTIONS in their order, without those that have nothing to show.
    """
    shown = ((name, SECTIONS[name].title, SECTIONS[name].show(report)) for name in SECTIONS)
    # Sections are HTML already, with their text escaped.
    sections = [(name, title, Markup(html)) for name, title, html in shown if html]
    return render("page", scores=report.scores, made=_made(report), sections=sections)


def _made(report: Report) -> dict[str, Any]:
    """When, with what and in how much time of training the numbers were made; None where it is not known."""
    seconds = [row["seconds"] for row in training_table(report.stages)]
    known = {name: report.facts.get(name) for name in ("date", "commit", "command")}
    return known | {"seconds": sum(seconds) if seconds else None}


def headline(scores: Mapping[str, Any]) -> list[str]:
    """One line per benchmark and average, for a terminal."""
    title = METRICS[scores["metric"]].title
    lines = []
    for card in cards(scores):
        interval = "" if card["low"] is None else f" (95 %: {card['low']:.1f} to {card['high']:.1f})"
        value = "cannot be scored" if card["value"] is None else f"{card['value']:.2f} %{interval}"
        lines.append(f"{card['name']}: {title} {value} of {card['n']:,} crops")
    return lines


def cards(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Name, value, low, high, n, the other recognizer's and the paper's value of each benchmark and average.

    Values are in percent, None where there is none. `title` is what tells a card from its neighbors, and `of` what
    they have in common: the beginning of the benchmarks' names, or whose average it is.
    """
    cards = []
    beside = (scores["beside"] or {}).get("accuracy", {})
    common = _common_beginning(list(scores["accuracy"]))
    for name, found in scores["accuracy"].items():
        low, high = scores["interval_95"][name]
        cards.append({"name": name, "value": found[scores["metric"]], "low": low, "high": high, "n": found["n"]})
        cards[-1] |= {"beside": beside.get(name), "title": name[len(common) :] or name, "of": common.rstrip("_-/ ")}
    for name, average in scores["averages"].items():
        for key, title in (("avg", "Avg"), ("weighted_avg", "W-Avg")):
            cards.append({"name": f"{name} {title}", "value": average[key], "n": average["n"]})
            cards[-1] |= {"title": title, "of": name}
    for card in cards:
        card |= {key: None if card.get(key) is None else 100 * card[key] for key in ("value", "low", "high", "beside")}
        found = published_accuracy(scores["variant"], scores["env"], card["name"], scores["labels"])
        card["paper"] = found and found[0]
    return cards


def _common_beginning(names: Sequence[str]) -> str:
    """What all names begin with, up to a separator; nothing for a single name."""
    common = os.path.commonprefix(names) if len(names) > 1 else ""
    return common[: max(common.rfind(mark) for mark in "_-/ ") + 1]


def _other(scores: Mapping[str, Any]) -> str:
    """What the page calls the recognizer beside ours."""
    name = (scores["beside"] or {}).get("recognizer")
    return "The ready reader" if name == "ready" else f"The recognizer {name}"


def _size_note(report: Report) -> str:
    """What made these numbers and what made the paper's, in two sentences."""
    scores = report.scores
    # The last row of a summary counts all of its sources.
    crops = {use: int(summary["ok"].iloc[-1]) for use, summary in report.summaries.items() if len(summary)}
    parameters = report.facts.get("parameters")
    size = f", a recognizer of {parameters / 1e6:.1f} M parameters" if parameters else ""
    pretraining, start = report.recipe["pretraining"], report.recipe["finetuning"].get("start")
    if start is not None:
        before = f"started from {weights_in_words(start)}"
    elif pretraining["method"] != "none":
        before = f"pre-trained on {crops.get('Pre-training', 0):,} crops"
    else:
        before = "not pre-trained"
    return (
        f"This run: {scores['model']}{size}, {before}, fine-tuned on {crops.get('Fine-tuning', 0):,} labeled crops, "
        f"seed {scores['seed']}. The paper's rows: "
        f"{_PAPER_SIZES['chinese' if scores['metric'] == 'chinese' else 'english']}. "
        "Read them side by side with these sizes in mind."
    )


def _kept_line(report: Report) -> str:
    metrics = report.stages.get("fine-tuning", pd.DataFrame())
    return kept_in_words(metrics, Recipe.model_validate(report.recipe).finetuning.validation)


def _cls_line(statistics: Mapping[str, Any]) -> str:
    """What [cls] carries over benchmark crops, in a sentence; empty where nothing is known."""
    known = {name: found for name, found in statistics.items() if found}
    parts = [
        f"{name} {found['cls']['std']:.3g} in {found['cls']['effective_rank']:.1f} of {found['width']} directions"
        for name, found in known.items()
    ]
    crops = next((found["crops"] for found in known.values()), 0)
    return f"Spread and effective rank of [cls] over {crops:,} benchmark crops: {'; '.join(parts)}." if parts else ""
