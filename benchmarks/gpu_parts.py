"""The parts of `benchmarks/gpu.py`: each measures or checks one thing on the device, and notes what it finds."""

from __future__ import annotations

import gc
import itertools
import json
import os
import random
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, Dataset

from benchmarks import data
from benchmarks.decoding import decoder_of_words
from benchmarks.measure import machine
from benchmarks.steps import PlainLMIM, write_attention_out
from lmim_kedro.crops.ahead import cores
from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.loader import CropBatch, CropLoader, send
from lmim_kedro.crops.pixels import to_input
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.crops.store.shard_writer import ShardWriter
from lmim_kedro.errors import InputError
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.verify import Comparison, verify
from lmim_kedro.params import (
    IngestParams,
    ModelParams,
    OptimizationParams,
    PretrainingParams,
    RecognizerParams,
    TrainingParams,
)
from lmim_kedro.registries import AUGMENTATIONS
from lmim_kedro.text.charset import Charset
from lmim_kedro.text.spelling import Reading
from lmim_kedro.training.loop import fit
from lmim_kedro.training.monitor import operations, peak_flops
from lmim_kedro.training.optimizer import build_optimizer
from lmim_kedro.training.ranks import Ranks
from lmim_kedro.training.state import StateFolder
from lmim_kedro.training.tasks import FinetuningTask, PretrainingTask
from lmim_kedro.views.guidance import GuidanceViews

DISTINCT = 3000  # rendered words; the crops of the store repeat them
SMALL = ModelParams(
    patch_height=32,
    position_grid="layout",
    width=48,
    depth=2,
    heads=3,
    decoder_width=32,
    decoder_heads=4,
    decoder_ffn=32,
    recognizer=RecognizerParams(width=64, depth=1, heads=4, ffn=32),
)
Task = PretrainingTask | FinetuningTask
Work = Callable[[], object]


@dataclass
class Bench:
    """What the parts share.

    Attributes:
        folder: where the results go.
        device: a GPU, or the CPU with `quick`.
        quick: tiny sizes, to try the script.
        golden: folder of golden values; None: there is none.
        part: name of the part that is running.
        found: what it has noted: `rates` (rows), `facts` (sentences), `kernels` (name -> rows), `values` (for JSON).
    """

    folder: Path
    device: torch.device
    quick: bool
    golden: Path | None
    part: str = ""
    found: dict[str, Any] = field(default_factory=lambda: {"rates": [], "facts": [], "kernels": {}, "values": {}})

    def __post_init__(self) -> None:
        self.size = SMALL if self.quick else ModelParams()
        self.batches = (4, 2) if self.quick else (512, 64)
        self.plain_batch = 4 if self.quick else 256  # the plain step saves 68 GiB with 512 crops
        self.crops = 64 if self.quick else 32_768
        self.threads = 1 if self.quick else max(1, cores() // 2)

    def note(self, **found: Any) -> None:
        """Add to what was found, and write it at once: a part that is stopped later keeps it."""
        for kind, value in found.items():
            if isinstance(value, dict) and kind in ("kernels", "values"):
                self.found[kind] |= value
            else:
                self.found[kind].append(value)
        whole = self.folder / f"{self.part}.json.part"
        whole.write_text(json.dumps(self.found, indent=1, default=float), "utf-8")
        whole.replace(self.folder / f"{self.part}.json")

    def store(self) -> PackedStore:
        """The packed store that the part `data` made."""
        return PackedStore(self.folder / "store")

    def batch(self, crops: int) -> CropBatch:
        """Labeled crops, page-locked."""
        return next(self.loader(crops, with_labels=True).epoch(0))

    def loader(self, crops: int, **options: Any) -> CropLoader:
        """Batches of the store."""
        pin = self.device.type == "cuda"
        given = {"height": 32, "width": 128, "seed": 0, "pin": pin, "threads": self.threads}
        return CropLoader(self.store(), batch_size=crops, **given | options)

    def optimization(self, steps: int, crops: int) -> OptimizationParams:
        """AdamW as in the paper, for a short run."""
        paper = {"base_learning_rate": 1.5e-4, "betas": (0.9, 0.95), "weight_decay": 0.05, "layer_decay": 1.0}
        return OptimizationParams(steps=steps, batch_size=crops, warmup_steps=max(1, steps // 10), **paper)

    def pretraining(self, kind: type[LMIM] = LMIM, compiled: bool = False) -> PretrainingTask:
        """LMIM with medium views, always from the same weights; the views compiled, but for a quick run."""
        torch.manual_seed(0)
        optimization = self.optimization(1, 1)
        params = PretrainingParams.model_validate(
            {"teacher": {"optimization": optimization}, "optimization": optimization}
        )
        module = kind(self.size, params, Encoder(self.size)).to(self.device).train()
        views = GuidanceViews(data.MEDIUM, compiled=compiled and not self.quick)
        return PretrainingTask("pre-training", module, views, 0)

    def finetuning(self) -> FinetuningTask:
        """The paper's recognizer with ABINet's augmentation."""
        torch.manual_seed(0)
        recognizer = Recognizer(self.size, Charset.named("english_94")).to(self.device).train()
        return FinetuningTask(recognizer, AUGMENTATIONS["abinet"](32, 128), 0)

    def compiled(self, module: nn.Module, mode: str | None = None) -> Any:
        """torch.compile; in a quick run the graphs run as they are."""
        return torch.compile(module, mode=mode, backend="eager" if self.quick else "inductor")

    def timed(self, work: Work, warm: int = 3, seconds: float = 1.5) -> tuple[float, float]:
        """Milliseconds of one round, and those until the host has asked for all of it."""
        for _ in range(1 if self.quick else warm):
            work()
        asking = []
        for _ in range(1 if self.quick else 4):
            self.wait()
            start = time.perf_counter()
            work()
            asking.append(time.perf_counter() - start)
        self.wait()
        start, rounds = time.perf_counter(), 0
        while rounds < 2 or (time.perf_counter() - start < seconds and not self.quick):
            work()
            rounds += 1
            if rounds % 8 == 0:
                self.wait()  # else the host would be seconds ahead
        self.wait()
        return (time.perf_counter() - start) / rounds * 1e3, min(asking) * 1e3

    def wait(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def rate(self, name: str, crops: int, work: Work, warm: int = 3, **more: Any) -> dict[str, Any]:
        """A row: crops per second, milliseconds, memory."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        took, host = self.timed(work, warm)
        memory = torch.cuda.max_memory_allocated() / 2**30 if self.device.type == "cuda" else None
        row = {"name": name, "batch": crops, "crops_per_second": crops / took * 1e3, "ms": took, "host_ms": host}
        return row | {"memory_gib": memory} | more

    def beside(self, row: dict[str, Any], plain: dict[str, Any], what: str) -> None:
        """Note a rate beside that of the plain way."""
        reference = {"plain": plain["crops_per_second"], "plain_batch": plain["batch"], "plain_way": what}
        self.note(rates=row | reference | {"ratio": row["crops_per_second"] / plain["crops_per_second"]})

    def profiled(self, name: str, work: Work, top: bool = True) -> dict[str, int]:
        """Numbers of kernels and launches of one round; notes the ten kernels that take most time, with `top`."""
        on_gpu = self.device.type == "cuda"
        with profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_gpu]) as trace:
            work()
            self.wait()
        kind, spent = (DeviceType.CUDA, "self_device_time_total") if on_gpu else (DeviceType.CPU, "self_cpu_time_total")
        averages = [row for row in trace.key_averages() if row.device_type == kind]
        total = sum(getattr(row, spent) for row in averages) or 1
        if top:
            most = sorted(averages, key=lambda row: -getattr(row, spent))[:10]
            times = [(row.key, row.count, getattr(row, spent)) for row in most]
            rows = [{"kernel": key, "calls": calls, "ms": us / 1e3, "share": us / total} for key, calls, us in times]
            self.note(kernels={name: rows})
        names = [event.name for event in trace.events()]
        kernels = sum(row.count for row in averages if not row.key.startswith(("Memcpy", "Memset")))
        return {"kernels": kernels, "launches": sum("Launch" in name for name in names)}


@contextmanager
def tf32(on: bool) -> Iterator[None]:
    """Whether matrix products and convolutions of float32 may round to TF32."""
    switches: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    before = [switch.allow_tf32 for switch in switches]
    for switch in switches:
        switch.allow_tf32 = on
    try:
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value


def about_machine(bench: Bench) -> None:
    """Say what it runs on."""
    memory = ""
    if bench.device.type == "cuda":
        properties = torch.cuda.get_device_properties(bench.device)
        memory = f", {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
    bench.note(facts=f"{machine()}{memory}.")


def make_data(bench: Bench) -> None:
    """Pack rendered words, or random pixels where there are no fonts."""
    count = min(DISTINCT, bench.crops)
    try:
        words = RenderedWords(words=count, split="finetuning")
        drawn = [words.render(number)[::-1] for number in range(count)]
        what = f"{count:,} rendered words"
    except (AssertionError, InputError, OSError) as error:
        draw = np.random.default_rng(0)
        drawn = []
        for _ in range(count):
            pixels = cv2.resize(draw.integers(0, 256, (4, 16, 3), dtype=np.uint8), (128, 32))
            drawn.append((cv2.imencode(".jpg", pixels)[1].tobytes(), "random"))
        what = f"{count:,} pictures of random pixels (words cannot be rendered: {error})"
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        with ShardWriter(Path(folder) / "raw", 2**30) as writer:
            for number in range(bench.crops):
                jpeg, label = drawn[number % count]
                # A comment right after the start marker: the picture is the same, the bytes and their hash are not.
                writer.add(jpeg[:2] + b"\xff\xfe" + struct.pack(">HQ", 10, number) + jpeg[2:], label)
        source = open_source("crops", {"path": str(Path(folder) / "raw")})
        params = IngestParams(shard_crops=-(-bench.crops // 4), workers=1 if bench.quick else 0)
        store = prepare([source], params, bench.folder / "store", need_labels=True)
    sizes = [len(blob) for blob in store.fetch(range(count))]
    mean = sum(sizes) / len(sizes)
    bench.note(facts=f"The crops: {what}, repeated to {len(store):,} JPEGs of {mean / 1e3:.1f} KB on average, packed.")


def golden(bench: Bench) -> None:
    """Compare golden values on the device: float32 without TF32, and what bfloat16 makes of them."""
    if bench.golden is None:
        bench.note(facts="Golden values were not compared: give their folder as `--golden FOLDER`.")
        return
    with tf32(False):
        rows = list(verify(bench.golden, bench.device))
    worst = max(rows, key=lambda row: row.difference)
    within = sum(row.holds for row in rows)
    bench.note(
        facts=f"Golden values in float32: {within} of {len(rows)} within 1e-4; the largest relative difference is "
        f"{worst.difference:.1e} ({worst.quantity}).",
        values={"float32": [row._asdict() for row in rows]},
    )
    low: list[Comparison] = []
    ended = ""
    try:
        with torch.autocast(bench.device.type, torch.bfloat16):
            low.extend(verify(bench.golden, bench.device))
    except (InputError, IndexError) as error:  # words of another length than the released code's
        ended = f"; the comparison ended early ({error})"
    worst = max(low, key=lambda row: row.difference)
    by_name = {row.quantity: row.difference for row in low}
    losses = ", ".join(
        f"{name} {difference:.1e}"
        for name, difference in by_name.items()
        if name.endswith((".loss", ".latent", ".pred", "recognizer loss"))
    )
    bench.note(
        facts=f"Golden values in bfloat16: {losses}; the largest is {worst.difference:.1e} ({worst.quantity}){ended}.",
        values={"bfloat16": [row._asdict() for row in low]},
    )


def views(bench: Bench) -> None:
    """Medium guidance views of batches on the device, beside PIL on every core of the machine."""
    pixels = bench.batch(bench.batches[0])
    draw, epochs = random.Random(0), itertools.count()
    pictures = [Image.fromarray(crop.permute(1, 2, 0).numpy()) for crop in pixels.images[:64]]
    start = time.perf_counter()
    for picture in pictures:
        data.pil_view(picture, draw)
    plain = len(pictures) / (time.perf_counter() - start) * cores()
    for crops in bench.batches:
        batch = bench.batch(crops)
        given = batch.images.to(bench.device), batch.aspect, batch.index.numpy(), epochs
        for name in ("views",) if bench.quick else ("views", "views, compiled"):
            work = partial(_draw, GuidanceViews(data.MEDIUM, compiled=name != "views"), *given)
            work()  # compiles
            counts = bench.profiled(f"{name}, {crops} crops", work, top=crops == bench.batches[0])
            row = bench.rate(name, crops, work, **counts)
            bench.beside(row, {"crops_per_second": plain, "batch": 1}, f"PIL on one core, times {cores()} cores")


def _draw(draw: GuidanceViews, images: Tensor, aspect: Tensor, index: np.ndarray, epochs: Iterator[int]) -> Tensor:
    return draw(images, aspect, seed=0, epoch=next(epochs), index=index)


def _step(bench: Bench, task: Task, batch: CropBatch, forward: Any, precision: torch.dtype) -> Work:
    """One training step as a function; the loss of each is on a view of another epoch."""
    optimizer = build_optimizer(task.module, bench.optimization(10**6, len(batch.images)))
    epochs = itertools.count()

    def step() -> None:
        if forward is not task.module:
            torch.compiler.cudagraph_mark_step_begin()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(bench.device.type, precision, enabled=precision != torch.float32):
            losses = task.loss(batch, next(epochs), forward)
        losses["loss"].backward()
        optimizer.step()

    return step


def _steps(bench: Bench, name: str, make: Callable[[], Task], plain: Callable[[], Task], mode: str | None) -> None:
    """Training steps with both batches in bfloat16, beside float32 with TF32, attention written out."""
    for crops in bench.batches[:1] if bench.quick and mode else bench.batches:
        task, batch = make(), bench.batch(crops)
        # Before anything is compiled: what torch.compile meets first under a counter, it never compiles.
        flops = operations(task, task.module, batch.split(crops)[0])
        forward = task.module if mode is None else bench.compiled(task.module, mode)
        work = _step(bench, task, batch, forward, torch.bfloat16)
        start = time.perf_counter()
        work()
        bench.wait()
        first = time.perf_counter() - start
        row = bench.rate(name, crops, work, 5, first_s=first)
        row |= bench.profiled(f"{name}, {crops} crops", work, top=crops == bench.batches[0])
        peak = peak_flops(bench.device)
        row |= {"gflop_a_crop": flops / 1e9, "mfu": flops * row["crops_per_second"] / peak if peak else None}
        del task, forward, work
        # Else CUDA graphs keep their memory, and the next batch is compiled for any number of crops.
        torch.compiler.reset()
        gc.collect()
        if bench.device.type == "cuda":
            torch.cuda.empty_cache()
        reference = plain()
        write_attention_out(reference.module)
        few = bench.batch(min(crops, bench.plain_batch))
        with tf32(True):
            naive = bench.rate("plain", len(few.images), _step(bench, reference, few, reference.module, torch.float32))
        bench.beside(row, naive, "float32 with TF32, attention written out, nothing left out")


def pretraining_eager(bench: Bench) -> None:
    """Pre-training steps of LMIM as they are."""
    _steps(bench, "pre-training, eager", bench.pretraining, partial(bench.pretraining, PlainLMIM), None)


def pretraining_compiled(bench: Bench) -> None:
    """The same, compiled."""
    make, plain = partial(bench.pretraining, compiled=True), partial(bench.pretraining, PlainLMIM)
    _steps(bench, "pre-training, compiled", make, plain, "default")


def pretraining_graphs(bench: Bench) -> None:
    """The same, compiled, as CUDA graphs."""
    make, plain = partial(bench.pretraining, compiled=True), partial(bench.pretraining, PlainLMIM)
    _steps(bench, "pre-training, graphs", make, plain, "reduce-overhead")


def finetuning_eager(bench: Bench) -> None:
    """Fine-tuning steps with augmentation as they are."""
    _steps(bench, "fine-tuning, eager", bench.finetuning, bench.finetuning, None)


def finetuning_compiled(bench: Bench) -> None:
    """The same, compiled."""
    _steps(bench, "fine-tuning, compiled", bench.finetuning, bench.finetuning, "default")


def _run(bench: Bench, state: StateFolder, steps: int, crops: int, **training: Any) -> tuple[pd.DataFrame, nn.Module]:
    """A run of `fit` from the packed store."""
    task = bench.pretraining(compiled=training.get("compile", False))
    every = max(1, steps // 10)
    given = {"device": str(bench.device), "precision": "bf16", "log_every": every, "loader_threads": bench.threads}
    params = TrainingParams.model_validate(given | training)
    optimization = bench.optimization(steps, crops)
    rows = fit(task, bench.loader(crops), optimization, params, 0, state, Ranks(bench.device))
    return rows, task.module


def _channels_first(picture: Any) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


class PlainCrops(Dataset[tuple[Tensor, Tensor]]):
    """Crops and their views as one would write it down first: PIL, one crop at a time."""

    def __init__(self, store: PackedStore) -> None:
        self.store = store

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        pixels = data.pil_decode(self.store.fetch([index])[0])
        view = data.pil_view(Image.fromarray(pixels), random.Random(index))
        return _channels_first(pixels), _channels_first(view)


def _plain_run(bench: Bench) -> dict[str, Any]:
    """The rate of DataLoader, PIL and the plain step."""
    task, crops = bench.pretraining(PlainLMIM), bench.plain_batch
    write_attention_out(task.module)
    workers = 1 if bench.quick else cores()
    batches = DataLoader(
        PlainCrops(bench.store()), crops, shuffle=True, num_workers=workers, pin_memory=not bench.quick
    )
    optimizer = build_optimizer(task.module, bench.optimization(10**6, crops))
    steps, warm, start = (2, 1, 0.0) if bench.quick else (12, 4, 0.0)
    with tf32(True):
        for number, (images, guidance) in enumerate(itertools.islice(batches, steps + warm)):
            if number == warm:
                bench.wait()
                start = time.perf_counter()
            inputs = [to_input(each.to(bench.device, non_blocking=True)) for each in (images, guidance)]
            losses = task.module(*inputs, torch.rand(crops, bench.size.tokens, device=bench.device))
            optimizer.zero_grad(set_to_none=True)
            losses["loss"].backward()
            optimizer.step()
    bench.wait()
    return {"crops_per_second": steps * crops / (time.perf_counter() - start), "batch": crops}


def _end_to_end(bench: Bench, name: str, **training: Any) -> None:
    """Pre-training through `fit`, from the packed LMDB, with the share of time that it waits for crops."""
    crops = bench.batches[0]
    steps = 4 if bench.quick else 60
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        rows, _ = _run(bench, StateFolder(Path(folder) / "state", {}), steps, crops, **training)
    steady = rows.iloc[len(rows) // 3 :]  # the first third holds the start of the loader and of the compiler
    took = 1e3 * crops / steady["crops_per_second"].mean()
    memory = torch.cuda.max_memory_allocated() / 2**30 if bench.device.type == "cuda" else None
    row = {"name": name, "batch": crops, "crops_per_second": 1e3 * crops / took, "ms": took, "memory_gib": memory}
    row["waiting"] = steady["waiting"].mean()
    what = "DataLoader with a worker a core, PIL, and the plain step in float32 with TF32"
    bench.beside(row, _plain_run(bench), what)


def end_to_end(bench: Bench) -> None:
    """Pre-training through `fit`, eager."""
    _end_to_end(bench, "end to end, eager")


def end_to_end_compiled(bench: Bench) -> None:
    """Pre-training through `fit` with training.compile."""
    if bench.quick:
        bench.note(facts="`training.compile` was left out of a quick run: it needs a compiler.")
        return
    _end_to_end(bench, "end to end, compiled", compile=True)


def resume(bench: Bench) -> None:
    """Whether a run that was stopped half-way and resumed has the weights of one that was not, bit for bit."""
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read when the GPU is first used
    for mode in ("as it is", "with deterministic algorithms"):
        deterministic = mode != "as it is"
        torch.use_deterministic_algorithms(deterministic)  # with warn_only, Flash keeps its other backward pass
        with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
            whole, again, resumed = (
                _weights(bench, Path(folder) / name, stop=name == "resumed") for name in ("whole", "again", "resumed")
            )
        bench.note(
            facts=f"Six steps, {mode}: a second run {_equal(whole, again)}, one that was stopped after three steps and "
            f"resumed {_equal(whole, resumed)}.",
            values={mode: {"again": whole == again, "resumed": whole == resumed}},
        )
    torch.use_deterministic_algorithms(False)


def _equal(ours: bytes, other: bytes) -> str:
    return "gives the same bits" if ours == other else "gives OTHER bits"


def _weights(bench: Bench, folder: Path, stop: bool) -> bytes:
    """The weights after six steps, as bytes."""
    crops = bench.batches[1]
    if stop:
        with _stopping(), _expecting_interrupt():
            _run(bench, StateFolder(folder, {}), 6, crops, checkpoint_steps=3)
    _, module = _run(bench, StateFolder(folder, {}), 6, crops, checkpoint_steps=3)
    tensors = [parameter.detach().cpu().flatten() for parameter in module.parameters()]
    return torch.cat(tensors).numpy().tobytes()


@contextmanager
def _stopping() -> Iterator[None]:
    """Within, a run ends as if interrupted right after its first checkpoint."""
    save: Any = StateFolder.save

    def save_and_stop(*given: Any) -> None:
        save(*given)
        raise KeyboardInterrupt

    StateFolder.save = save_and_stop  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        StateFolder.save = save  # type: ignore[method-assign]


@contextmanager
def _expecting_interrupt() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        return
    raise AssertionError("the run was to be stopped at its checkpoint")


def losses(bench: Bench) -> None:
    """Losses of the same 200 steps in float32 and bfloat16."""
    steps, crops = (6 if bench.quick else 200), bench.batches[1]
    runs = {}
    for precision in ("fp32", "bf16"):
        with tempfile.TemporaryDirectory(dir=bench.folder) as folder, tf32(False):
            rows, _ = _run(bench, StateFolder(Path(folder) / "state", {}), steps, crops, precision=precision)
        runs[precision] = rows["loss"].tolist()
        bench.note(values={precision: runs[precision], "steps": rows["step"].tolist()})
    apart = [abs(low / full - 1) for full, low in zip(runs["fp32"], runs["bf16"], strict=True)]
    told = {name: ", ".join(f"{loss:.4f}" for loss in (found[0], *found[-3:])) for name, found in runs.items()}
    bench.note(
        facts=f"Loss of {steps} steps with {crops} crops, means of the first tenth and of the last three: float32 "
        f"{told['fp32']}; bfloat16 {told['bf16']}; at most {100 * max(apart):.2f} % apart."
    )


def reading(bench: Bench) -> None:
    """Reading of 256 crops at once and of one, words of 7 characters, beside the loop without a cache."""
    charset = Charset.named("english_94")
    for crops in (4, 1) if bench.quick else (256, 1):
        images = bench.batch(max(crops, 2)).images.numpy()[:crops]
        torch.manual_seed(0)
        recognizer = Recognizer(bench.size, charset)
        head: Any = recognizer.head
        head.decoder = recognizer.decoder = decoder_of_words(bench.size, charset, 7)
        recognizer.to(bench.device).eval()
        with tf32(True):
            plain = bench.rate("plain", crops, partial(_read_plainly, recognizer, images), warm=1)
        for precision in (torch.float32, torch.bfloat16):
            name = "fp32 with TF32" if precision == torch.float32 else "bf16"
            work = partial(_read, recognizer, images, precision)
            with tf32(True):
                counts = bench.profiled(f"reading, {name}, {crops} crops", work, top=precision == torch.bfloat16)
                row = bench.rate(f"reading, {name}", crops, work, **counts)
            bench.beside(row, plain, "float32 with TF32, everything decoded anew at each of 25 steps")


def _read(recognizer: Recognizer, images: np.ndarray, precision: torch.dtype) -> list[Reading]:
    device = recognizer.encoder.cls_token.device
    with torch.autocast(device.type, precision, enabled=precision != torch.float32):
        return recognizer.read_batch(to_input(send(torch.from_numpy(images), device)))


@torch.no_grad()
def _read_plainly(recognizer: Recognizer, images: np.ndarray) -> list[list[int]]:
    device = recognizer.encoder.cls_token.device
    head: Any = recognizer.head
    memory = head.linear_norm(recognizer.encoder(to_input(torch.from_numpy(images).to(device))))
    written = torch.zeros(len(images), head.max_length, dtype=torch.int64, device=device)
    for place in range(head.max_length):
        written[:, place] = head.decoder(memory, written)[:, place].softmax(-1).argmax(-1)
    return written.tolist()


PARTS: dict[str, tuple[Callable[[Bench], None], int]] = {
    "machine": (about_machine, 30),
    "data": (make_data, 60),
    "golden": (golden, 40),
    "views": (views, 70),
    "pretraining_eager": (pretraining_eager, 60),
    "end_to_end": (end_to_end, 60),
    "pretraining_compiled": (pretraining_compiled, 200),
    "reading": (reading, 40),
    "finetuning_eager": (finetuning_eager, 40),
    "losses": (losses, 60),
    "resume": (resume, 50),
    "end_to_end_compiled": (end_to_end_compiled, 120),
    "pretraining_graphs": (pretraining_graphs, 130),
    "finetuning_compiled": (finetuning_compiled, 100),
}
"""By name, in the order in which they run: what it does, and the seconds after which it is stopped."""
