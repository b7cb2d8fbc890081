"""The data card as a drawing, and as rows for the page."""

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from lmim_kedro.reporting.figures import AMBER, INK, SLATE, STYLE, TEAL

_STATUSES = {"ok": ("used", TEAL), "excluded": ("left out", AMBER), "set_aside": ("set aside", SLATE)}
_RANGES = {"width": "width, pixels", "height": "height, pixels", "aspect": "width / height"}


def draw_data_card(card: pd.DataFrame) -> Figure:
    """Draw how many crops of each source were used, left out or set aside, and the sizes of those used.

    Args:
        card: table from crops.checks.data_card.describe_data.
    """
    places = np.arange(len(card))[::-1]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 1.2 + 0.32 * len(card)), layout="constrained")
        statuses, *ranges = figure.subplots(1, 1 + len(_RANGES), sharey=True)
        left = np.zeros(len(card))
        for name, (title, color) in _STATUSES.items():
            share = (card[name] / card["crops"].clip(lower=1) * 100).to_numpy()
            statuses.barh(places, share, left=left, color=color, label=title, height=0.6)
            left += share
        for place, crops in zip(places, card["crops"], strict=True):
            statuses.text(2, place, f"{crops:,}", va="center", color="white", fontsize=8)
        statuses.set(title="crops, %", xlim=(0, 100))
        for ax, (name, title) in zip(ranges, _RANGES.items(), strict=True):
            low, middle, high = (card[f"{name}_{part}"].astype(float) for part in (5, 50, 95))
            ax.hlines(places, low, high, color=TEAL, linewidth=3, alpha=0.5)
            ax.plot(middle, places, "o", color=INK, markersize=4)
            ax.set(xscale="log", title=title, xlabel="median; line: 5 to 95 %")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.xaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_minor_locator(NullLocator())
        figure.legend(loc="outside lower left", ncols=len(_STATUSES))
        statuses.set_yticks(places, [f"{row.source} ({row.use})" for row in card.itertuples()])
    return figure


def card_rows(card: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the page's table by use, without missing values."""
    titles = {"pretraining": "Pre-training", "finetuning": "Fine-tuning", "benchmarks": "Benchmarks"}
    text = card.assign(**{name: card[name].fillna("").astype(str) for name in ("outside", "most_frequent")})
    return {title: text[text["use"] == use].to_dict("records") for use, title in titles.items()}
