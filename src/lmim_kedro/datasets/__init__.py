"""Kedro dataset types of the project, with previews for Kedro-Viz."""

from typing import Any, NewType

# Kedro-Viz draws what `preview` returns by the name of the type in its signature.
TablePreview = NewType("TablePreview", dict[str, Any])
ImagePreview = NewType("ImagePreview", str)
PlotlyPreview = NewType("PlotlyPreview", dict[str, Any])
JSONPreview = NewType("JSONPreview", str)
HTMLPreview = NewType("HTMLPreview", str)
