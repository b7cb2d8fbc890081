"""Draw the pictures of docs/method.md: pre-train a small model on rendered words, then look at what it does.

    python scripts/draw_method.py

takes some ten minutes on one core, writes docs/images/method_*.png and prints the figures that the page gives. It needs
no data and no GPU: all words are rendered.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from lmim_kedro import PackedStore, open_source, prepare
from lmim_kedro.crops.pixels import decode_batch
from lmim_kedro.crops.sheets import draw_sheet
from lmim_kedro.evaluation.attention import attention_maps
from lmim_kedro.evaluation.cls import look_at_cls
from lmim_kedro.evaluation.reconstruction import reconstruct
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.params import IngestParams, ModelParams, TrainingParams, ViewPreset
from lmim_kedro.recipe import Recipe
from lmim_kedro.reporting.images import attention_picture, similarity_picture
from lmim_kedro.training.pretraining import make_teacher, pretrain
from lmim_kedro.views.guidance import GuidanceViews

ROOT = Path(__file__).parents[1]
SIGNS = (
    "airport avenue bakery bicycle bridge camera castle cinema coffee corner danger dinner doctor exit express factory "
    "flower forest garden gallery harbor hotel island kitchen library market morning museum office orange palace "
    "parking pharmacy platform police railway restaurant river school station street summer theatre ticket tower "
    "traffic valley village water window winter"
)
"""What the pictures show; training sees made-up words."""
SIZE = ModelParams(
    patch_height=8,
    patch_width=8,
    input="gray",
    position_grid="layout",
    width=128,
    depth=4,
    heads=4,
    decoder_width=128,
    decoder_depth=2,
    decoder_heads=4,
    decoder_ffn=256,
    decoder_dropout=0.0,
)
"""64 patches of 8 x 8 pixels: small enough for a CPU, and patches above one another as in the paper."""
CELL = (256, 64)
"""Width and height of a crop in the pictures, pixels."""


def rendered(folder: Path, words: int, split: str, **options: Any) -> PackedStore:
    """Render words in the easy style into a packed store."""
    spec = {"format": "rendered", "words": words, "split": split, "styles": {"easy": {}}, **options}
    return prepare([open_source("words", spec)], IngestParams(workers=1), folder, need_labels=False)


def small_recipe(steps: int) -> Recipe:
    """The paper's method (conf/base) on the small model, for so many steps of the teacher and as many of LMIM."""
    base = ROOT / "conf/base"
    written = {part: yaml.safe_load((base / f"parameters_{part}.yml").read_text("utf-8"))[part] for part in PARTS}
    short = {"epochs": None, "steps": steps, "batch_size": 32, "warmup_epochs": None, "warmup_steps": steps // 10}
    pretraining, teacher = written["pretraining"], written["pretraining"]["teacher"]
    pretraining["optimization"] |= short | {"base_learning_rate": 4e-3}
    teacher["optimization"] |= short | {"base_learning_rate": 8e-3}
    teacher["mask_ratio"] = 0.6
    presets = yaml.safe_load((base / "view_presets.yml").read_text("utf-8"))["view_presets"]
    return Recipe(
        variant="lmim",
        env="method",
        seed=0,
        model_name="small",
        model=SIZE,
        views=ViewPreset.model_validate(presets["medium"]),
        views_name="medium",
        **written,
    )


PARTS = ("pretraining", "finetuning")


def train(crops: PackedStore, recipe: Recipe, folder: Path) -> LMIM:
    """Train the teacher, then LMIM."""
    training = TrainingParams(device="cpu", precision="auto", threads=1, log_every=100)
    teacher, _ = make_teacher(crops, recipe, training, folder)
    model, metrics = pretrain(crops, teacher, recipe, training, folder)
    print(metrics[["step", "reconstruction", "alignment", "cls_std", "seconds"]].iloc[[0, -1]].round(4).to_string())
    return model


def picture(crop: np.ndarray) -> np.ndarray:
    """(3, H, W) uint8 -> (H, W, 3)."""
    return np.ascontiguousarray(crop.transpose(1, 2, 0))


def sheet(rows: list[list[Any]], target: Path) -> None:
    """Save pictures in rows and columns."""
    pixels = draw_sheet([([np.asarray(each) for each in row], "") for row in rows], size=CELL)
    Image.fromarray(pixels).quantize(256).save(target, optimize=True)
    print(target)


def draw_branches(model: LMIM, preset: ViewPreset, signs: PackedStore, index: np.ndarray, target: Path) -> None:
    """A row for each word: crop, what the masked branch sees, guidance view, how well each patch is predicted."""
    found = reconstruct(model, signs, index, torch.device("cpu"))
    images, aspect = decode_batch(signs.fetch(index), SIZE.image_height, SIZE.image_width)
    draw = GuidanceViews(preset)
    views = draw(torch.from_numpy(images), torch.from_numpy(aspect), seed=0, epoch=0, index=index).numpy()
    seen = np.rint(views * 255).clip(0, 255).astype(np.uint8)
    columns = zip(found["crops"], found["masked"], seen, found["similarity"], strict=True)
    rows = [
        [picture(crop), picture(masked), picture(view), similarity_picture(cosines, crop.shape[1:])]
        for crop, masked, view, cosines in columns
    ]
    sheet(rows, target)
    cosines = found["similarity"]
    print(f"cosine of predicted and target features, mean over removed patches: {np.nanmean(cosines):.2f}")


def draw_attention(model: LMIM, signs: PackedStore, index: np.ndarray, target: Path) -> None:
    """A row for each word, a column for each of four query patches."""
    found = attention_maps(model.encoder, signs, index, 4, torch.device("cpu"))
    rows = [
        [attention_picture(crop, one, query) for one, query in zip(maps, queries, strict=True)]
        for crop, maps, queries in zip(found["crops"], found["maps"], found["queries"], strict=True)
    ]
    sheet(rows, target)


def draw_neighbors(model: LMIM, signs: PackedStore, target: Path) -> None:
    """A row for each word: the crop, then the four crops whose [cls] is most like its own."""
    statistics, arrays = look_at_cls(
        {"encoder": model.encoder, "teacher": model.teacher},
        signs,
        batch_size=64,
        device=torch.device("cpu"),
        queries=4,
        neighbors=3,
    )
    rows = [
        [picture(crop), *map(picture, near)] for crop, near in zip(arrays["queries"], arrays["encoder"], strict=True)
    ]
    sheet(rows, target)
    print({name: own["cls"] for name, own in statistics.items()})


def main(arguments: list[str] | None = None) -> None:
    """Train, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=800, help="steps of the teacher, and of LMIM")
    parser.add_argument("--words", type=int, default=8000, help="rendered words to train on")
    parser.add_argument("--images", type=Path, default=ROOT / "docs/images", help="folder of the pictures")
    asked = parser.parse_args(arguments)
    asked.images.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    recipe = small_recipe(asked.steps)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "signs.txt").write_text(SIGNS.replace(" ", "\n"), "utf-8")
        model = train(rendered(folder / "words", asked.words, "pretraining"), recipe, folder / "state")
        vocabulary = {str(folder / "signs.txt"): 1.0}
        signs = rendered(folder / "signs", 400, "finetuning", seed=3, vocabulary=vocabulary, brevity=1.0)
        shown = np.array([7, 15, 23, 64])
        draw_branches(model, recipe.views, signs, shown, asked.images / "method_branches.png")
        draw_attention(model, signs, shown, asked.images / "method_attention.png")
        draw_neighbors(model, signs, asked.images / "method_neighbors.png")


if __name__ == "__main__":
    main()
