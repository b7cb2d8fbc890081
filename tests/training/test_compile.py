"""`training.compile` compiles each step once, and every later step runs what was compiled."""

import pytest
from tests.counting_compiler import compiler  # noqa: F401

from lmim_kedro.crops.loader import CropLoader
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.seqclr import SeqCLR
from lmim_kedro.params import ViewPreset
from lmim_kedro.text.charset import Charset
from lmim_kedro.training import monitor
from lmim_kedro.training.loop import fit
from lmim_kedro.training.state import StateFolder
from lmim_kedro.training.tasks import FinetuningTask, PretrainingTask, SeqCLRTask
from lmim_kedro.views.guidance import GuidanceViews

LABELS = ["a", "bab", "abba", "ba", "aaaaaa", "b", "abab", "bbb", "ab", "aabba"]
VIEWS = ViewPreset(pick=(1, 2), contrast=(0.3, 0.9), rotate=10)


@pytest.fixture(autouse=True)
def _counted(monkeypatch):
    monkeypatch.setattr(monitor, "peak_flops", lambda _device: 1e12)  # a GPU has one, so that operations are counted


def tasks(size, pretraining):
    views = GuidanceViews(VIEWS)
    seqclr = pretraining.model_copy(update={"method": "seqclr"})
    mim = pretraining.model_copy(update={"method": "mim"})
    variance = pretraining.model_copy(update={"alignment_variance": 1.0})
    return {
        "lmim": lambda: PretrainingTask("pre-training", LMIM(size, pretraining, Encoder(size)), views, 0),
        "compiled views": lambda: PretrainingTask(
            "pre-training", LMIM(size, pretraining, Encoder(size)), GuidanceViews(VIEWS, compiled=True), 0
        ),
        "variance": lambda: PretrainingTask("pre-training", LMIM(size, variance, Encoder(size)), views, 0),
        "mim": lambda: PretrainingTask("pre-training", LMIM(size, mim), None, 0),
        "seqclr": lambda: SeqCLRTask("pre-training", SeqCLR(size, seqclr), views, 0),
        "autoregressive": lambda: FinetuningTask(Recognizer(size, Charset("ab"), "autoregressive", 8), None, 0),
        "ctc": lambda: FinetuningTask(Recognizer(size, Charset("ab"), "ctc", 8), None, 0),
    }


@pytest.mark.parametrize("name", ["lmim", "compiled views", "variance", "mim", "seqclr", "autoregressive", "ctc"])
def test_a_step_is_one_graph_whatever_the_labels(
    name,
    compiler,  # noqa: F811
    store,
    size,
    pretraining,
    optimization,
    training,
    tmp_path,
):
    store._labels = [
        label for label in LABELS for _ in range(4)
    ]  # batches of four in one order: ten batches, ten labels
    loader = CropLoader(store, height=32, width=128, batch_size=4, seed=0, shuffle=False, with_labels=True)
    task = tasks(size, pretraining)[name]()
    after = []
    loss = task.loss

    def counted_loss(*given):
        result = loss(*given)
        after.append((compiler.graphs, compiler.runs))
        return result

    task.loss = counted_loss
    ten = optimization.model_copy(update={"steps": 10, "batch_size": 4})
    fit(task, loader, ten, training.model_copy(update={"compile": True}), 0, StateFolder(tmp_path / "s", {}))
    # SeqCLR: before and after the LSTM, which runs as its own kernel.
    graphs = 2 if name in ("seqclr", "compiled views") else 1
    assert after[-10:] == [(graphs, graphs * step) for step in range(1, 11)], after
