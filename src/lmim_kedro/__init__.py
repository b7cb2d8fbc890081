"""LMIM: linguistics-aware masked image modeling for scene text recognition, as a Kedro project."""

import os

# Read once, when torch is imported: how long its idle CPU threads spin before they sleep. By default they spin so long
# that beside another busy process a step becomes ten times slower; asleep at once, a small model's step takes twice as
# long on a free machine (docs/performance.md).
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.1.0"
