"""SeqCLR, the contrastive baseline of Tables 6-8: instances along the word, pulled together across two views."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmim_kedro.models.encoder import Encoder, initialize
from lmim_kedro.models.whole_batch import cls_deviation, whole_batch
from lmim_kedro.params import ModelParams, PretrainingParams

INSTANCES, TEMPERATURE, PROJECTION = 5, 0.1, 256


class SeqCLR(nn.Module):
    """The encoder and a BiLSTM projection head; nothing is masked.

    Each view becomes a sequence of column features, which a BiLSTM and a linear layer project; adaptive average pooling
    cuts it into 5 instances from left to right, and an instance must find its like in the other view among all
    instances of the batch (NT-Xent).

    Args:
        model: sizes.
        pretraining: parameters with method "seqclr".

    Example:
        >>> model = SeqCLR(ModelParams(width=24, depth=1, heads=3), PretrainingParams.model_construct(method="seqclr"))
        >>> sorted(model(*torch.rand(2, 2, 3, 32, 128)))
        ['cls_std', 'loss', 'matched']
    """

    guided = True  # its second view is drawn as LMIM's guidance view is
    teacher = None

    def __init__(self, model: ModelParams, pretraining: PretrainingParams) -> None:
        super().__init__()
        self.model, self.pretraining = model, pretraining
        self.encoder = Encoder(model)
        self.lstm = nn.LSTM(model.width, PROJECTION, bidirectional=True, batch_first=True)
        self.projector = nn.Linear(2 * PROJECTION, PROJECTION).apply(initialize)

    def forward(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        """The loss of a batch, and how often an instance's nearest is its like.

        Args:
            first, second: (B, 3, H, W) views of the same crops, RGB in [-1, 1].

        Returns:
            scalars `loss`, `matched` (share, 0 to 1) and `cls_std`, as LMIM.forward.
        """
        features = self.encoder(torch.cat([first, second]))
        # (2 * B, columns, D): a word reads from left to right, so its rows of patches are averaged.
        columns = features[:, 1:].unflatten(1, (self.model.rows, self.model.columns)).mean(1)
        views = F.normalize(self.instances(self.project(columns)).float(), dim=-1).chunk(2)
        instances = torch.cat([whole_batch(view).flatten(0, 1) for view in views])
        with torch.autocast(instances.device.type, enabled=False):  # in bfloat16, near likenesses are one
            likeness = instances @ instances.T / TEMPERATURE
        likeness.fill_diagonal_(float("-inf"))  # an instance is not its own like
        half = len(instances) // 2
        # Instances lie view after view: the like of one is half the list away.
        like = torch.arange(2 * half, device=instances.device).roll(half)
        return {
            "loss": F.cross_entropy(likeness, like),
            "matched": (likeness.detach().argmax(1) == like).float().mean(),
            "cls_std": cls_deviation(features[:, 0]),
        }

    def project(self, columns: Tensor) -> Tensor:
        """(B, columns, D) -> (B, columns, PROJECTION)."""
        return self.projector(self.lstm(columns)[0])

    def instances(self, columns: Tensor) -> Tensor:
        """(B, columns, D) -> (B, 5, D): the mean over each fifth of the columns."""
        return F.adaptive_avg_pool1d(columns.transpose(1, 2), INSTANCES).transpose(1, 2)
