"""The pre-training methods, one object each: what a stage builds, trains and reads back for it.

A recipe asks them whether it needs a teacher before torch is imported, so each imports what it builds where it does.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmim_kedro.params import ModelParams, PretrainingParams

if TYPE_CHECKING:
    from lmim_kedro.models.encoder import Encoder
    from lmim_kedro.training.loop import Task


class Method:
    """A pre-training method: subclass it, and register an object in `registries.METHODS` under its name.

    The module it builds has an `encoder`, and keeps its `model` and `pretraining` parameters as attributes.

    Args:
        name: value of `pretraining.method`.
        title: name of the method on the results page.

    Attributes:
        trains: whether there is anything to train; if not, the encoder stays as it was initialized.
        masks: whether patches are masked.
        counted: whether torch counts all operations of a step, as `pretraining.budget: compute` needs.

    Example:
        >>> from lmim_kedro.registries import METHODS
        >>> METHODS["seqclr"].needs_teacher(PretrainingParams.model_construct(method="seqclr"))
        False
    """

    trains = True
    masks = False
    counted = True

    def __init__(self, name: str, title: str) -> None:
        self.name, self.title = name, title

    def build(self, model: ModelParams, pretraining: PretrainingParams, teacher: "Encoder | None") -> Any:
        """The module to train, an nn.Module; `teacher` is None where `needs_teacher` says no."""
        raise NotImplementedError

    def task(self, stage: str, module: Any, views: Any, seed: int) -> "Task":
        """How a batch becomes losses.

        Args:
            stage: name of the progress bar, the log and the random stream.
            module: what `build` returned.
            views: draws the guidance view of each crop, called as GuidanceViews.
            seed: seed of all draws.
        """
        raise NotImplementedError

    def load(self, folder: Path) -> Any:
        """The module that models.weights.save_model wrote to a folder."""
        from lmim_kedro.models.weights import load_strictly, read_folder

        config, tensors = read_folder(folder, self.name)
        module = self.build(ModelParams(**config["model"]), PretrainingParams(**config["pretraining"]), None)
        load_strictly(module, tensors, str(folder))
        return module

    def needs_teacher(self, pretraining: PretrainingParams) -> bool:
        """Whether the features of a frozen encoder are predicted."""
        return False

    def draws_views(self, pretraining: PretrainingParams) -> bool:
        """Whether guidance views are drawn of the crops."""
        return False

    def reads_views(self, pretraining: PretrainingParams) -> bool:
        """Whether the loader may read those views from a store (`views.materialize`)."""
        return False

    def compares_crops(self, pretraining: PretrainingParams) -> bool:
        """Whether the loss compares the crops of a batch, so that a batch cannot be trained in parts."""
        return False


class _Masked(Method):
    """LMIM, and the masked autoencoder that is left without guidance view and teacher (models.lmim)."""

    masks = True

    def build(self, model: ModelParams, pretraining: PretrainingParams, teacher: "Encoder | None") -> Any:
        from lmim_kedro.models.lmim import LMIM

        return LMIM(model, pretraining, teacher)

    def task(self, stage: str, module: Any, views: Any, seed: int) -> "Task":
        from lmim_kedro.training.tasks import PretrainingTask

        return PretrainingTask(stage, module, views if module.guided else None, seed)

    def load(self, folder: Path) -> Any:
        from lmim_kedro.models.weights import load_lmim

        return load_lmim(folder)

    def needs_teacher(self, pretraining: PretrainingParams) -> bool:
        return self.name == "lmim" and pretraining.target != "pixel"

    def draws_views(self, pretraining: PretrainingParams) -> bool:
        return self.name == "lmim" and pretraining.guidance

    reads_views = draws_views

    def compares_crops(self, pretraining: PretrainingParams) -> bool:
        return bool(pretraining.alignment_variance)


class _Untrained(_Masked):
    trains = False


class _SeqCLR(Method):
    """Both views are drawn while training, each crop against all others (models.seqclr)."""

    counted = False  # the counter does not know the LSTM

    def build(self, model: ModelParams, pretraining: PretrainingParams, teacher: "Encoder | None") -> Any:
        from lmim_kedro.models.seqclr import SeqCLR

        return SeqCLR(model, pretraining)

    def task(self, stage: str, module: Any, views: Any, seed: int) -> "Task":
        from lmim_kedro.training.tasks import SeqCLRTask

        return SeqCLRTask(stage, module, views, seed)

    def draws_views(self, pretraining: PretrainingParams) -> bool:
        return True

    def compares_crops(self, pretraining: PretrainingParams) -> bool:
        return True


LMIM = _Masked("lmim", "LMIM")
MIM = _Masked("mim", "MIM: masked autoencoder on pixels")
SEQCLR = _SeqCLR("seqclr", "SeqCLR: sequence contrastive, two views of each crop")
NONE = _Untrained("none", "none")
