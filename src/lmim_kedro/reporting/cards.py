"""Cards of a recognizer and of packed crops: a README.md with the metadata that Hugging Face reads."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from huggingface_hub import DatasetCardData, EvalResult, ModelCardData

from lmim_kedro.params import CardParams
from lmim_kedro.registries import METRICS
from lmim_kedro.reporting.recipe_in_words import recipe_in_words
from lmim_kedro.reporting.rendering import markdown, plain_rows, render_markdown

TASK = "image-to-text"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10**7, "1M<n<10M"))
"""Hugging Face's names for numbers of crops, each with its upper bound."""


def model_card(
    recipe: Mapping[str, Any],
    facts: Mapping[str, Any],
    sources: Mapping[str, Iterable[tuple[str, int]]],
    card: CardParams,
    scores: Mapping[str, Any] | None = None,
) -> str:
    """The card of a recognizer, metadata first.

    Args:
        recipe: recipe of the recognizer, as plain values.
        facts: from reporting.facts.run_facts: versions, commit, machine.
        sources: use (pretraining, finetuning) -> name and number of crops of each source.
        card: license and languages.
        scores: from reporting.scores.build_scores; None before the recognizer is scored.
    """
    name = f"{recipe['variant']}-{recipe['env']}-seed{recipe['seed']}"
    metadata = ModelCardData(
        license=card.license,
        language=list(card.languages),
        library_name="lmim-kedro",
        pipeline_tag=TASK,
        tags=["ocr", "scene-text-recognition", "lmim"],
        model_name=name,
        metrics=None if scores is None else [scores["metric"]],
        eval_results=None if scores is None else _results(scores),
    )
    recipe_rows = [
        {"part": title, "what": what, "value": str(value)}
        for title, rows in recipe_in_words(recipe, facts)
        for what, value in rows
    ]
    counted = [
        {"use": use, "source": source, "crops": f"{crops:,}"} for use, rows in sources.items() for source, crops in rows
    ]
    text = render_markdown(
        "model_card",
        name=name,
        card=card,
        facts={what: facts.get(what) for what in ("lmim_kedro", "commit", "torch", "gpu", "processor", "date")},
        recipe=recipe,
        scores=scores,
        metric=None if scores is None else METRICS[scores["metric"]],
        scored=None if scores is None else markdown(pd.DataFrame(_scored(scores)), ["set"]),
        data=markdown(pd.DataFrame(counted), ["use", "source"]),
        recipe_table=markdown(pd.DataFrame(recipe_rows), ["part", "what", "value"]),
    )
    return _with_metadata(metadata, text)


def data_cards(table: pd.DataFrame, card: CardParams, uses: Sequence[str]) -> list[str]:
    """The card of the packed crops of each use, metadata first.

    Args:
        table: the data card, from crops.checks.data_card.describe_data.
        card: license and languages.
        uses: pretraining, finetuning, benchmarks.
    """
    return [_data_card(use, table[table["use"] == use], card) for use in uses]


def _data_card(use: str, rows: pd.DataFrame, card: CardParams) -> str:
    crops = int(rows["ok"].sum())
    metadata = DatasetCardData(
        license=card.data_license,
        language=list(card.languages),
        task_categories=[TASK],
        tags=["ocr", "scene-text-recognition"],
        size_categories=[next((name for most, name in SIZES if crops < most), "n>10M")],
        pretty_name=f"Packed word crops: {use}",
    )
    shown = rows.drop(columns="use").set_index("source").dropna(axis="columns", how="all").T
    cells = shown.rename_axis("what").reset_index().map(_cell)
    text = render_markdown(
        "data_card",
        use=use,
        crops=crops,
        labeled=int(rows["labeled"].sum()),
        sources=plain_rows(rows),
        card=card,
        table=markdown(cells, ["what"]),
    )
    return _with_metadata(metadata, text)


def _results(scores: Mapping[str, Any]) -> list[EvalResult]:
    metric = scores["metric"]
    return [
        EvalResult(
            task_type=TASK,
            dataset_type=name,
            dataset_name=name,
            metric_type=metric,
            metric_name=METRICS[metric].title,
            metric_value=round(100 * found[metric], 2),
        )
        for name, found in scores["accuracy"].items()
        if found[metric] is not None
    ]


def _scored(scores: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row per benchmark, in percent."""
    rows = []
    for name, found in scores["accuracy"].items():
        right, (low, high) = found[scores["metric"]], scores["interval_95"][name]
        interval = "" if low is None else f"{100 * low:.1f} to {100 * high:.1f}"
        value = "cannot be scored" if right is None else f"{100 * right:.2f} %"
        rows.append({"set": name, "crops": f"{found['n']:,}", "right": value, "95 %": interval})
    return rows


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return ""
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def _with_metadata(metadata: ModelCardData | DatasetCardData, text: str) -> str:
    return f"---\n{metadata.to_yaml()}\n---\n\n{text.rstrip()}\n"
