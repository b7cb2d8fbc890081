"""Templates of pages, their filters, and rows of tables as templates take them."""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from lmim_kedro.reporting.images import picture
from lmim_kedro.text.marks import on_one_line

_MARKDOWN = re.compile(r"[\\`*|\[\]<>&~]|(?<!\w)_|_(?!\w)")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


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
    cells = table.map(lambda cell: plain_markdown(cell) if isinstance(cell, str) else cell)
    cells = cells.rename(columns=plain_markdown)
    return str(cells.to_markdown(index=False, colalign=sides, disable_numparse=True))


def plain_markdown(text: str) -> str:
    r"""Text that Markdown shows as it is: no code, link, emphasis, HTML or column comes of it, and it is one line.

    Example:
        >>> print(plain_markdown("a|b `<img>` *c*"))
        a\|b \`&lt;img&gt;\` \*c\*
    """
    return on_one_line(_MARKDOWN.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), text))


def markdown_code(text: str) -> str:
    """Text as a piece of code in Markdown, whatever backticks it has.

    Example:
        >>> print(markdown_code("a"), markdown_code("b`c"))
        `a` `` b`c ``
    """
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence, blank = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{blank}{on_one_line(text)}{blank}{fence}"


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
