"""Features of all processes: their order, and the gradient of this one's."""

from types import SimpleNamespace

import torch

from lmim_kedro.models import whole_batch


def as_process(rank: int, features: list[torch.Tensor]) -> SimpleNamespace:
    """What torch.distributed says and does in one of several processes."""

    def all_gather(into: list[torch.Tensor], given: torch.Tensor) -> None:
        assert torch.equal(given, features[rank])
        for place, part in zip(into, features, strict=True):
            place.copy_(part)

    return SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        get_world_size=lambda: len(features),
        get_rank=lambda: rank,
        all_gather=all_gather,
    )


def test_features_of_all_processes_come_in_the_order_of_their_ranks(monkeypatch):
    features = [torch.full((2, 4), float(rank)) for rank in range(3)]
    for rank in range(3):
        monkeypatch.setattr(whole_batch, "dist", as_process(rank, features))
        own = features[rank].clone().requires_grad_()
        whole = whole_batch.whole_batch(own)
        assert torch.equal(whole, torch.cat(features))
        whole.sum().backward()
        assert (own.grad == 3).all()  # the mean that DistributedDataParallel takes makes it a sum


def test_one_process_alone_has_the_whole_batch(monkeypatch):
    features = torch.rand(2, 4)
    assert whole_batch.whole_batch(features) is features
    monkeypatch.setattr(whole_batch, "dist", as_process(0, [features]))
    assert whole_batch.whole_batch(features) is features
