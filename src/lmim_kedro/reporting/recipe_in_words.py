"""Describe in words how a model was made, group by group."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lmim_kedro.params import (
    OptimizationParams,
    PretrainingParams,
    SelftrainParams,
    ValidationParams,
    ViewPreset,
)
from lmim_kedro.recipe import Recipe, saved_recipe
from lmim_kedro.registries import METHODS, METRICS

Rows = list[tuple[str, str]]
"""What, and its value in words."""

BUDGETS = {
    "crops": "longer by as many crops as the teacher saw",
    "compute": "as many operations as teacher and LMIM together take",
}
DECODER_ORDERS = {"sa_ca_ffn": "SA-CA-FFN", "ca_sa_ffn": "CA-SA-FFN"}
TARGETS = {
    "mae_features": "features of the frozen teacher",
    "random_features": "features of a frozen, untrained encoder",
    "pixel": "pixels",
}
AUGMENTATIONS = {
    "abinet": "ABINet's, drawn anew for each crop and epoch",
    "parseq": "PARSeq's, drawn anew for each crop and epoch",
    "none": "none",
}


def recipe_in_words(recipe: Mapping[str, Any], facts: Mapping[str, Any]) -> list[tuple[str, Rows]]:
    """Groups of (what, value) for people to read: run, model, pre-training, guidance views, fine-tuning.

    Args:
        recipe: a recipe.Recipe as plain values, as saved beside the checkpoint.
        facts: from reporting.facts.run_facts; gives the number of parameters.
    """
    made = saved_recipe(recipe, "the recipe.json of the recognizer")
    drawn = METHODS[made.pretraining.method].draws_views(made.pretraining)
    return [
        ("Run", [("Variant", made.variant), ("Environment", made.env), ("Seed", str(made.seed))]),
        (f"Model {made.model_name}", _model(made, facts)),
        ("Pre-training", _pretraining(made)),
        *([(f"Guidance views {made.views_name}", _views(made.views))] if drawn else []),
        (f"Fine-tuning {made.finetuning.preset}", _finetuning(made)),
    ]


def optimization_in_words(optimization: OptimizationParams) -> str:
    """Describe length, optimizer and schedule, such as `10 epochs, batches of 512; AdamW, learning rate 0.0003 ...`."""
    length = f"{optimization.epochs:g} epochs" if optimization.epochs is not None else f"{optimization.steps:,} steps"
    number, unit = optimization.warmup_epochs, "epoch"
    if number is None:
        number, unit = optimization.warmup_steps, "step"
    warmup = f"{number:g} {unit}{'' if number == 1 else 's'}"
    words = [
        f"{length}, batches of {optimization.batch_size:,}",
        f"AdamW, learning rate {optimization.learning_rate:g} after {warmup} of warm-up, then half-cosine to 0",
        f"betas {optimization.betas[0]:g} and {optimization.betas[1]:g}, weight decay {optimization.weight_decay:g}",
    ]
    if optimization.layer_decay != 1:
        words.append(f"layer-wise decay {optimization.layer_decay:g}")
    if optimization.encoder_learning_rate is not None:
        words.append(f"the encoder at {optimization.encoder_learning_rate:g} times that rate")
    if optimization.freeze_encoder_steps is not None:
        words.append(f"the encoder fixed for the first {optimization.freeze_encoder_steps:,} steps")
    if optimization.clip_norm is not None:
        words.append(f"gradient norm clipped at {optimization.clip_norm:g}")
    if optimization.ema:
        words.append(f"weights averaged with decay {optimization.ema:g}")
    return "; ".join(words)


def _prepared(recipe: Recipe) -> str:
    tall = recipe.rotate_tall
    return (", width / height kept" if recipe.model.keep_ratio else "") + (
        f", turned where height / width is above {tall:g}" if tall is not None else ""
    )


def _model(recipe: Recipe, facts: Mapping[str, Any]) -> Rows:
    model = recipe.model
    overlap = f", seeing {model.patch_overlap} pixels more on either side" if model.patch_overlap else ""
    patches = (
        f"{model.patch_height} × {model.patch_width} pixels{overlap}: {model.rows} × {model.columns} tokens, [cls]"
    )
    heads = f"{model.depth} blocks, width {model.width}, {model.heads} heads"
    parameters = facts.get("parameters")
    stem = (f"{width} features ({down} down, {across} across)" for width, down, across in model.stem or ())
    return [
        ("Input", f"{model.image_height} × {model.image_width} pixels, {model.input}{_prepared(recipe)}"),
        *([("Stem", f"3 × 3 convolutions with these strides: {', '.join(stem)}")] if model.stem else []),
        ("Patches", patches),
        ("Encoder", f"{heads}, {model.position_grid} position grid"),
        ("Guided decoder", f"{model.decoder_depth} blocks, width {model.decoder_width}, {model.decoder_heads} heads"),
        *([("Recognizer", f"{parameters:,} parameters")] if parameters else []),
    ]


def weights_in_words(named: str) -> str:
    """Name the weights that a parameter names: `ready` is the ready reader, all else is a path."""
    return "the ready reader" if named == "ready" else named


def _pretraining(recipe: Recipe) -> Rows:
    pretraining, rows = recipe.pretraining, Rows()
    if pretraining.weights is not None and recipe.finetuning.start is None:
        rows.append(("Encoder from", weights_in_words(pretraining.weights)))
    if pretraining.method == "none":
        return [*rows, ("Method", "none")]
    rows.append(("Method", METHODS[pretraining.method].title))
    if METHODS[pretraining.method].masks:
        rows.append(("Masking", f"{pretraining.masking}, {100 * pretraining.mask_ratio:g} % of the patches"))
    if pretraining.method == "lmim":
        guidance = f"cross-attention to the guidance view, {DECODER_ORDERS[pretraining.decoder_order]}"
        rows.append(("Guidance", guidance if pretraining.guidance else "none"))
        rows += [("Alignment", _alignment(pretraining)), ("Target", TARGETS[pretraining.target])]
        if pretraining.target == "mae_features":
            teacher = pretraining.teacher
            trained = (
                f"masked autoencoder trained here on the same crops, {100 * teacher.mask_ratio:g} % masked; "
                f"{optimization_in_words(teacher.optimization)}"
            )
            rows.append(("Teacher", teacher.path or trained))
    rows.append(("Optimization", optimization_in_words(pretraining.optimization)))
    if pretraining.length != 1:
        rows.append(("Length", f"{pretraining.length:g} times that"))
    if pretraining.budget != "own":
        rows.append(("Budget", BUDGETS[pretraining.budget]))
    return rows


def _alignment(pretraining: PretrainingParams) -> str:
    if not pretraining.alignment_weight:
        return "none"
    words = [f"weight {pretraining.alignment_weight:g}"]
    if pretraining.alignment_stop_gradient:
        words.append("the guidance [cls] as a fixed target")
    if pretraining.alignment_projector is not None:
        words.append(f"after an MLP of width {pretraining.alignment_projector}")
    if pretraining.alignment_variance:
        words.append(f"[cls] kept apart by a variance term of weight {pretraining.alignment_variance:g}")
    return "; ".join(words)


def _finetuning(recipe: Recipe) -> Rows:
    finetuning, model, share = recipe.finetuning, recipe.model, recipe.finetuning.label_share
    sizes = f", {model.recognizer.depth} layers, width {model.recognizer.width}, {model.recognizer.heads} heads"
    start = finetuning.start
    return [
        *([("Starts from", f"{weights_in_words(start)}: encoder, decoder and head")] if start else []),
        ("Decoder", finetuning.decoder + (sizes if finetuning.decoder == "autoregressive" else "")),
        ("Charset", f"{finetuning.charset}, at most {finetuning.max_length} steps"),
        ("Augmentation", AUGMENTATIONS.get(finetuning.augmentation, finetuning.augmentation)),
        ("Encoder", "frozen" if finetuning.freeze_encoder else "trained"),
        *([("Labels", f"{100 * share:g} % of them, drawn by content and seed")] if share is not None else []),
        *([("Pseudo-labels", _pseudo_labels(recipe.selftrain))] if recipe.selftrain is not None else []),
        ("Optimization", optimization_in_words(finetuning.optimization)),
        *([("Held out", _held_out(finetuning.validation))] if finetuning.validation.on else []),
    ]


def _pseudo_labels(selftrain: SelftrainParams) -> str:
    return (
        f"readings by {weights_in_words(selftrain.recognizer or 'another recognizer')} with a confidence of "
        f"{selftrain.min_confidence:g} or more; {selftrain.ratio:g} in an epoch for each labeled crop"
    )


def _held_out(validation: ValidationParams) -> str:
    share = validation.share
    what = (
        f"the crops of {', '.join(validation.sources)}" if share is None else f"{100 * share:g} % of the labeled crops"
    )
    words = [
        f"{what}, read every {validation.every:,} steps",
        f"the step with the highest {METRICS[validation.metric].title} is the result",
    ]
    if validation.patience is not None:
        words.append(f"training ends after {validation.patience:,} readings without a higher one")
    return "; ".join(words)


def kept_in_words(metrics: pd.DataFrame, validation: ValidationParams) -> str:
    """Say which step of fine-tuning was kept, and why; empty where no crops were held out.

    Args:
        metrics: metrics table of fine-tuning.
        validation: how its steps were compared.

    Example:
        >>> table = pd.DataFrame({"step": [5, 10, 15], "validation_waics": [0.5, 0.75, 0.625]})
        >>> words = kept_in_words(table, ValidationParams(share=0.1, every=5, patience=1))
        >>> words.partition(":")[0], words.rpartition(". ")[2]
        ('Fine-tuning keeps the weights of step 10', 'It ended at step 15, after 1 without a higher one.')
    """
    column = f"validation_{validation.metric}"
    if not validation.on or column not in metrics:
        return ""
    measured = metrics.dropna(subset=[column])
    best = int(measured[column].to_numpy().argmax())  # the first of several
    words = (
        f"Fine-tuning keeps the weights of step {measured['step'].iloc[best]:,}: of {len(measured):,} readings of the "
        f"held-out crops, the highest {METRICS[validation.metric].title}, {100 * measured[column].iloc[best]:.2f} %."
    )
    worse = len(measured) - 1 - best
    if validation.patience is not None and worse >= validation.patience:
        words += f" It ended at step {measured['step'].iloc[-1]:,}, after {worse:,} without a higher one."
    return words


def _views(views: ViewPreset) -> Rows:
    least, most = views.pick
    skipped = {"pick", "jitter", "grayscale_probability"}
    operations = {name.replace("_", " "): value for name, value in views if name not in skipped and value is not None}
    rows = [
        ("Operations each", f"{least} or more" if most is None else f"{least} to {most}"),
        ("Out of", "; ".join(f"{name} {_range(value)}" for name, value in operations.items())),
    ]
    if (jitter := views.jitter) is not None:
        then = (
            f"color jitter with probability {jitter.probability:g} (brightness {jitter.brightness:g}, contrast "
            f"{jitter.contrast:g}, saturation {jitter.saturation:g}, hue {jitter.hue:g}), "
            f"gray with probability {views.grayscale_probability:g}"
        )
        rows.append(("Then", then))
    return rows


def _range(value: Any) -> str:
    if isinstance(value, tuple):
        joint = ", " if isinstance(value[0], tuple) else "–"
        return joint.join(map(_range, value))
    return f"{value:g}"
