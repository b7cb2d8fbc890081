"""The types of what nodes hand to each other.

Kedro evaluates the annotations of every node before a run, to find the parameters that it must check. So that this
imports neither torch nor pandas, which takes seconds, the types are imported for type checkers alone. At run time each
is a name without content.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NewType, TypeVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy import ndarray
    from pandas import DataFrame
    from pyarrow import Table
    from torch.nn import Module

    from lmim_kedro.crops.store.packed import PackedStore
    from lmim_kedro.models.encoder import Encoder
    from lmim_kedro.models.recognizer import Recognizer
    from lmim_kedro.reporting.figures import Figures
    from lmim_kedro.reporting.paper.results import Results
    from lmim_kedro.reporting.paper.tables import PaperTable
    from lmim_kedro.reporting.shown_readings import Readings

__all__ = ["DataFrame", "Encoder", "Figure", "Figures", "Module", "PackedStore", "PaperTable", "Readings"]
__all__ += ["Recognizer", "Results", "Table", "ndarray"]
for _name in __all__:
    globals().setdefault(_name, NewType(_name, object))

T = TypeVar("T")
Json = dict[str, Any]
"""What a JSON file holds."""
Arrays = dict[str, ndarray]
"""What an NPZ file holds: arrays by name."""
Manifest = Iterator[Table]
"""A manifest, part by part: `crops.store.manifest.manifest_tables`."""
Runs = dict[tuple[str, int], Callable[[], T]]
"""By variant and seed, a function that loads what that run left."""
