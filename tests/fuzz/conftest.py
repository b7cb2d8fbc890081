"""Counts the inputs that tests of this folder try; the last lines of the run say how many."""

from collections import Counter

import pytest

TRIED: Counter[str] = Counter()


@pytest.fixture(scope="session")
def tried() -> Counter[str]:
    """How many inputs each parser was given."""
    return TRIED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TRIED:
        parts = ", ".join(f"{name} {count:,}" for name, count in sorted(TRIED.items()))
        terminalreporter.write_line(f"{TRIED.total():,} drawn inputs: {parts}")
