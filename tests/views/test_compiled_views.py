"""Guidance views as one graph are the same views, and ask little of a GPU: few graphs, few launches."""

import numpy as np
import pytest
import torch
from benchmarks.lowering import kernels
from tests.counting_compiler import compiler  # noqa: F401
from tests.fake_gpu import Watch, fake_gpu

from lmim_kedro.params import JitterParams, ViewPreset
from lmim_kedro.views.draws import packed
from lmim_kedro.views.guidance import GuidanceViews, draw_all

PLAIN = ViewPreset(pick=(0, None), contrast=(0.5, 1.0))


@pytest.mark.parametrize("name", ["medium", "no geometry", "no jitter"])
def test_one_graph_gives_the_same_views_bit_for_bit(name, presets, crops, compiler):  # noqa: F811
    others = {"no geometry": PLAIN.model_copy(update={"jitter": JitterParams()}), "no jitter": PLAIN}
    preset = (presets | others)[name]
    images, aspect, index = crops
    one_graph, gathered = GuidanceViews(preset, compiled=True), GuidanceViews(preset)
    for given in (images, images.float() / 255):
        before = given.clone()
        views = [draw(given, aspect, seed=0, epoch=0, index=index) for draw in (one_graph, gathered)]
        assert torch.equal(*views)
        assert torch.equal(given, before)


def test_batches_of_one_size_are_one_graph(presets, compiler):  # noqa: F811
    draw = GuidanceViews(presets["weak"], compiled=True)
    for number in range(4):  # of three crops: other operations are picked in each batch
        index = np.arange(3 * number, 3 * number + 3)
        draw(torch.zeros(3, 3, 32, 128, dtype=torch.uint8), torch.rand(3) + 1, seed=0, epoch=0, index=index)
        assert (compiler.graphs, compiler.runs) == (1, number + 1)


def test_number_of_launches_without_a_compiler(presets, monkeypatch):
    draw, index = GuidanceViews(presets["medium"]), np.arange(64)
    with fake_gpu(monkeypatch) as watch:
        images = torch.zeros(64, 3, 32, 128, dtype=torch.uint8, device=Watch.device)
        watch.operations = 0
        draw(images, watch.pin(torch.ones(64)), seed=0, epoch=0, index=index)
    assert watch.notes == set()
    assert watch.operations < 600


def test_number_of_kernels_of_a_compiled_graph():
    preset = ViewPreset(pick=(0, None), contrast=(0.5, 1.0), sharpen=((0, 0.5), (0, 0.5)))
    draw = GuidanceViews(preset)
    kinds, given = packed(draw.colors(draw.policy.draw(seed=0, epoch=0, index=np.arange(8))))
    images = torch.zeros(8, 3, 32, 128, dtype=torch.uint8)
    found = kernels(lambda images, given: draw_all(images, kinds, given, []), images, torch.from_numpy(given))
    assert 0 < found.launches <= 8
    assert found.bytes < 30 * 4 * images.numel()
