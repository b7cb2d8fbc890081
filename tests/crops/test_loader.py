"""Every crop once an epoch, in an order that threads and ranks do not change."""

import threading

import cv2
import numpy as np
import pytest
import torch

from lmim_kedro.crops.loader import CropLoader, JoinedStores
from lmim_kedro.errors import InputError


class Store:
    """Gray crops whose value is their place."""

    def __init__(self, count: int) -> None:
        self._bytes = [
            cv2.imencode(".png", np.full((8, 16, 3), place, np.uint8))[1].tobytes() for place in range(count)
        ]

    def __len__(self) -> int:
        return len(self._bytes)

    def fetch(self, indices):
        return [self._bytes[index] for index in indices]

    def labels(self, indices):
        return [f"word{index}" for index in indices]

    def name_of(self, index):
        return f"crop {index} (its name)"


def loader(store: Store, **changes) -> CropLoader:
    return CropLoader(store, **{"height": 32, "width": 128, "batch_size": 8, "seed": 1, **changes})


def places(batches) -> list[int]:
    return torch.cat([batch.index for batch in batches]).tolist()


def test_a_batch_holds_the_crops_that_its_index_names():
    for batch in loader(Store(40), with_labels=True).epoch(0):
        assert batch.images.dtype == torch.uint8 and batch.images.shape == (8, 3, 32, 128)
        assert torch.equal(batch.images[:, 0, 0, 0].long(), batch.index)
        assert batch.labels == [f"word{index}" for index in batch.index.tolist()]
        assert batch.aspect.tolist() == [2.0] * 8


def test_ranks_see_disjoint_crops_and_together_every_crop_once():
    store = Store(40)
    ranks = [places(loader(store, rank=rank, world=2).epoch(3)) for rank in range(2)]
    assert not set(ranks[0]) & set(ranks[1])
    assert sorted(ranks[0] + ranks[1]) == list(range(40))


def test_a_global_batch_is_the_same_for_any_number_of_ranks():
    store = Store(40)
    alone = [set(batch.index.tolist()) for batch in loader(store).epoch(3)]
    shared = [list(loader(store, rank=rank, world=4).epoch(3)) for rank in range(4)]
    together = [set(torch.cat([batch.index for batch in step]).tolist()) for step in zip(*shared, strict=True)]
    assert alone == together


def test_the_last_short_batch_is_kept_where_nothing_may_be_dropped():
    whole = loader(Store(43), drop_last=False)
    assert whole.batches_per_epoch == 6
    assert sorted(places(whole.epoch(0))) == list(range(43))
    assert len(places(loader(Store(43)).epoch(0))) == 40


def test_epochs_differ_and_threads_do_not_matter():
    store = Store(40)
    assert places(loader(store).epoch(0)) != places(loader(store).epoch(1))
    assert places(loader(store, threads=1).epoch(1)) == places(loader(store, threads=3, prefetch=1).epoch(1))


def test_an_epoch_goes_on_in_the_middle():
    store = Store(40)
    assert places(loader(store).epoch(2, first_batch=3)) == places(loader(store).epoch(2))[24:]


def test_only_the_chosen_crops_come():
    chosen = np.array([3, 5, 7, 11, 13, 17, 19, 23])
    assert sorted(places(loader(Store(40), indices=chosen).epoch(0))) == chosen.tolist()


def test_crops_that_are_mixed_in_have_their_turn_and_come_in_number():
    store, mixed = Store(40), np.arange(30, 37)
    mixing = loader(store, indices=np.arange(13), mixed_in=mixed, mixed_per_epoch=3)
    assert len(mixing) == 16 and mixing.batches_per_epoch == 2
    seen = []
    for epoch in range(7):
        batches = places(mixing.epoch(epoch))
        assert sorted(place for place in batches if place < 13) == list(range(13))
        seen += sorted(place for place in batches if place >= 13)
        assert batches[-3:] != sorted(batches)[-3:]  # they are mixed
    assert sorted(seen) == sorted([*mixed] * 3) and seen[:7] != sorted(seen[:7])
    more = loader(store, indices=np.arange(2), mixed_in=mixed, mixed_per_epoch=14)
    assert sorted(places(more.epoch(0))) == sorted([0, 1, *mixed, *mixed])


def test_joined_stores_are_one_with_the_second_behind_the_first():
    first, second = Store(5), Store(9)
    joined = JoinedStores(first, second)
    assert len(joined) == 14
    assert joined.labels(np.array([13, 0, 5, 4])) == ["word8", "word0", "word0", "word4"]
    assert joined.fetch([6, 2]) == [*second.fetch([1]), *first.fetch([2])]


def test_a_broken_crop_is_named():
    store = Store(40)
    store._bytes[29] = b"broken"
    with pytest.raises(InputError, match=r"crop 29 \(its name\) cannot be decoded"):
        list(loader(store).epoch(0))


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_leaving_an_epoch_early_ends_its_threads(taken):
    batches = loader(Store(40), prefetch=1).epoch(0)
    for _ in range(taken):
        next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "crops ahead"]


def test_a_batch_that_ranks_cannot_share_is_refused():
    with pytest.raises(InputError, match="8 crops cannot be shared by 3"):
        loader(Store(40), world=3)
