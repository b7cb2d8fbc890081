"""Pre-training and fine-tuning in one loop: methods, tasks, optimizer, checkpoints, several processes.

Example, on rendered words, two steps a stage:
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from lmim_kedro import open_source, params, prepare
    >>> from lmim_kedro.recipe import Recipe
    >>> from lmim_kedro.training.finetuning import finetune
    >>> from lmim_kedro.training.pretraining import make_teacher, pretrain
    >>> folder = Path(mkdtemp())
    >>> words = open_source("words", {"format": "rendered", "words": 8, "split": "finetuning"})
    >>> crops = prepare([words], params.IngestParams(workers=1), folder / "crops", need_labels=True)
    >>> adamw = dict(batch_size=4, base_learning_rate=1e-3, betas=(0.9, 0.95), weight_decay=0.05, layer_decay=1)
    >>> short = params.OptimizationParams(steps=2, warmup_steps=1, **adamw)
    >>> recipe = Recipe(
    ...     variant="lmim", env="example", seed=0, model_name="tiny", views_name="turned",
    ...     model=params.ModelParams(width=24, depth=1, heads=3),
    ...     views=params.ViewPreset(pick=(1, 1), rotate=15),
    ...     pretraining={"optimization": short, "teacher": {"optimization": short}},
    ...     finetuning={"optimization": short, "decoder": "ctc", "charset": "english_36"},
    ... )
    >>> given = recipe, params.TrainingParams(device="cpu", log_every=1), folder / "state"
    >>> teacher, _ = make_teacher(crops, *given)
    >>> model, _ = pretrain(crops, teacher, *given)
    >>> recognizer, metrics = finetune(crops, model.encoder, *given)
    >>> metrics["step"].tolist()
    [1, 2]
"""
