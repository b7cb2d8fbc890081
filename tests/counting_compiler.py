"""A compiler that counts what torch.compile asks of it."""

from functools import partial

import pytest
import torch


class Counting:
    """A compiler that runs what it is given, and counts graphs and runs."""

    def __init__(self) -> None:
        self.graphs = self.runs = 0

    def __call__(self, graph, _inputs):
        self.graphs += 1

        def run(*inputs):
            self.runs += 1
            return graph.forward(*inputs)

        return run


@pytest.fixture
def compiler(monkeypatch):
    """The compiler that torch.compile uses within a test."""
    compiler = Counting()
    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=compiler))
    yield compiler
    torch.compiler.reset()
