"""What can be added to the project: one table for each kind, an entry for each name.

An entry is the place of a function or class, "package.module:name", which is imported when it is first asked for, so
this module imports nothing heavy. docs/extending.md shows how to add one of each kind. Another package adds one without
a change here, with an entry point of the group `lmim_kedro.<table>` (`lmim_kedro.metrics`), or with `register`.
"""

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pydantic_core import PydanticCustomError

from lmim_kedro.errors import InputError, did_you_mean


class Registry:
    """Names and what they stand for.

    Args:
        table: the registry's own name, which ends the name of its group of entry points.
        kind: what an entry is, in error messages.
        entries: the built-in ones: name -> "package.module:attribute".

    Example:
        >>> shapes = Registry("shapes", "shape", {"ordered": "collections:OrderedDict"})
        >>> shapes["ordered"].__name__
        'OrderedDict'
        >>> shapes.register("plain", dict)
        >>> list(shapes)
        ['ordered', 'plain']
    """

    def __init__(self, table: str, kind: str, entries: dict[str, str]) -> None:
        self.table, self.kind = table, kind
        self._entries: dict[str, Any] = dict(entries)
        self._complete = False

    def register(self, name: str, entry: Any) -> None:
        """Add an object, or its place "package.module:attribute". Errors: ValueError if the name is taken."""
        if name in self._entries:
            raise ValueError(f"there is a {self.kind} called {name!r} already")
        self._entries[name] = entry

    def __iter__(self) -> Iterator[str]:
        self._find()
        return iter(self._entries)

    def __len__(self) -> int:
        self._find()
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        if name not in self._entries:
            self._find()
        return name in self._entries

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise InputError(
                f"there is no {self.kind} {name!r}{did_you_mean(name, self)}: choose one of {', '.join(self)}"
            )
        entry = self._entries[name]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = self._entries[name] = getattr(import_module(module), attribute)
        return entry

    def check(self, name: str) -> str:
        """Validate a parameter that names an entry, for pydantic: `Annotated[str, AfterValidator(METRICS.check)]`."""
        if name not in self:
            *most, last = map(repr, self)
            expected = f"{', '.join(most)} or {last}" if most else last
            raise PydanticCustomError(
                "literal_error", "Input should be {expected}", {"expected": expected, "names": list(self)}
            )
        return name

    def _find(self) -> None:
        """Take in the entry points of installed packages, once."""
        if not self._complete:
            self._complete = True
            for point in entry_points(group=f"lmim_kedro.{self.table}"):
                self._entries.setdefault(point.name, point.value)


METHODS = Registry(
    "methods",
    "pre-training method",
    {
        "lmim": "lmim_kedro.training.methods:LMIM",
        "mim": "lmim_kedro.training.methods:MIM",
        "seqclr": "lmim_kedro.training.methods:SEQCLR",
        "none": "lmim_kedro.training.methods:NONE",
    },
)
AUGMENTATIONS = Registry(
    "augmentations",
    "augmentation",
    {
        "abinet": "lmim_kedro.views.abinet:AbinetAugmentation",
        "parseq": "lmim_kedro.views.parseq:ParseqAugmentation",
        "none": "lmim_kedro.views.augmentations:no_augmentation",
    },
)
DECODERS = Registry(
    "decoders",
    "decoder",
    {"autoregressive": "lmim_kedro.models.heads:AutoregressiveHead", "ctc": "lmim_kedro.models.heads:CTCHead"},
)
LAYOUTS = Registry(
    "layouts",
    "layout of crops",
    {
        "lmdb": "lmim_kedro.crops.sources.field_lmdb:LAYOUT",
        "jsonl": "lmim_kedro.crops.sources.json_lists:JSONL",
        "mmocr": "lmim_kedro.crops.sources.json_lists:MMOCR",
        "json": "lmim_kedro.crops.sources.json_lists:JSON",
        "icdar_xml": "lmim_kedro.crops.sources.icdar_xml:ICDAR_XML",
        "easyocr": "lmim_kedro.crops.sources.tables:EASYOCR",
        "mlt": "lmim_kedro.crops.sources.tables:MLT",
        "icdar": "lmim_kedro.crops.sources.tables:ICDAR",
        "csv": "lmim_kedro.crops.sources.tables:CSV",
        "list": "lmim_kedro.crops.sources.tables:TAB_LIST",
        "pairs": "lmim_kedro.crops.sources.folders:PAIRS",
        "parquet": "lmim_kedro.crops.sources.parquet:PARQUET",
        "webdataset": "lmim_kedro.crops.sources.webdataset:WEBDATASET",
        "folder": "lmim_kedro.crops.sources.folders:FOLDER",
        "trdg": "lmim_kedro.crops.sources.folders:TRDG",
        "mjsynth": "lmim_kedro.crops.sources.folders:MJSYNTH",
        "rendered": "lmim_kedro.crops.sources.rendered:LAYOUT",
    },
)
LOGGERS = Registry(
    "loggers",
    "logger",
    {"tensorboard": "lmim_kedro.training.monitor:TensorBoard", "mlflow": "lmim_kedro.training.tracking:MLflow"},
)
METRICS = Registry(
    "metrics",
    "metric",
    {
        "waics": "lmim_kedro.scoring.metrics:WAICS",
        "case_sensitive": "lmim_kedro.scoring.metrics:CASE_SENSITIVE",
        "exact": "lmim_kedro.scoring.metrics:EXACT",
        "chinese": "lmim_kedro.scoring.metrics:CHINESE",
        "ned": "lmim_kedro.scoring.metrics:NED",
        "ned_exact": "lmim_kedro.scoring.metrics:NED_EXACT",
        "ned_chinese": "lmim_kedro.scoring.metrics:NED_CHINESE",
    },
)
SECTIONS = Registry(
    "sections",
    "section of the report",
    {
        "accuracy": "lmim_kedro.reporting.sections:accuracy",
        "paper": "lmim_kedro.reporting.sections:paper",
        "readings": "lmim_kedro.reporting.sections:readings",
        "recipe": "lmim_kedro.reporting.sections:recipe",
        "data": "lmim_kedro.reporting.sections:data",
        "card": "lmim_kedro.reporting.sections:card",
        "training": "lmim_kedro.reporting.sections:training",
        "views": "lmim_kedro.reporting.sections:views",
        "attention": "lmim_kedro.reporting.sections:attention",
        "reconstructions": "lmim_kedro.reporting.sections:reconstructions",
        "machine": "lmim_kedro.reporting.sections:machine",
    },
)
"""In the order of the page."""
