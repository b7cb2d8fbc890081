"""Griffe's extension for the reference: `Example:` in a docstring is a section of examples, as `Examples:` is."""

import re
from typing import Any

import griffe

HEADING = re.compile(r"^Example:$", re.M)


class ExampleSections(griffe.Extension):
    """Let the parser see the examples."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename the heading in the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = HEADING.sub("Examples:", obj.docstring.value)
