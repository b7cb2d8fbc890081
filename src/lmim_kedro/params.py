"""Every parameter of the project, with its unit, its bounds and its source: the one vocabulary of conf/ and code.

Torch-free and Kedro-free. `section` comments give the place in the paper (CVPR 2025) or say "released code".

A default is in conf/base, and here only in the groups that are also made in Python: sizes (`ModelParams`,
`RecognizerParams`), views (`ViewPreset`, `JitterParams`), `IngestParams` for `prepare`, `TrainingParams`, and what a
recipe holds (`PretrainingParams`, `TeacherParams`, `FinetuningParams`, `ValidationParams`), so that recipes that
earlier releases saved still load. There conf/base says the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from lmim_kedro.errors import InputError, did_you_mean
from lmim_kedro.registries import AUGMENTATIONS, DECODERS, LOGGERS, METHODS, METRICS

Preset = TypeVar("Preset")
Number = TypeVar("Number", int, float)


def ordered(ends: tuple[Number, Number]) -> tuple[Number, Number]:
    """Check that the ends of a range are in their order. Errors: ValueError."""
    if ends[0] > ends[1]:
        raise ValueError(f"{ends[0]:g} is above {ends[1]:g}: the lower end of a range comes first")
    return ends


# Bounds keep out what no machine can do and no training survives; they do not say what is sensible.
Range = Annotated[tuple[Number, Number], AfterValidator(ordered)]
Share = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Factor = Annotated[float, Field(ge=0, le=10)]
Level = Annotated[float, Field(ge=0, le=255)]
Sigma = Annotated[float, Field(ge=0, le=32)]
Moved = Annotated[float, Field(ge=0, le=0.5)]
Pixels = Annotated[int, Field(gt=0, le=16_384)]
Features = Annotated[int, Field(gt=0, le=65_536)]
Layers = Annotated[int, Field(gt=0, le=256)]
Heads = Annotated[int, Field(gt=0, le=1024)]
Stride = Annotated[int, Field(gt=0, le=64)]
Steps = Annotated[int, Field(gt=0, le=10**9)]
Crops = Annotated[int, Field(gt=0, le=10**6)]


def _is_number(kind: Any) -> bool:
    """Whether a type is a number, a range or choice of them, or either of these or null."""
    return kind in (int, float) or type(kind) is int or any(map(_is_number, get_args(kind)))


def _holds_truth(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, list | tuple) and any(map(_holds_truth, value)))


class Params(BaseModel):
    """Base of all parameter groups: immutable; a misspelt name is an error, and numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false where a number belongs, which pydantic takes for 1 and 0."""
        if _holds_truth(value) and _is_number(cls.model_fields[str(info.field_name)].annotation):
            raise ValueError(f"{value!r} is no number: give one")
        return value


class RecognizerParams(Params):
    """Size of the autoregressive decoder (paper, section 4.2: 6 layers, width 512, 8 heads)."""

    width: Features = Field(512, description="features per symbol")
    depth: Layers = Field(6, description="decoder layers")
    heads: Heads = 8
    ffn: Features = Field(256, description="hidden features of the feed-forward part (released code)")
    dropout: Share = 0.1


class ModelParams(Params):
    """Sizes of encoder, guided decoder and recognizer. `vit_small` is the paper's (section 4.2)."""

    image_height: Pixels = Field(32, description="pixels")
    image_width: Pixels = Field(128, description="pixels")
    keep_ratio: bool = Field(
        False,
        description="crops keep width / height: scaled to the height, and what is missing to the right is filled with "
        "the last column; false: stretched to the width (paper)",
    )
    patch_height: Pixels = Field(4, description="pixels")
    patch_width: Pixels = Field(4, description="pixels")
    patch_overlap: int = Field(
        0, ge=0, le=16_384, description="pixels that a patch sees beyond its left and right edge; 0 in the paper"
    )
    stem: tuple[tuple[Features, Stride, Stride], ...] = Field(
        (),
        max_length=32,
        description="3 x 3 convolutions before the patches are cut, each as features, stride down and stride across; "
        "none in the paper",
    )
    input: Literal["rgb", "gray"] = Field(
        "rgb",
        description="rgb: mean = std = 0.5 (paper); gray: one channel, standardized per crop, one polarity",
    )
    position_grid: Literal["square", "layout"] = Field(
        "square",
        description="grid of the sin-cos positions: square = the released weights' quirk, layout = rows x columns",
    )
    position_columns: int | None = Field(
        None,
        gt=0,
        le=16_384,
        description="columns over which the positions run, interpolated where there are more patches: those of the "
        "model whose weights are taken over; null: a position a column",
    )
    width: Features = Field(384, description="features per token")
    depth: Layers = Field(12, description="encoder blocks")
    heads: Heads = 6
    mlp_ratio: float = Field(4.0, gt=0, le=64)
    decoder_width: Features = Field(512, description="features per token in the guided decoder")
    decoder_depth: Layers = Field(2, description="blocks of the guided decoder")
    decoder_heads: Heads = 16
    decoder_ffn: Features = 2048
    decoder_dropout: Share = 0.1
    recognizer: RecognizerParams = RecognizerParams()

    @model_validator(mode="after")
    def _sizes_fit(self) -> ModelParams:
        if self.image_height % self.patch_height or self.image_width % self.patch_width:
            raise ValueError(
                f"patches of {self.patch_height} x {self.patch_width} do not tile a crop of "
                f"{self.image_height} x {self.image_width}: choose sizes that divide it"
            )
        down, across = self.stem_strides
        if self.patch_height % down or self.patch_width % across or self.patch_overlap % across:
            raise ValueError(
                f"the stem makes one row of {down} and one column of {across}, which do not divide patches of "
                f"{self.patch_height} x {self.patch_width} with an overlap of {self.patch_overlap}: choose strides "
                "whose products divide them"
            )
        for what, width, heads in (
            ("width", self.width, self.heads),
            ("decoder_width", self.decoder_width, self.decoder_heads),
            ("recognizer.width", self.recognizer.width, self.recognizer.heads),
        ):
            if width % heads:
                raise ValueError(f"{what} = {width} is not a multiple of its {heads} heads")
        if self.position_grid == "square" and self.position_columns is not None:
            raise ValueError("position_columns needs position_grid: layout, whose columns are those of the crop")
        if self.position_grid == "square" and round(self.tokens**0.5) ** 2 != self.tokens:
            raise ValueError(
                f"position_grid: square needs a square number of patches, and {self.rows} x {self.columns} is not one: "
                "use layout"
            )
        return self

    @property
    def stem_strides(self) -> tuple[int, int]:
        """Pixels, down and across, of which the stem makes one place."""
        return math.prod(down for _, down, _ in self.stem), math.prod(across for _, _, across in self.stem)

    @property
    def rows(self) -> int:
        """Patches from top to bottom."""
        return self.image_height // self.patch_height

    @property
    def columns(self) -> int:
        """Patches from left to right."""
        return self.image_width // self.patch_width

    @property
    def tokens(self) -> int:
        """Patch tokens of one crop, without [cls]."""
        return self.rows * self.columns


class JitterParams(Params):
    """Color jitter after the picked operations (released code; the order is torchvision's, random)."""

    probability: Share = 0.8
    brightness: Factor = 0.4
    contrast: Factor = 0.4
    saturation: Factor = 0.2
    hue: float = Field(0.1, ge=0, le=0.5, description="share of a turn")


class ViewPreset(Params):
    """One guidance-view policy (paper, section 4.4, Table 2; ranges from the released code).

    An operation that is null is not part of the preset. Of those present, `pick` says how many each crop gets.
    """

    pick: tuple[Annotated[int, Field(ge=0, le=100)], Annotated[int, Field(ge=0, le=100)] | None] = Field(
        (3, None), description="least and most operations a crop gets; null: all there are"
    )
    contrast: Range[Factor] | None = Field(None, description="linear contrast factor")
    blur: Range[Sigma] | None = Field(None, description="Gaussian sigma, pixels of the 32 x 128 crop")
    crop_vertical: float | None = Field(
        None, ge=0, lt=0.5, description="most that is cut off top and bottom each, share of height"
    )
    crop_horizontal: float | None = Field(
        None, ge=0, lt=0.5, description="most that is cut off left and right each, share of width"
    )
    sharpen: tuple[Range[Share], Range[Factor]] | None = Field(None, description="alpha range, lightness range")
    rotate: float | None = Field(
        None, ge=0, le=180, description="largest angle to either side, degrees; the canvas grows to fit"
    )
    piecewise_affine: Range[Moved] | None = Field(None, description="sigma of the moved grid points, share of the size")
    perspective: Range[Moved] | None = Field(None, description="sigma of the moved corners, share of the size")
    solarize: Range[Level] | None = Field(None, description="threshold, 0-255; inverts above it in half of the cases")
    grayscale_blend: Range[Share] | None = Field(None, description="alpha of the gray crop blended in")
    jitter: JitterParams | None = None
    grayscale_probability: Share = 0.0

    @field_validator("pick")
    @classmethod
    def _least_before_most(cls, pick: tuple[int, int | None]) -> tuple[int, int | None]:
        return pick if pick[1] is None else ordered((pick[0], pick[1]))


class ViewsParams(Params):
    """Which guidance views pre-training sees."""

    preset: str = Field(description="a name under view_presets: weak, medium, strong or your own")
    sheet_crops: int = Field(gt=0, le=1000, description="crops on the contact sheet")
    sheet_views: int = Field(gt=0, le=100, description="views of each crop on the contact sheet")
    materialize: int = Field(
        ge=0, le=1000, description="views per crop written into a store; 0: drawn on the device while training"
    )


class OptimizationParams(Params):
    """AdamW with linear warm-up and a half-cosine to zero, set at every step."""

    epochs: float | None = Field(None, gt=0, le=10**6, description="passes over the crops; give this or steps")
    steps: Steps | None = Field(None, description="optimizer steps; give this or epochs")
    batch_size: Crops = Field(description="crops per optimizer step, over all devices")
    base_learning_rate: float = Field(
        gt=0, le=10**4, description="at 256 crops a step; scaled linearly with batch_size"
    )
    warmup_epochs: float | None = Field(None, ge=0, le=10**6, description="give this or warmup_steps")
    warmup_steps: int | None = Field(None, ge=0, le=10**9, description="give this or warmup_epochs")
    betas: tuple[Decay, Decay]
    weight_decay: float = Field(ge=0, le=10, description="on parameters of two or more dimensions only")
    layer_decay: float = Field(gt=0, le=1, description="factor on the learning rate per encoder block, from the top")
    encoder_learning_rate: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="factor on the learning rate of the whole encoder, beside layer_decay; null: as all else learns",
    )
    freeze_encoder_steps: Steps | None = Field(
        None, description="steps before the encoder learns; null: it learns from the first"
    )
    clip_norm: float | None = Field(
        None, gt=0, le=10**6, description="largest gradient norm; null: no clipping (paper)"
    )
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="decay per step of an exponential moving average of the weights, which is the result; null: the "
        "weights of the last step (paper)",
    )

    @model_validator(mode="after")
    def _one_of_each(self) -> OptimizationParams:
        for a, b in (("epochs", "steps"), ("warmup_epochs", "warmup_steps")):
            given = [name for name in (a, b) if getattr(self, name) is not None]
            if len(given) != 1:
                found = "both" if given else "neither"
                raise ValueError(f"give {a} or {b}: {found} found; set the one you do not want to null")
        return self

    @property
    def learning_rate(self) -> float:
        """The largest learning rate, after warm-up."""
        return self.base_learning_rate * self.batch_size / 256

    def learning_rate_at(self, done: float, total: float, warmup: float) -> float:
        """Learning rate after `done` of `total` steps (or epochs), of which the first `warmup` rise linearly."""
        if done < warmup:
            return self.learning_rate * done / warmup
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (done - warmup) / max(total - warmup, 1e-9)))


class TeacherParams(Params):
    """Where the frozen target features come from: MAERec's weights (path), or a MAE trained here on the same crops."""

    path: str | None = Field(
        None,
        description="checkpoint in MAERec's, the released LMIM's or this project's layout, or ready, as for weights",
    )
    mask_ratio: float = Field(0.75, gt=0, lt=1)
    optimization: OptimizationParams


class PretrainingParams(Params):
    """LMIM and its ablations (paper, section 3 and Tables 1-5)."""

    method: Annotated[str, AfterValidator(METHODS.check)] = Field(
        "lmim",
        description="mim: MAE on per-patch normalized pixels; seqclr: sequence contrastive; none: no pre-training",
    )
    budget: Literal["own", "crops", "compute"] = Field(
        "own",
        description="own: as long as optimization says; crops: as many crops more as the teacher saw; compute: as many "
        "operations as teacher and LMIM together took",
    )
    weights: str | None = Field(
        None,
        description="encoder to start from: a checkpoint, a folder, or ready, the reader that comes with the package; "
        "with method none it is fine-tuned as it is",
    )
    length: float = Field(
        1.0, gt=0, le=1000, description="factor on the epochs or steps of optimization: 2 gives the 20 epochs rows"
    )
    masking: Literal["random", "block", "span", "density"] = Field(
        "random",
        description="random, block: Table 5; span: whole columns; density: each character, guessed from stroke "
        "energy, loses its share",
    )
    mask_ratio: float = Field(0.8, gt=0, lt=1, description="share of patches removed, Table 5")
    guidance: bool = Field(True, description="cross-attention to the guidance view, Table 1")
    alignment_weight: float = Field(1.0, ge=0, le=1000, description="weight of the alignment loss, Table 1; 0: off")
    alignment_stop_gradient: bool = Field(False, description="the guidance [cls] is a fixed target; false in the paper")
    alignment_projector: Features | None = Field(
        None, description="hidden width of an MLP between each [cls] and the alignment; null in the paper"
    )
    alignment_variance: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="weight of VICReg's hinge max(0, 1 - deviation of [cls] over the batch), so that "
        "[cls] does not collapse (docs/claims.md); 0 in the paper",
    )
    decoder_order: Literal["sa_ca_ffn", "ca_sa_ffn"] = Field("sa_ca_ffn", description="Table 3")
    target: Literal["mae_features", "pixel", "random_features"] = Field("mae_features", description="Table 4")
    teacher: TeacherParams
    optimization: OptimizationParams

    @model_validator(mode="after")
    def _alignment_needs_guidance(self) -> PretrainingParams:
        if self.alignment_weight and not self.guidance and self.method == "lmim":
            raise ValueError("alignment_weight > 0 needs guidance: set alignment_weight to 0 or guidance to true")
        return self


class ValidationParams(Params):
    """Labeled crops that fine-tuning holds out, to choose its best step; none are held out without share or sources."""

    share: float | None = Field(
        None, gt=0, lt=1, description="share of the labeled crops to hold out; give this or sources"
    )
    sources: tuple[str, ...] = Field(
        (), description="names under finetuning.sources whose crops are all held out; give this or share"
    )
    every: Steps = Field(500, description="steps between two measurements; the last step is measured too")
    metric: Annotated[str, AfterValidator(METRICS.check)] = Field(
        "waics", description="the step with its highest value is the result; another metric: registries.METRICS"
    )
    patience: Steps | None = Field(
        None, description="measurements without a higher value after which training ends; null: it goes on"
    )

    @model_validator(mode="after")
    def _one_way_to_hold_out(self) -> ValidationParams:
        if self.share is not None and self.sources:
            raise ValueError("share and sources are two ways to hold crops out: set share to null, or sources to []")
        return self

    @property
    def on(self) -> bool:
        """Whether crops are held out."""
        return self.share is not None or bool(self.sources)


class FinetuningParams(Params):
    """The recognizer and how it is trained (paper, section 4.2)."""

    preset: str = Field("reference", description="a name under finetuning_presets: reference, strong or your own")
    start: str | None = Field(
        None,
        description="recognizer to start from, with its decoder: a folder, a released checkpoint, or ready, the reader "
        "that comes with the package; null: from the pre-trained encoder (paper)",
    )
    decoder: Annotated[str, AfterValidator(DECODERS.check)] = "autoregressive"
    charset: str = Field(
        "english_94",
        description="english_94, english_36 (lower case and digits), chinese_7934, a file, from_labels: the "
        "characters of the training labels, or from_start: those of the recognizer that start names",
    )
    max_length: int = Field(
        25, gt=1, le=1024, description="decoding steps, end symbol included: 25 English, 40 Chinese"
    )
    augmentation: Annotated[str, AfterValidator(AUGMENTATIONS.check)] = Field(
        "abinet", description="drawn anew for each crop and epoch; parseq: OpenOCR's unified recipe"
    )
    freeze_encoder: bool = False
    label_share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of the labels that fine-tuning may see, drawn by content and seed; null: all",
    )
    optimization: OptimizationParams
    validation: ValidationParams = ValidationParams()

    @model_validator(mode="after")
    def _charset_of_the_start(self) -> FinetuningParams:
        if self.charset == "from_start" and self.start is None:
            raise ValueError("charset = from_start needs a recognizer to start from: set start, or name a charset")
        return self


class SelftrainParams(Params):
    """A round of self-training: which recognizer reads which unlabeled crops, and which readings become labels."""

    recognizer: str | None = Field(
        description="recognizer that reads the unlabeled crops: its folder, or ready; null: that of finetuning.start"
    )
    sources: tuple[str, ...] = Field(description="names under pretraining.sources whose crops are read; none: all")
    min_confidence: Share = Field(description="least confidence of a reading that becomes a label")
    ratio: float = Field(gt=0, le=1000, description="pseudo-labeled crops in an epoch for each labeled one")
    batch_size: Crops = Field(description="crops that are read at once")
    looks: Literal[1, 3] | None = Field(
        description="looks at each crop, the surest of which counts; null: the recognizer's own"
    )


MAX_PIXELS = 50_000_000
MAX_BYTES = 64 * 2**20


class IngestParams(Params):
    """What becomes of the raw crops."""

    store_height: Pixels | None = Field(
        None, description="crops taller than this are scaled down to it; null: bytes as they came"
    )
    store_size: tuple[Pixels, Pixels] | None = Field(
        None, description="height and width to which crops are resized and kept uncompressed; null: they are not"
    )
    max_pixels: int = Field(MAX_PIXELS, gt=0, le=2**30, description="a larger image is set aside, not decoded")
    max_bytes: int = Field(MAX_BYTES, gt=0, le=2**30, description="a larger file of an image is set aside, not read")
    shard_crops: int = Field(100_000, gt=0, le=10**8, description="crops per shard of the packed store")
    workers: int = Field(0, ge=0, le=1024, description="processes; 0: one per core")
    rotate_tall: float | None = Field(
        None,
        ge=1,
        le=1000,
        description="height / width above which a crop is stored turned counter-clockwise; null: none is",
    )
    leaks: Literal["exclude", "report"] = Field(
        "exclude", description="crops of the benchmarks, or nearly, in the sets to train on: left out, or only listed"
    )
    near_distance: int = Field(10, ge=0, le=15, description="bits by which perceptual hashes of a near copy may differ")
    near_correlation: float = Field(0.9, gt=0, le=1, description="least correlation of the pixels of a near copy")
    clusters: Literal["report", "exclude"] = Field(
        "report", description="near copies of one crop within a set, many of them: only listed, or all but one left out"
    )
    cluster_crops: int = Field(100, ge=2, le=10**9, description="fewest near copies that are listed as a cluster")
    engine: Literal["processes", "dask"] = Field("processes", description="dask: Dask distributed, the extra `cluster`")
    scheduler: str | None = Field(None, description="address of a Dask scheduler, tcp://host:8786; null: one made here")

    @model_validator(mode="after")
    def _one_way_to_store(self) -> IngestParams:
        if self.store_height is not None and self.store_size is not None:
            raise ValueError("store_height and store_size are two ways to store a crop: set one of them to null")
        return self

    @model_validator(mode="after")
    def _scheduler_needs_dask(self) -> IngestParams:
        if self.scheduler is not None and self.engine != "dask":
            raise ValueError(f"scheduler = {self.scheduler} needs engine = dask: set it, or set scheduler to null")
        return self


def _verdict(metric: str) -> str:
    """Validate the name of a metric that says right or wrong, as tables and intervals need."""
    if METRICS[METRICS.check(metric)].graded:
        raise ValueError(f"{metric} does not say right or wrong: set one that does, such as waics")
    return metric


class EvaluationParams(Params):
    """How a recognizer is scored."""

    metric: Annotated[str, AfterValidator(_verdict)] = Field(description="the metric that tables show")
    labels: Literal["original", "corrected"] = Field(
        description="which labels of the six common benchmarks the sources hold; recorded in the scores"
    )
    batch_size: Crops
    looks: Literal[1, 3] = Field(description="looks at each crop, the surest of which counts; 1: the field's protocols")
    language: str = Field(
        description="language model that chooses among the texts of a CTC recognizer: english, a file, or none: the "
        "field's protocols"
    )
    beside: str | None = Field(
        description="another recognizer that reads the benchmarks for comparison: ready, a recognizer's folder, or null"
    )
    attention_crops: int = Field(gt=0, le=1000, description="crops whose attention the report shows")
    attention_queries: int = Field(gt=0, le=1000, description="query patches of each")


class PredictParams(Params):
    """What the `predict` pipeline reads, with which recognizer, into what."""

    source: str | None = Field(description="a folder of images, an LMDB or a list of crops; no labels needed")
    layout: str | None = Field(description="layout of the source (docs/data.md); null: detected")
    allow_outside: bool = Field(description="read also what paths of a list, or links, lead to outside its folder")
    recognizer: str | None = Field(description="a recognizer's folder; null: that of this variant, env and seed")
    format: Literal["csv", "jsonl", "parquet"]
    batch_size: Crops
    beam: int = Field(gt=0, le=1000, description="hypotheses of beam search; 1: greedy")
    looks: Literal[1, 3] | None = Field(description="looks at each crop, the surest of which counts; null: its own")
    language: str | None = Field(
        description="language model that chooses among the texts of a CTC recognizer: english, a file, or none; null: "
        "its own"
    )
    charset: str | None = Field(
        description="characters that may be read: digits, letters, a file, or the characters themselves; null: all"
    )
    lexicon: str | None = Field(
        description="file with the words of which each reading is one, a word a line; null: all"
    )
    pattern: str | None = Field(description="regular expression that each reading matches as a whole; null: any text")
    min_confidence: Share = Field(description="least confidence; a reading of less is an error")


class CardParams(Params):
    """What the cards of recognizers and packed crops say of their use."""

    license: str = Field(
        description="of a recognizer's weights, as Hugging Face names it: apache-2.0, cc-by-4.0, other"
    )
    data_license: str = Field(description="of the packed crops, likewise; unknown: the sources' own")
    languages: tuple[str, ...] = Field(description="ISO 639-1 codes of the languages of the words: [en]")


class TrainingParams(Params):
    """How training is run on this machine: nothing here changes what is learned, but rounding and dropout's draws."""

    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: bf16 on a GPU or CPU that has it")
    devices: int = Field(
        1, gt=0, le=1024, description="processes on this machine that train together: one per GPU, or on a CPU"
    )
    nodes: int = Field(1, gt=0, le=1024, description="machines that train together (docs/training.md)")
    rendezvous: str | None = Field(None, description="host:port of one of the machines, where several meet")
    compile: bool = Field(False, description="torch.compile model and views: minutes to start, then faster on a GPU")
    accumulate: Crops = Field(1, description="parts of a batch that go through the model one after the other")
    checkpoint_activations: bool = Field(False, description="compute the encoder's blocks twice to save their memory")
    threads: int = Field(0, ge=0, le=1024, description="torch's CPU threads; 0: one per core")
    log_every: Steps = Field(50, description="steps between two rows of the metrics table")
    loader_threads: int = Field(2, gt=0, le=256, description="threads that decode crops")
    checkpoint_steps: Steps = Field(1000, description="steps between two checkpoints of the training state")
    checkpoint_minutes: float = Field(
        10, gt=0, le=10**5, description="minutes after which a checkpoint is due in any case"
    )
    keep_checkpoints: int = Field(2, gt=0, le=10**5, description="checkpoints of the training state kept on disk")
    tensorboard: bool = Field(False, description="write event files for TensorBoard: the logger `tensorboard`")
    loggers: list[Annotated[str, AfterValidator(LOGGERS.check)]] = Field(
        [],
        description="further loggers of the metrics table (registries.LOGGERS); they write beside the training state",
    )
    restart: bool = Field(False, description="forget the state of a run that was stopped, and start over")


class RunParams(Params, extra="ignore"):
    """What the pipelines read: the groups of conf/<env>/parameters*.yml, variant, preset and command line merged in."""

    env: str = Field("", description="name of the run environment; --env sets it, configuration files do not")
    variant: str
    seed: int = Field(ge=0, lt=2**63)
    model: str = Field(description="a name under models")
    views: ViewsParams
    ingest: IngestParams
    pretraining: PretrainingParams
    finetuning: FinetuningParams
    evaluation: EvaluationParams
    predict: PredictParams
    selftrain: SelftrainParams
    card: CardParams
    training: TrainingParams


class Parameters(RunParams, extra="forbid"):
    """All that configuration files hold: the groups, and what a run chooses from by name (conf/base/models.yml)."""

    models: dict[str, ModelParams]
    view_presets: dict[str, ViewPreset]
    finetuning_presets: dict[str, dict[str, Any]]
    variants: dict[str, dict[str, Any]]


CHOICES = ("models", "view_presets", "finetuning_presets", "variants")
"""Groups of which a run uses one entry each; nodes see it in the recipe."""


def pick(presets: Mapping[str, Preset], name: object, parameter: str) -> Preset:
    """The preset that a parameter names. Errors: InputError with the known names and the closest of them."""
    if isinstance(name, str) and name in presets:
        return presets[name]
    raise InputError(
        f"`{parameter}` is {name!r}, which is not defined{did_you_mean(name, presets)}: choose one of "
        f"{', '.join(sorted(presets))}, or define it in conf/base"
    )
