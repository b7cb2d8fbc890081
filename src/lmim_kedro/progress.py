"""The progress bar of everything that takes longer than a few seconds."""

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(total: int, *, desc: str, unit: str, initial: int = 0) -> "tqdm[Any]":
    """A bar with rate and remaining time: redrawn twice a second in a terminal, a line every 15 s in a log file."""
    pause = 0.5 if sys.stderr.isatty() else 15.0
    return tqdm(total=total, initial=initial, desc=desc, unit=unit, mininterval=pause, maxinterval=pause)
