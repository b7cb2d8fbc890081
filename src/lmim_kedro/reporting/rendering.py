"""Templates of pages, their filters, and rows of tables as templates take them."""

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from lmim_kedro.reporting.images import picture


def render(template: str, **values: Any) -> str:
    """Fill in a template of this package.

    Args:
        template: its file in reporting/templates, without `.html.jinja`.
        values: the template's variables; their text is escaped.
    """
    return _templates().get_template(f"{template}.html.jinja").render(**values)


def render_markdown(template: str, **values: Any) -> str:
    """Fill in a template of Markdown, `reporting/templates/<template>.md.jinja`; nothing is escaped."""
    return _templates().overlay(autoescape=False).get_template(f"{template}.md.jinja").render(**values)


def plain_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, with None for whatever is missing.

    Example:
        >>> import pandas as pd
        >>> plain_rows(pd.DataFrame({"source": ["svt"], "height": [float("nan")]}))
        [{'source': 'svt', 'height': None}]
    """
    rows = table.to_dict("records")
    return [{str(name): None if pd.isna(value) else value for name, value in row.items()} for row in rows]


def markdown(table: pd.DataFrame, left: Collection[str]) -> str:
    """A table of texts in Markdown; columns other than `left` are aligned to the right.

    Example:
        >>> import pandas as pd
        >>> print(markdown(pd.DataFrame({"name": ["svt"], "crops": ["647"]}), ["name"]))
        | name   |   crops |
        |:-------|--------:|
        | svt    |     647 |
    """
    sides = ["left" if name in left else "right" for name in table.columns]
    cells = table.replace({r"\|": r"\\|"}, regex=True)
    return str(cells.to_markdown(index=False, colalign=sides, disable_numparse=True))


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("lmim_kedro.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "thousands": lambda value: f"{value:,.0f}",
        "decimals": _decimals,
        "short": lambda value: f"{value:.3g}",
        "megabytes": lambda value: f"{value / 1e6:,.1f}",
        "duration": _duration,
        "picture": picture,
        "plain_rows": plain_rows,
        "given": _given,
    }
    return environment


def _given(rows: Iterable[Mapping[str, Any]], name: str) -> bool:
    """Whether any row has something in the column: others are left out."""
    return any(row.get(name) not in (None, "") for row in rows)


def _decimals(value: float | None, places: int = 1) -> str:
    return "" if value is None else f"{value:.{places}f}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s" if minutes else f"{seconds:.1f} s"
