"""The measurement of the renderer: both ways draw the same words."""

import sys
import types

from PIL import Image

from benchmarks import measure, rendering
from lmim_kedro.crops.pixels import decode
from lmim_kedro.crops.rendering.fonts import Fonts


def test_it_has_a_name_where_trdg_is_installed(monkeypatch):
    monkeypatch.setattr(rendering, "find_spec", lambda name: None)
    assert rendering.measurements() == {}
    monkeypatch.setattr(rendering, "find_spec", lambda name: name == "trdg")
    assert rendering.measurements() == {"rendering": rendering.rendering}


def test_both_ways_draw_the_same_words(monkeypatch):
    drawn = []

    def generator(words, count, fonts, **options):
        assert count == len(words) and fonts == [str(file) for file in Fonts().files]
        drawn.append(words)
        return ((Image.new("RGB", (60, 20)), word) for word in words)

    generators = types.SimpleNamespace(GeneratorFromStrings=generator)
    monkeypatch.setitem(sys.modules, "trdg", types.SimpleNamespace(generators=generators))
    monkeypatch.setitem(sys.modules, "trdg.generators", generators)
    monkeypatch.setattr(rendering, "WORDS", 6)
    found = {}

    def once(name, ours, plain, crops, **options):
        found.update(ours=[crop.label for crop in ours()], crops=crops, plain=[decode(data).shape for data in plain()])
        return {"name": name}

    monkeypatch.setattr(rendering, "compare", once)
    assert rendering.rendering() == {"name": "rendering", "unit": "crops/processor s"}
    assert found["ours"] == drawn[0] and found["crops"] == 6 and found["plain"] == [(20, 60, 3)] * 6


def test_a_rate_is_by_the_clock_that_is_given():
    times = iter(range(0, 100, 2))
    assert measure.rate(lambda: None, 10, seconds=5, clock=lambda: next(times)) == 10 * 3 / 6
