"""The report: one HTML page that needs nothing but itself."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from lmim_kedro.registries import METRICS, SECTIONS
from lmim_kedro.reporting.rendering import render
from lmim_kedro.reporting.sections import Report, cards


def render_page(report: Report) -> str:
    """The whole page: no script, no font, no picture from elsewhere. The same report gives the same page.

    Its sections are the entries of registries.SECTIONS in their order, without those that have nothing to show.
    """
    shown = ((name, SECTIONS[name].title, SECTIONS[name].show(report)) for name in SECTIONS)
    # Sections are HTML already, with their text escaped.
    sections = [(name, title, Markup(html)) for name, title, html in shown if html]
    return render("page", scores=report.scores, sections=sections)


def headline(scores: Mapping[str, Any]) -> list[str]:
    """One line per benchmark and average, for a terminal."""
    title = METRICS[scores["metric"]].title
    lines = []
    for card in cards(scores):
        interval = "" if card["low"] is None else f" (95 %: {card['low']:.1f} to {card['high']:.1f})"
        value = "cannot be scored" if card["value"] is None else f"{card['value']:.2f} %{interval}"
        lines.append(f"{card['name']}: {title} {value} of {card['n']:,} crops")
    return lines
