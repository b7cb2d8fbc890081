"""The report's page in the catalog."""

import re

from kedro.io import AbstractDataset, DatasetError

from lmim_kedro.datasets import HTMLPreview
from lmim_kedro.datasets.path import AtPath
from lmim_kedro.files import whole


class PageDataset(AtPath, AbstractDataset[str, str]):
    """An HTML page."""

    def load(self) -> str:
        """The page's text. Errors: DatasetError with the command that makes it."""
        try:
            return self.path.read_text("utf-8")
        except FileNotFoundError:
            raise DatasetError(
                f"no page at {self.path}: make it with `kedro run --pipelines=report`, with --env as for this run"
            ) from None

    def save(self, data: str) -> None:
        """Write the page, whole or not at all."""
        with whole(self.path) as part:
            part.write_text(data, "utf-8")

    def preview(self) -> HTMLPreview:
        """What the page shows, without its style.

        Kedro-Viz reads it as Markdown too: an end of line would become a break, and a pair of underscores would set
        what is between them in italics. So it is one line, with a letter that looks like an underscore.
        """
        page = self.load()
        body = re.search(r"<body[^>]*>(.*)</body>", page, re.DOTALL)
        shown = re.sub(r"<(style|script)\b.*?</\1>", "", body[1] if body else page, flags=re.DOTALL)
        return HTMLPreview(" ".join(shown.split()).replace("_", "\N{MODIFIER LETTER LOW MACRON}"))
