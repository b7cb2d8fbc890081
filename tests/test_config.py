from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from lmim_kedro import params
from lmim_kedro.config import ConfigLoader
from lmim_kedro.errors import InputError
from lmim_kedro.params import (
    EvaluationParams,
    ModelParams,
    OptimizationParams,
    Parameters,
    Params,
    PredictParams,
    RunParams,
    ViewPreset,
    ViewsParams,
)
from lmim_kedro.pipelines.finetune.nodes import resolve_recipe as finetune_recipe
from lmim_kedro.recipe import Recipe, resolve_finetuning, resolve_recipe
from lmim_kedro.scoring.protocols import get_protocol
from lmim_kedro.settings import CONFIG_LOADER_ARGS


@pytest.fixture
def conf(project: Path, tmp_path: Path) -> Path:
    """The base parameters of the project with an environment `small` and a catalog of one entry."""
    conf = tmp_path / "conf"
    (conf / "small").mkdir(parents=True)
    (conf / "base").mkdir()
    for file in (project / "conf" / "base").glob("[!c]*.yml"):
        shutil.copy(file, conf / "base")
    (conf / "base" / "catalog.yml").write_text(
        "encoder: {type: MemoryDataset, filepath: '${env:}/${parameter:variant}/${parameter:pretraining.mask_ratio}'}\n"
    )
    return conf


def loader(conf: Path, env: str = "small", **given: Any) -> ConfigLoader:
    return ConfigLoader(conf, env, given, **CONFIG_LOADER_ARGS | {"default_run_env": "small"})


def recipe_of(parameters: dict[str, Any]) -> Recipe:
    """The recipe as a node gets it, of the parameters that Kedro loads."""
    return Recipe.model_validate(parameters["recipe"])


def write(conf: Path, **values: Any) -> None:
    (conf / "small" / "parameters.yml").write_text(yaml.safe_dump(values))


def refusal(conf: Path, **given: Any) -> str:
    with pytest.raises(InputError) as caught:
        loader(conf, **given)["parameters"]
    return str(caught.value)


def test_environment_overrides_base_value_by_value(conf: Path) -> None:
    write(conf, pretraining={"mask_ratio": 0.7})
    pretraining = loader(conf)["parameters"]["pretraining"]
    assert pretraining["mask_ratio"] == 0.7
    assert pretraining["masking"] == "random"
    assert pretraining["optimization"]["batch_size"] == 512


def test_variant_overrides_environment_and_command_line_overrides_variant(conf: Path) -> None:
    write(conf, pretraining={"mask_ratio": 0.7})
    pretraining = loader(conf, variant="mask_block_60")["parameters"]["pretraining"]
    assert (pretraining["masking"], pretraining["mask_ratio"]) == ("block", 0.6)
    pretraining = loader(conf, variant="mask_block_60", pretraining={"mask_ratio": 0.5})["parameters"]["pretraining"]
    assert (pretraining["masking"], pretraining["mask_ratio"]) == ("block", 0.5)


def test_finetuning_preset_goes_with_any_variant_under_variant_and_command_line(conf: Path) -> None:
    write(conf, finetuning={"charset": "english_36", "optimization": {"epochs": None, "steps": 9}})
    plain = loader(conf)["parameters"]["finetuning"]
    assert (plain["preset"], plain["augmentation"], plain["optimization"]["steps"]) == ("reference", "abinet", 9)
    strong = {"preset": "strong"}
    found = loader(conf, variant="mim", finetuning=strong)["parameters"]
    assert found["pretraining"]["method"] == "mim"
    recipe = recipe_of(found).finetuning
    assert (recipe.preset, recipe.augmentation, recipe.charset) == ("strong", "parseq", "english_36")
    optimization = recipe.optimization
    assert (optimization.epochs, optimization.steps, optimization.batch_size) == (20, None, 1024)
    assert optimization.learning_rate == pytest.approx(6.5e-4)
    found = loader(conf, finetuning=strong | {"augmentation": "none"})["parameters"]["finetuning"]
    assert (found["preset"], found["augmentation"]) == ("strong", "none")
    variant = {"mine": {"finetuning": strong | {"optimization": {"epochs": 3}}}}
    found = loader(conf, variant="mine", variants=variant)["parameters"]["finetuning"]
    assert (found["preset"], found["augmentation"], found["optimization"]["epochs"]) == ("strong", "parseq", 3)


@pytest.mark.parametrize("variant", ["finetune_strong", "scratch_strong"])
def test_variants_with_the_strong_recipe_have_it(conf: Path, variant: str) -> None:
    recipe = recipe_of(loader(conf, variant=variant)["parameters"])
    assert (recipe.finetuning.preset, recipe.finetuning.augmentation) == ("strong", "parseq")
    assert recipe.pretraining.method == ("none" if variant == "scratch_strong" else "lmim")


def test_all_rows_of_the_tables_environment_are_fine_tuned_for_as_many_crops(project: Path) -> None:
    """Or the strong preset would bring its 20 epochs at 1,024 along."""
    found = [loader(project / "conf", "quick", variant=name)["parameters"] for name in ("lmim", "finetune_strong")]
    plain, strong = (recipe_of(each).finetuning.optimization for each in found)
    assert (strong.epochs, strong.steps, strong.batch_size) == (None, plain.steps, plain.batch_size)
    assert strong.learning_rate == plain.learning_rate
    assert strong.layer_decay == 1.0


def test_variant_chosen_in_an_environment_applies(conf: Path) -> None:
    write(conf, variant="mim")
    parameters = loader(conf)["parameters"]
    assert parameters["variant"] == "mim"
    assert parameters["pretraining"]["method"] == "mim"


def test_parameters_are_plain_values_that_a_reader_cannot_spoil(conf: Path) -> None:
    config = loader(conf)
    first = config["parameters"]
    assert type(first) is dict and type(first["pretraining"]) is dict
    first["pretraining"]["mask_ratio"] = 0.1
    assert config["parameters"]["pretraining"]["mask_ratio"] == 0.8


def test_null_on_the_command_line_takes_a_default_away(conf: Path) -> None:
    given = {"optimization": {"epochs": None, "steps": 5}}
    assert loader(conf, pretraining=given)["parameters"]["pretraining"]["optimization"]["steps"] == 5
    message = refusal(conf, pretraining={"optimization": {"steps": 5}})
    assert message.startswith("`pretraining.optimization` ") and "both found" in message


@pytest.mark.parametrize("source", ["command line", "environment"])
@pytest.mark.parametrize(
    ("given", "name", "close"),
    [
        ({"pretraining": {"mask_rtio": 0.5}}, "pretraining.mask_rtio", "pretraining.mask_ratio"),
        ({"pretrainig": {"mask_ratio": 0.5}}, "pretrainig", "pretraining"),
        ({"mask_ratio": 0.5}, "mask_ratio", "pretraining.mask_ratio"),
        ({"models": {"vit_small": {"dpth": 3}}}, "models.vit_small.dpth", "models.vit_small.depth"),
        (
            {"view_presets": {"medium": {"jitter": {"hew": 1}}}},
            "view_presets.medium.jitter.hew",
            "view_presets.medium.jitter.hue",
        ),
        (
            {"pretraining": {"teacher": {"optimization": {"bach_size": 8}}}},
            "pretraining.teacher.optimization.bach_size",
            "pretraining.teacher.optimization.batch_size",
        ),
        (
            {"variants": {"mim": {"pretraining": {"metod": "mim"}}}},
            "variants.mim.pretraining.metod",
            "variants.mim.pretraining.method",
        ),
        ({"variants": {"mim": {"vews": {}}}}, "variants.mim.vews", "variants.mim.views"),
        (
            {"finetuning_presets": {"strong": {"optimization": {"bach_size": 8}}}},
            "finetuning_presets.strong.optimization.bach_size",
            "finetuning_presets.strong.optimization.batch_size",
        ),
        (
            {"finetuning_presets": {"reference": {"augmentatoin": "none"}}},
            "finetuning_presets.reference.augmentatoin",
            "finetuning_presets.reference.augmentation",
        ),
    ],
)
def test_misspelt_name_is_refused_with_the_closest_known_one(
    conf: Path, given: dict[str, Any], name: str, close: str, source: str
) -> None:
    if source == "environment":
        write(conf, **given)
        given = {}
    message = refusal(conf, **given)
    assert message.startswith(f"`{name}` is not a parameter (did you mean `{close}`?)")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("given", "beginning"),
    [
        (
            {"variant": "mask_blok_60"},
            "`variant` is 'mask_blok_60', which is not defined (did you mean `mask_block_60`?)",
        ),
        ({"model": "vit_smal"}, "`model` is 'vit_smal', which is not defined (did you mean `vit_small`?)"),
        ({"views": {"preset": "stong"}}, "`views.preset` is 'stong', which is not defined (did you mean `strong`?)"),
        (
            {"variants": {"mim": {"views": {"preset": "stong"}}}},
            "`variants.mim.views.preset` is 'stong', which is not defined (did you mean `strong`?)",
        ),
        (
            {"finetuning": {"preset": "stong"}},
            "`finetuning.preset` is 'stong', which is not defined (did you mean `strong`?): choose one of reference, ",
        ),
        (
            {"variants": {"mim": {"finetuning": {"preset": "stong"}}}},
            "`variants.mim.finetuning.preset` is 'stong', which is not defined (did you mean `strong`?)",
        ),
        (
            {"variant": "mim", "variants": {"mim": {"finetuning": {"preset": "stong"}}}},
            "`variants.mim.finetuning.preset` is 'stong', which is not defined (did you mean `strong`?)",
        ),
        (
            {"variants": {"mim": {"model": "vit"}}},
            "`variants.mim.model` is 'vit', which is not defined",
        ),
    ],
)
def test_unknown_preset_is_refused_with_the_names_there_are(conf: Path, given: dict[str, Any], beginning: str) -> None:
    message = refusal(conf, **given)
    assert message.startswith(beginning)
    assert "choose one of " in message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"pretraining": {"masking": "blok"}},
            "`pretraining.masking` is 'blok' (did you mean `block`?), but it must be 'random', 'block', 'span' "
            "or 'density'",
        ),
        (
            {"pretraining": {"mask_ratio": 1.5}},
            "`pretraining.mask_ratio` is 1.5, but it should be less than 1 (share of patches removed, Table 5)",
        ),
        (
            {"variants": {"mim": {"pretraining": {"mask_ratio": 2}}}},
            "`variants.mim.pretraining.mask_ratio` is 2, but it should be less than 1 "
            "(share of patches removed, Table 5)",
        ),
        (
            {"finetuning_presets": {"strong": {"augmentation": "parsek"}}},
            "`finetuning_presets.strong.augmentation` is 'parsek' (did you mean `parseq`?), "
            "but it must be 'abinet', 'parseq' or 'none'",
        ),
        (
            {"finetuning_presets": {"strong": 5}},
            "`finetuning_presets.strong` is 5, but it must map parameters to values; {} for none",
        ),
        ({"variants": {"mim": None}}, "`variants.mim` is None, but it must map parameters to values; {} for none"),
        ({"views": 5}, "`views` is 5, but it must hold preset, sheet_crops, sheet_views, materialize"),
        (
            {"pretraining": {"teacher": {"optimisation": {"epochs": 3}}}},
            "`pretraining.teacher.optimisation` is called `pretraining.teacher.optimization` now: rename it",
        ),
        (
            {"variants": {"mim": {"finetuning": {"optimisation": {}}}}},
            "`variants.mim.finetuning.optimisation` is called `variants.mim.finetuning.optimization` now: rename it",
        ),
        ({"predict": {"recogniser": "x"}}, "`predict.recogniser` is called `predict.recognizer` now: rename it"),
        (
            {"models": {"vit_small": {"input": "grey"}}},
            "`models.vit_small.input` is 'grey', which is called 'gray' now: rename it",
        ),
    ],
)
def test_value_that_is_not_allowed_is_refused_with_what_is(conf: Path, given: dict[str, Any], message: str) -> None:
    assert refusal(conf, **given) == message


def test_missing_parameter_is_named(conf: Path) -> None:
    file = conf / "base" / "parameters_pretraining.yml"
    values = yaml.safe_load(file.read_text())
    del values["pretraining"]["teacher"]["optimization"]["base_learning_rate"]
    file.write_text(yaml.safe_dump(values))
    message = refusal(conf)
    assert message.startswith("`pretraining.teacher.optimization.base_learning_rate` is missing (at 256 crops a step")


def test_command_line_repairs_what_an_environment_leaves_broken(conf: Path) -> None:
    write(conf, pretraining={"optimization": {"steps": 5}})
    assert loader(conf, pretraining={"optimization": {"epochs": None}})["parameters"]["variant"] == "lmim"


def test_unknown_environment_is_refused_with_the_folders_there_are(conf: Path) -> None:
    with pytest.raises(InputError, match=r"no environment `smal` \(did you mean `small`\?\).* has base, small; choose"):
        loader(conf, env="smal")


def test_renamed_environment_answers_with_its_new_name(conf: Path) -> None:
    with pytest.raises(InputError, match="the environment `tables` is called `quick` now: choose it with --env=quick"):
        loader(conf, env="tables")


def test_file_that_is_no_yaml_is_named(conf: Path) -> None:
    (conf / "small" / "parameters.yml").write_text("pretraining: [1,")
    assert "small/parameters.yml" in refusal(conf)


def test_environment_is_a_parameter_that_only_the_loader_sets(conf: Path) -> None:
    assert loader(conf)["parameters"]["env"] == "small"
    write(conf, env="other")
    assert refusal(conf) == "`env` is given as 'other': choose the environment with --env instead"


def test_catalog_paths_carry_environment_and_parameters_of_their_own_loader(conf: Path) -> None:
    (conf / "large").mkdir()
    first = loader(conf, variant="mask_block_60")
    second = loader(conf, env="large", pretraining={"mask_ratio": 0.5})
    assert second["catalog"]["encoder"]["filepath"] == "large/lmim/0.5"
    assert first["catalog"]["encoder"]["filepath"] == "small/mask_block_60/0.6"


def test_catalog_that_asks_for_an_unknown_parameter_says_which(conf: Path) -> None:
    (conf / "small" / "catalog.yml").write_text("x: {type: MemoryDataset, filepath: '${parameter:pretraining.mask}'}")
    with pytest.raises(InputError, match=r"the catalog asks for \$\{parameter:pretraining.mask\}"):
        loader(conf)["catalog"]


def test_wrong_parameter_is_refused_when_the_catalog_is_read_first(conf: Path) -> None:
    with pytest.raises(InputError, match="`mask_ratio` is not a parameter"):
        loader(conf, mask_ratio=0.5)["catalog"]


ONE_OF_TWO = {"epochs", "steps", "warmup_epochs", "warmup_steps"}
"""Parameters of which conf/base gives one and sets the other to null, so that null is what a recipe may leave out."""


def fields(group: type[Params], written: Any, place: str = "") -> Iterator[tuple[type[Params], str, Any, Any]]:
    """Group, name, default and value in conf/base of every parameter; ... where one of the last two is not given."""
    for name, field in group.model_fields.items():
        value = written.get(name, ...)
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        if inner := [kind for kind in kinds if issubclass(kind, Params)]:
            yield from fields(inner[0], value, f"{place}{name}.")
        else:
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            yield group, place + name, ... if field.is_required() else default, value


def test_default_is_in_one_place_or_the_same_in_both(project: Path) -> None:
    written: dict[str, Any] = {"env": ""}  # --env sets it, and no file
    for file in (project / "conf" / "base").glob("[!c]*.yml"):
        written |= yaml.safe_load(file.read_text("utf-8"))
    found = [
        *fields(RunParams, written),
        *fields(ModelParams, written["models"]["vit_small"], "models."),
        *fields(ViewPreset, written["view_presets"]["medium"], "view_presets."),
    ]
    groups = {kind for kind in vars(params).values() if isinstance(kind, type) and issubclass(kind, Params)}
    assert {group for group, *_ in found} == groups - {Params, Parameters}
    for group, name, default, value in found:
        assert value is not ..., f"conf/base has no {name}"
        default = list(default) if isinstance(default, tuple) else default
        free = group is ViewPreset and default in (None, 0.0)  # an operation that a preset leaves out
        free |= name.rpartition(".")[2] in ONE_OF_TWO and default is None
        assert free or default is ... or value == default, f"{name} is {value} in conf/base and {default} in params.py"


@pytest.mark.parametrize("group", [RunParams, ViewsParams, EvaluationParams, PredictParams, OptimizationParams])
def test_groups_that_only_pipelines_read_have_no_defaults(group: type[Params]) -> None:
    given = {name for name, field in group.model_fields.items() if not field.is_required()}
    assert given <= ONE_OF_TWO | {"clip_norm", "ema", "encoder_learning_rate", "freeze_encoder_steps", "env"}


def test_recipe_holds_what_the_parameters_resolve_to(conf: Path) -> None:
    config = loader(conf, variant="views_strong", model="vit_tiny", seed=3)
    recipe = recipe_of(config["parameters"])
    assert (recipe.variant, recipe.env, recipe.seed, recipe.model_name) == ("views_strong", "small", 3, "vit_tiny")
    assert recipe.model.width == 192
    assert recipe.views_name == "strong" and recipe.views.pick == (2, 5)
    assert recipe == resolve_recipe(Parameters.model_validate(config.all_parameters()))


def test_nodes_see_what_was_chosen_and_not_what_there_is_to_choose_from(conf: Path) -> None:
    seen = loader(conf)["parameters"]
    assert seen.keys() == RunParams.model_fields.keys() | {"recipe"}


def test_choice_can_be_changed_by_environment_and_command_line(conf: Path) -> None:
    (conf / "small" / "models.yml").write_text("models: {vit_small: {depth: 3}}")
    write(conf, models={"vit_small": {"width": 96}})
    size = recipe_of(loader(conf, models={"vit_small": {"heads": 2}})["parameters"]).model
    assert (size.depth, size.width, size.heads, size.decoder_width) == (3, 96, 2, 512)


def test_users_own_configuration_is_laid_over_any_environment_and_under_the_command_line(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(conf, training={"threads": 3, "log_every": 7}, seed=1)
    (conf / "local").mkdir()
    (conf / "local" / "parameters.yml").write_text("training: {threads: 5, devices: 2}\nvariant: mine")
    (conf / "local" / "variants.yml").write_text("variants: {mine: {pretraining: {mask_ratio: 0.5}}}")
    (conf / "local" / "catalog.yml").write_text("encoder: {type: MemoryDataset, filepath: 'mine/${env:}'}")
    (conf / "local" / "credentials.yml").write_text("bucket: {key: '${oc.env:LMIM_KEY}'}")
    (conf / "local" / "mlflow.yml").write_text("server: {uri: mine}")
    monkeypatch.setenv("LMIM_KEY", "k")
    config = loader(conf, training={"devices": 4})
    training = config["parameters"]["training"]
    assert [training[name] for name in ("threads", "log_every", "devices")] == [5, 7, 4]
    assert config["parameters"]["pretraining"]["mask_ratio"] == 0.5 and config["parameters"]["seed"] == 1
    assert config["catalog"]["encoder"]["filepath"] == "mine/small"
    assert config["credentials"] == {"bucket": {"key": "k"}}
    assert config.own_files == ["catalog.yml", "credentials.yml", "parameters.yml", "variants.yml"]
    config.config_patterns["mlflow"] = ["mlflow*"]  # as a plugin adds a kind of its own
    assert config["mlflow"] == {"server": {"uri": "mine"}} and "mlflow.yml" in config.own_files
    (conf / "local" / "parameters.yml").write_text("training: {treads: 5}")
    assert refusal(conf).startswith("`training.treads` is not a parameter (did you mean `training.threads`?)")


def test_recipe_of_a_recognizer_keeps_how_its_encoder_was_pretrained(conf: Path) -> None:
    before = recipe_of(loader(conf, variant="mask_block_60")["parameters"])
    now = {"pretraining": {"mask_ratio": 0.5}, "finetuning": {"decoder": "ctc"}}
    recipe = resolve_finetuning(recipe_of(loader(conf, variant="mask_block_60", **now)["parameters"]), before)
    assert (recipe.pretraining.mask_ratio, recipe.finetuning.decoder) == (0.6, "ctc")
    saved = before.model_copy(update={"sha256": "of the encoder"})
    recipe = resolve_finetuning(before, saved)
    assert (recipe.sha256, recipe.encoder_sha256) == (None, "of the encoder")  # the recognizer is not made yet


def test_parameters_that_an_encoder_was_not_pretrained_with_are_told(
    conf: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = loader(conf)["parameters"]["recipe"]
    finetune_recipe(recipe_of(loader(conf, finetuning={"decoder": "ctc"})["parameters"]), before)
    assert caplog.messages == []
    finetune_recipe(recipe_of(loader(conf, pretraining={"mask_ratio": 0.5})["parameters"]), before)
    (told,) = caplog.messages
    assert "(pretraining.mask_ratio was 0.8, is 0.5)" in told


def test_encoder_of_other_sizes_than_the_pretrained_one_is_refused(conf: Path) -> None:
    before = recipe_of(loader(conf)["parameters"])
    with pytest.raises(
        InputError, match="`model` is 'vit_tiny', but the encoder was pre-trained as 'vit_small'.*width"
    ):
        resolve_finetuning(recipe_of(loader(conf, model="vit_tiny")["parameters"]), before)


def test_nothing_is_pretrained_where_finetuning_starts_from_a_recognizer(conf: Path) -> None:
    (conf / "base" / "catalog.yml").write_text("teacher: {type: MemoryDataset, filepath: '${teacher_of:}'}\n")
    config = loader(conf, variant="mim", finetuning={"start": "ready"})
    pretraining = recipe_of(config["parameters"]).pretraining
    assert (pretraining.method, pretraining.weights) == ("none", "ready")
    assert config["parameters"]["pretraining"]["method"] == "none"
    assert config["catalog"]["teacher"]["filepath"] == "mim"  # not the teacher that variants share
    assert recipe_of(loader(conf, variant="mim")["parameters"]).pretraining.method == "mim"


def test_recipe_of_a_recognizer_that_was_the_start_tells_of_no_pretraining(
    conf: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = loader(conf)["parameters"]["recipe"]
    asked = recipe_of(loader(conf, finetuning={"start": "ready"})["parameters"])
    for made in (before, None):
        assert Recipe.model_validate(finetune_recipe(asked, made)).pretraining.method == "none"
    assert caplog.messages == []


def test_two_things_to_start_from_are_refused_and_so_is_a_charset_of_nothing(conf: Path) -> None:
    sentence = refusal(conf, pretraining={"weights": "a.pth"}, finetuning={"start": "ready"})
    assert sentence.startswith("`pretraining.weights` is 'a.pth' and `finetuning.start` 'ready'")
    sentence = refusal(conf, finetuning={"charset": "from_start"})
    assert "charset = from_start needs a recognizer to start from: set start, or name a charset" in sentence


def test_crops_are_held_out_in_one_way(conf: Path) -> None:
    sentence = refusal(conf, finetuning={"validation": {"share": 0.1, "sources": ["mine"]}})
    assert sentence.startswith(
        "`finetuning.validation` cannot be used: share and sources are two ways to hold crops out"
    )
    held = {"sources": ["mine"], "metric": "ned"}
    validation = recipe_of(loader(conf, finetuning={"validation": held})["parameters"]).finetuning.validation
    assert validation.on and (validation.sources, validation.metric) == (("mine",), "ned")
    assert not recipe_of(loader(conf)["parameters"]).finetuning.validation.on


def test_chinese_environment_is_the_papers_recognizer(project: Path) -> None:
    """Section 4.1 and Table 6: 7,934 characters, 40 symbols, 60 epochs, 43.8 M parameters."""
    import torch

    from lmim_kedro.models.recognizer import Recognizer
    from lmim_kedro.text.charset import Charset

    parameters = loader(project / "conf", "chinese")["parameters"]
    recipe = recipe_of(parameters)
    assert (recipe.env, recipe.finetuning.max_length, recipe.finetuning.optimization.epochs) == ("chinese", 40, 60)
    assert parameters["evaluation"]["metric"] == recipe.finetuning.validation.metric == "chinese"
    charset = Charset.named(recipe.finetuning.charset)
    assert len(charset) == 7934
    with torch.device("meta"):
        recognizer = Recognizer(recipe.model, charset, recipe.finetuning.decoder, recipe.finetuning.max_length)
    assert sum(parameter.numel() for parameter in recognizer.parameters()) == 43_827_457
    assert recognizer.longest_label == 39


@pytest.mark.parametrize(("model", "least", "most"), [("conv_tiny", 0.65, 0.75), ("conv_small", 2.0, 5.0)])
def test_presets_with_a_stem_have_32_columns_and_the_size_that_they_are_said_to_have(
    project: Path, model: str, least: float, most: float
) -> None:
    import torch

    from lmim_kedro.models.recognizer import Recognizer
    from lmim_kedro.text.charset import Charset

    size = recipe_of(loader(project / "conf", "sample", model=model)["parameters"]).model
    with torch.device("meta"):
        recognizer = Recognizer(size, Charset.named("english_36"), "ctc")
    assert least <= sum(parameter.numel() for parameter in recognizer.parameters()) / 1e6 <= most
    assert (size.rows, size.columns, len(size.stem)) == (1, 32, 4)


def test_chinese_environment_has_the_test_sets_of_the_chinese_protocol(project: Path) -> None:
    catalog = loader(project / "conf", "chinese")["catalog"]
    assert tuple(catalog["benchmarks.sources"]["sources"]) == get_protocol("chinese").subsets


@pytest.mark.parametrize(
    ("variant", "owner"),
    [
        ("lmim", "teacher"),
        ("mask_block_60", "teacher"),
        ("mim", "mim"),
        ("target_pixel", "target_pixel"),
        ("target_random", "target_random"),
        ("scratch", "scratch"),
    ],
)
def test_variants_that_do_not_change_the_teacher_share_one(project: Path, variant: str, owner: str) -> None:
    found = loader(project / "conf", "mini", variant=variant, seed=3)["catalog"]["teacher"]
    assert found["filepath"] == f"data/06_models/{owner}/mini/seed3/teacher"


def test_configuration_in_an_archive_is_read_and_checked_as_in_a_folder(conf: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "conf.tar.gz", "w:gz") as archive:
        archive.add(conf, "conf")
    packed = loader(tmp_path / "conf.tar.gz", seed=3)
    assert packed["parameters"]["seed"] == 3 and packed["catalog"] == loader(conf)["catalog"]
    with pytest.raises(InputError) as caught:
        ConfigLoader(tmp_path / "conf.tar.gz", "smal", **CONFIG_LOADER_ARGS)
    assert str(caught.value) == (
        f"there is no environment `smal` (did you mean `small`?): {tmp_path / 'conf.tar.gz'} has base, small; choose "
        "one of them with --env"
    )


def test_a_folder_without_configuration_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no configuration at .*conf: run in the folder that holds it"):
        ConfigLoader(tmp_path / "conf", **CONFIG_LOADER_ARGS)
