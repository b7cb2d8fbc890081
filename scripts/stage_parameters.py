"""Write the parameters that each DVC stage depends on: `python scripts/stage_parameters.py --env=quick`.

For every variant, conf/base, the environment, conf/local, the fine-tuning preset and the variant are laid over one
another, as `kedro run` does it. Of the result, each stage gets a file with what it uses, below
data/02_intermediate/parameters/ENV: a change of one parameter changes the files of the stages that use it alone.
dvc.yaml runs this first. What only says how a machine does the work (`training`, MACHINE) is in no file.
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from lmim_kedro.config import ConfigLoader
from lmim_kedro.errors import InputError
from lmim_kedro.files import write_json
from lmim_kedro.params import Parameters
from lmim_kedro.recipe import resolve_recipe
from lmim_kedro.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path("data/02_intermediate/parameters")
USES = ("pretraining", "finetuning", "benchmarks")
MACHINE = {"workers", "engine", "scheduler"}
"""Of `ingest`."""
CHARACTERS = ("charset", "decoder", "max_length", "start")
"""Of `finetuning`: what the data card checks labels against."""


def main(arguments: list[str] | None = None) -> int:
    """Write the files of an environment anew; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", required=True, help="a folder of conf/")
    parser.add_argument("--conf", type=Path, default=ROOT / "conf", help="the configuration")
    given = parser.parse_args(arguments)
    try:
        write(given.conf, given.env, TARGET / given.env)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def write(conf: Path, env: str, target: Path) -> None:
    """Replace `target`: a file for each stage that all variants share, and a folder of files for each variant.

    Errors: InputError for an environment or a parameter that cannot be used.
    """
    default = _loader(conf, env)
    parameters = default.all_parameters()
    found = {"": shared(parameters, default["catalog"])}
    for variant in parameters["variants"]:
        found[variant] = of_variant(_loader(conf, env, variant=variant).all_parameters())
    shutil.rmtree(target, ignore_errors=True)
    for folder, stages in found.items():
        for stage, content in stages.items():
            write_json(target / folder / f"{stage}.json", content)


def shared(parameters: dict[str, Any], catalog: dict[str, Any]) -> dict[str, Any]:
    """What the stages `ingest`, `teacher` and `paper` use, which run once for all variants."""
    recipe = resolve_recipe(parameters).model_dump(mode="json")
    return {
        "ingest": {
            "sources": {use: catalog[f"{use}.sources"] for use in USES},
            "ingest": {name: value for name, value in _checked(parameters)["ingest"].items() if name not in MACHINE},
            "model": recipe["model"],
            "finetuning": {name: recipe["finetuning"][name] for name in CHARACTERS},
            "card": _checked(parameters)["card"],
        },
        "teacher": {name: recipe[name] for name in ("model", "pretraining")},
        "paper": {"evaluation": _checked(parameters)["evaluation"]},
    }


def of_variant(parameters: dict[str, Any]) -> dict[str, Any]:
    """What the stages `views`, `pretrain`, `finetune`, `evaluate` and `report` of a variant use."""
    recipe, checked = resolve_recipe(parameters).model_dump(mode="json"), _checked(parameters)
    encoder = {name: recipe[name] for name in ("model", "pretraining")}
    # A recognizer that starts from a whole one has the recipe of its own run; others have that of their encoder.
    own = {} if recipe["finetuning"]["start"] is None else encoder
    return {
        "views": {
            "seed": recipe["seed"],
            "model": recipe["model"],
            "augmentation": recipe["finetuning"]["augmentation"],
            "ingest": {"shard_crops": checked["ingest"]["shard_crops"]},
            "preset": recipe["views"],
            "views": checked["views"],
        },
        "pretrain": encoder | {"preset": recipe["views"], "views": {"materialize": checked["views"]["materialize"]}},
        "finetune": own | {"model": recipe["model"], "finetuning": recipe["finetuning"]},
        "evaluate": {"evaluation": checked["evaluation"]},
        "report": {name: checked[name] for name in ("evaluation", "card")},
    }


def _loader(conf: Path, env: str, **runtime_params: Any) -> ConfigLoader:
    return ConfigLoader(conf, env, runtime_params, **CONFIG_LOADER_ARGS)


def _checked(parameters: dict[str, Any]) -> dict[str, Any]:
    return Parameters.model_validate(parameters).model_dump(mode="json")


if __name__ == "__main__":
    sys.exit(main())
