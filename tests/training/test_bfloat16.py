"""Under bfloat16 every method trains, and tokens are bfloat16 from the first block to the last norm."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lmim_kedro.crops.loader import CropLoader
from lmim_kedro.models.encoder import Block, Encoder
from lmim_kedro.models.lmim import LMIM, DecoderBlock
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.seqclr import SeqCLR
from lmim_kedro.params import ViewPreset
from lmim_kedro.text.charset import Charset
from lmim_kedro.training.tasks import FinetuningTask, PretrainingTask, SeqCLRTask
from lmim_kedro.views.guidance import GuidanceViews

VIEWS = GuidanceViews(ViewPreset(pick=(1, 2), contrast=(0.3, 0.9), rotate=10))


def made(name, size, pretraining):
    given = pretraining.model_copy(update={"method": name if name in ("mim", "seqclr") else "lmim"})
    if name == "lmim":
        return PretrainingTask(name, LMIM(size, given, Encoder(size)), VIEWS, 0)
    if name == "mim":
        return PretrainingTask(name, LMIM(size, given), None, 0)
    if name == "seqclr":
        return SeqCLRTask(name, SeqCLR(size, given), VIEWS, 0)
    return FinetuningTask(Recognizer(size, Charset("ab"), name, 8), None, 0)


@pytest.mark.parametrize("name", ["lmim", "mim", "seqclr", "autoregressive", "ctc"])
def test_tokens_stay_in_bfloat16_and_losses_and_gradients_near_those_of_float32(name, store, size, pretraining):
    recognizer = size.recognizer.model_copy(update={"dropout": 0.0})
    size = size.model_copy(update={"decoder_dropout": 0.0, "recognizer": recognizer})
    torch.manual_seed(0)
    task = made(name, size, pretraining)
    batch = next(CropLoader(store, height=32, width=128, batch_size=8, seed=0, with_labels=True).epoch(0))
    seen: set[torch.dtype] = set()

    def look(_module, inputs, result) -> None:
        seen.update({inputs[0].dtype, result.dtype})

    for place, part in task.module.named_modules():
        # The recognizer's decoder is left out: the symbols that it embeds are float32.
        if isinstance(part, Block | DecoderBlock | nn.LayerNorm) and not place.startswith("decoder."):
            part.register_forward_hook(look)
    losses, gradients = {}, {}
    for precision in (torch.float32, torch.bfloat16):
        seen.clear()
        task.module.zero_grad()
        with (
            torch.autocast("cpu", precision, enabled=precision != torch.float32),
            sdpa_kernel(SDPBackend.MATH),
        ):
            losses[precision] = task.loss(batch, 0, task.module)["loss"]
        losses[precision].backward()
        of = [parameter.grad.flatten() for parameter in task.module.parameters() if parameter.grad is not None]
        gradients[precision] = torch.cat(of)
        assert seen == {precision}
    assert losses[torch.bfloat16].item() == pytest.approx(losses[torch.float32].item(), rel=0.02)
    assert torch.cosine_similarity(gradients[torch.float32], gradients[torch.bfloat16], dim=0) > 0.99
