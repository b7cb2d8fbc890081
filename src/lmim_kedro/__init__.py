"""LMIM: linguistics-aware masked image modeling for scene text recognition, as a Kedro project.

`from lmim_kedro import Reader` and its neighbors in `__all__` are imported when they are first asked for.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmim_kedro.crops.ingest.plan import prepare
    from lmim_kedro.crops.sources.open import open_source
    from lmim_kedro.crops.store.packed import PackedStore
    from lmim_kedro.reading.onnx_reader import OnnxReader
    from lmim_kedro.reading.reader import Reader
    from lmim_kedro.text.allowed import Allowed

# Read once, when torch is imported: how long its idle CPU threads spin before they sleep. By default they spin so long
# that beside another busy process a step becomes ten times slower; asleep at once, a small model's step takes twice as
# long on a free machine (docs/performance.md).
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# Kedro brings kedro-telemetry along, which reports on every command unless this or a file `.telemetry` says otherwise;
# Kedro imports this package before it asks.
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "1")

__version__ = "0.2.0"
__all__ = ["Allowed", "OnnxReader", "PackedStore", "Reader", "__version__", "open_source", "prepare"]

_PLACES = {
    "Allowed": "lmim_kedro.text.allowed",
    "OnnxReader": "lmim_kedro.reading.onnx_reader",
    "PackedStore": "lmim_kedro.crops.store.packed",
    "Reader": "lmim_kedro.reading.reader",
    "open_source": "lmim_kedro.crops.sources.open",
    "prepare": "lmim_kedro.crops.ingest.plan",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
