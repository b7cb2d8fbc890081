"""What happens around every run: inputs are checked and folders locked before it, its steps named, results listed."""

import logging
import shlex
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path, PurePath
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from tabulate import tabulate

from lmim_kedro.config import ConfigLoader
from lmim_kedro.datasets.crop_sources import CropSources
from lmim_kedro.datasets.models import ModelDataset
from lmim_kedro.errors import InputError
from lmim_kedro.locks import WAIT
from lmim_kedro.params import RunParams
from lmim_kedro.pipeline_registry import STAGES
from lmim_kedro.recipe import Recipe
from lmim_kedro.registries import DECODERS
from lmim_kedro.run_folders import RunFolders, folders_written, place_of, steps_to_run
from lmim_kedro.run_models import require_pairs, require_recipes
from lmim_kedro.text.marks import show_controls

if TYPE_CHECKING:
    from lmim_kedro.training.tracking import MLflowRun

log = logging.getLogger(__name__)

_FEW = 3
"""Missing datasets of which each is named with its place."""


class RunHooks:
    """One line per step while a pipeline runs, and a sentence where it cannot."""

    def __init__(self) -> None:
        self._config: Any = None
        self._tracked: MLflowRun | None = None
        self._steps: list[str] = []
        self._seconds: dict[str, float] = {}
        self._begun = 0
        self._start = 0.0
        self._folders = RunFolders()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep the configuration, which knows the files of conf/local that it was read from.

        And let no name of a file move the cursor of a terminal that shows the log.
        """
        self._config = context.config_loader
        show_controls()

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Refuse to start a pipeline whose inputs are not there yet, and lock the folders that it writes to.

        Fine-tuning that starts from a whole recognizer needs none of what pre-training makes.

        Errors: InputError with what is wrong, and the command to run.
        """
        if isinstance(self._config, ConfigLoader) and self._config.own_files:
            log.info("from conf/local, over conf/%s: %s", self._config.run_env, ", ".join(self._config.own_files))
        forgo_pretraining(pipeline, catalog)
        steps = self._check(run_params, pipeline, catalog)
        if self._folders.take(folders_written(steps, catalog), WAIT.get()):
            try:  # another run has written there meanwhile
                steps = self._check(run_params, pipeline, catalog)
            except InputError:
                self._folders.release()
                raise
            self._folders.keep(folders_written(steps, catalog))
        self._tracked = begin_tracking({node.short_name for node in steps.nodes}, catalog)
        self._steps = [node.name for node in steps.nodes]
        self._begun, self._start = 0, perf_counter()
        self._seconds = {}

    def _check(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> Pipeline:
        """Check all that a run needs before its first step; returns the steps that it will take."""
        steps = steps_to_run(pipeline, catalog) if run_params.get("only_missing_outputs") else pipeline
        require_inputs(run_params, steps, catalog)
        require_named_files({node.short_name for node in pipeline.nodes}, catalog)
        require_sources(steps, catalog, run_params["project_path"])
        require_pairs(steps, catalog, run_params["project_path"])
        if run_params.get("only_missing_outputs") and "params:recipe" in catalog:
            recipe = Recipe.model_validate(catalog["params:recipe"].load())
            require_recipes(pipeline, catalog, run_params["project_path"], recipe)
        return steps

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Let go of a folder with the last of its results."""
        self._folders.saved(dataset_name)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Say which step begins."""
        self._begun += 1
        self._seconds[node.name] = -perf_counter()
        of = f"/{len(self._steps)}" if self._steps else ""  # a process of ParallelRunner does not know how many
        log.info("step %d%s: %s", self._begun, of, node.name)

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Note how long a step took."""
        self._seconds[node.name] += perf_counter()

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Say what was made where, in which time, and with which scores; the page to open comes last.

        Results of training are in the catalog now, so what was kept of them for the case of a stop is removed.
        """
        if "training_state" in pipeline.inputs():
            from lmim_kedro.training.state import forget_finished

            forget_finished(catalog["training_state"].load())
        self._folders.release()
        places = {
            name: place
            for node in pipeline.nodes
            for name in node.outputs
            if (place := place_of(catalog, name, run_params["project_path"]))
        }
        if "scores" in places:
            from lmim_kedro.reporting.sections import headline

            for line in headline(catalog["scores"].load()):
                log.info(line)
        steps = "1 step" if len(self._steps) == 1 else f"{len(self._steps)} steps"
        table = made_table(pipeline.nodes, self._seconds, places)
        log.info("%s in %.0f s%s", steps, perf_counter() - self._start, f"\n{table}" if table else "")
        for place in places.values():
            if place.endswith(".html"):
                log.info("open %s", place)
        if self._tracked is not None:
            if "metrics" in places:
                self._tracked.log(catalog["metrics"].load())
            if "report" in places:
                self._tracked.attach(Path(run_params["project_path"]) / places["report"])
            self._tracked.end()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Let go of all folders, and let MLflow know that the run has ended before its end."""
        self._folders.release()
        if self._tracked is not None:
            self._tracked.end("FAILED")


def begin_tracking(steps: Set[str], catalog: DataCatalog) -> "MLflowRun | None":
    """The run in MLflow, with the recipe as its parameters; None where `training.loggers` has no mlflow.

    Args:
        steps: names of nodes, without the namespace; of those that neither train nor score, nothing is tracked.
    """
    if not steps & {"make_teacher", "pretrain", "finetune", "score_predictions"} or "params:recipe" not in catalog:
        return None
    parameters = RunParams.model_validate(catalog["parameters"].load())
    if "mlflow" not in parameters.training.loggers:
        return None
    from lmim_kedro.training.tracking import MLflowRun

    recipe = Recipe.model_validate(catalog["params:recipe"].load())
    name = f"{recipe.variant}/{recipe.env}/seed{recipe.seed}"
    return MLflowRun(catalog["training_state"].load() / "mlflow", name, recipe.model_dump(mode="json"))


def made_table(nodes: Iterable[Node], seconds: Mapping[str, float], places: Mapping[str, str]) -> str:
    """What a run made: a row for each stage and folder, with the minutes of the stage in its first row.

    Args:
        nodes: the steps, in their order.
        seconds: of each step that this process ran.
        places: dataset -> its path; what is kept in memory is not among them.

    Example:
        >>> step = Node(lambda crops: (crops, crops), "crops", ["encoder", "losses"], name="pretrain.train")
        >>> places = {"encoder": "data/mine/encoder", "losses": "data/mine/losses.csv"}
        >>> print(made_table([step], {"pretrain.train": 90}, places))
        stage       minutes  made             where
        --------  ---------  ---------------  ---------
        pretrain        1.5  encoder, losses  data/mine
    """
    stages: dict[str, dict[str, list[str]]] = {}
    minutes: dict[str, float] = {}
    for node in nodes:
        stage = node.name.partition(".")[0]
        minutes[stage] = minutes.get(stage, 0.0) + seconds.get(node.name, 0.0) / 60
        for name in node.outputs:
            if name in places:
                folder = str(PurePath(places[name]).parent)
                stages.setdefault(stage, {}).setdefault(folder, []).append(name)
    rows = [
        (stage if first else "", round(minutes[stage], 1) if first else None, ", ".join(names), folder)
        for stage, folders in stages.items()
        for first, (folder, names) in zip([True, *[False] * len(folders)], folders.items(), strict=False)
    ]
    return tabulate(rows, ("stage", "minutes", "made", "where"), maxcolwidths=[None, None, 60, None]) if rows else ""


def forgo_pretraining(pipeline: Pipeline, catalog: DataCatalog) -> None:
    """Ask for nothing that `pretrain` makes, where fine-tuning starts from a whole recognizer: it looks at none of it.

    What other steps of the run read too is still asked for.
    """
    if "finetune" not in {node.short_name for node in pipeline.nodes}:
        return
    if RunParams.model_validate(catalog["parameters"].load()).finetuning.start is not None:
        read = {name for node in pipeline.nodes if node.short_name != "finetune" for name in node.inputs}
        if unread := sorted({"encoder", "pretraining_recipe"} & pipeline.inputs() - read):
            log.info("fine-tuning starts from a whole recognizer: no %s is read", " and no ".join(unread))
        for name in unread:
            catalog[name] = MemoryDataset(None)


def require_inputs(run_params: Mapping[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
    """Check that what other steps make for this pipeline exists; raw inputs are their datasets' own business.

    Errors: InputError naming each dataset once, whose pipeline makes it, and the command that does.
    """
    missing: dict[str, dict[str, str]] = {}  # stage -> dataset -> where it should be
    for name in sorted(pipeline.inputs()):
        if (stage := _producer(name)) is None:
            continue
        if name not in catalog:
            maker = next(node.name for node in pipelines[stage].nodes if name in node.outputs)
            missing.setdefault(stage, {})[name] = f"(in memory only, from {maker})"
        elif place := _missing_place(catalog, name, run_params["project_path"]):
            missing.setdefault(stage, {})[name] = f"at {place}"
    if not missing:
        return
    stages = [stage for stage in STAGES if stage in missing]
    count = sum(map(len, missing.values()))
    listed = []
    for stage in stages:
        names = [f'"{name}"' + (f" {place}" if count <= _FEW else "") for name, place in missing[stage].items()]
        listed.append(_and(names) + (f" (of {stage})" if len(stages) > 1 else ""))
    env = run_params.get("env") or catalog["params:env"].load()
    own = {node.name.partition(".")[0] for node in pipeline.nodes}  # stages of which steps were left out
    advice = command(",".join(stages), env, run_params.get("runtime_params") or {})
    raise InputError(
        f"{'; '.join(listed)} {'is' if count == 1 else 'are'} not there yet: run `{advice}` "
        f"{'instead' if own & {*stages} else 'first'}"
    )


def require_sources(pipeline: Pipeline, catalog: DataCatalog, project: str | Path) -> None:
    """Check the paths of all raw crops before hours go into packing the first.

    Errors: InputError, a line for each source that cannot be opened. Where there is nothing at the paths of several,
    they are listed by their set, and what to do is said once.
    """
    inputs = {name: catalog.get(name) for name in sorted(pipeline.inputs())}
    sources = {name: dataset for name, dataset in inputs.items() if isinstance(dataset, CropSources)}
    absent = {name: paths for name, dataset in sources.items() if (paths := dataset.absent())}
    if sum(map(len, absent.values())) == 1:
        absent = {}
    lines = [
        sentence
        for name, dataset in sources.items()
        for source, sentence in dataset.faults().items()
        if source not in absent.get(name, ())
    ]
    for name, paths in absent.items():
        here = {source: _in_project(path, project) for source, path in paths.items()}
        lines += [f"nothing is there yet of {name}:", tabulate(here.items(), tablefmt="plain")]
    if absent:
        lines.append("link the data to these places, or name others in conf/<env>/catalog_ingest.yml (docs/data.md)")
    if lines:
        raise InputError("\n".join(lines))


def require_named_files(steps: Set[str], catalog: DataCatalog) -> None:
    """Check, before the first step, what parameters name and only later steps open. Errors: InputError.

    Args:
        steps: names of nodes, without the namespace.
    """
    if not steps & {"make_teacher", "pretrain", "finetune", "read_benchmarks", "read_crops", "read_unlabeled"}:
        return
    from lmim_kedro.models.folder import (
        WEIGHTS,
        named_place,
        read_config,
        require_charset,
        require_encoder,
        require_undamaged,
    )

    parameters = RunParams.model_validate(catalog["parameters"].load())
    model, start = Recipe.model_validate(catalog["params:recipe"].load()).model, parameters.finetuning.start
    if "finetune" in steps:
        from lmim_kedro.text.charset import FOUND, Charset

        if parameters.finetuning.charset not in FOUND:
            Charset.named(parameters.finetuning.charset)
    if "read_crops" in steps:
        require_prediction(parameters, catalog)
    elif "read_benchmarks" in steps and "finetune" not in steps and catalog["recognizer"].exists():
        require_charset(cast(ModelDataset, catalog["recognizer"]).path, parameters.finetuning.charset)
    if "read_benchmarks" in steps and (beside := parameters.evaluation.beside) is not None:
        try:
            read_config(named_place(beside), "recognizer")
            require_undamaged(named_place(beside), WEIGHTS)
        except InputError as error:
            raise InputError(f"`evaluation.beside`: {error}") from error
    if "read_unlabeled" in steps:
        require_reader_of_unlabeled(parameters, catalog)
    named = {
        "make_teacher": ("pretraining.teacher.path", parameters.pretraining.teacher.path),
        "pretrain": ("pretraining.weights" if start is None else "finetuning.start", parameters.pretraining.weights),
        "finetune": ("finetuning.start", start),
    }
    for step, (parameter, path) in named.items():
        if step in steps and path is not None:
            if not named_place(path).exists():
                raise InputError(f"`{parameter}`: there is no checkpoint at {path}: check the path")
            if named_place(path).is_dir():
                require_encoder(path, model)
                require_undamaged(named_place(path), WEIGHTS)
    from lmim_kedro.training.device import named_device, pick_device  # from here on, torch is imported

    if "finetune" in steps:
        DECODERS[parameters.finetuning.decoder].require_steps(parameters.finetuning.max_length)
        if start is not None:
            from lmim_kedro.models.start import load_start

            load_start(parameters.finetuning, model)
    alone = parameters.training.devices == parameters.training.nodes == 1
    (pick_device if alone else named_device)(parameters.training.device)  # of several, each touches its own GPU only


def require_prediction(parameters: RunParams, catalog: DataCatalog) -> None:
    """Check what `predict` is to read, and that there is a recognizer. Errors: InputError."""
    from lmim_kedro.crops.sources.open import detect
    from lmim_kedro.models.folder import require_charset
    from lmim_kedro.text.allowed import Allowed

    predict = parameters.predict
    if predict.source is None:
        raise InputError(
            "`predict.source` is null: name the folder, LMDB or list of crops to read, as in "
            "`kedro run --pipelines=predict --params=predict.source=FOLDER`"
        )
    if not Path(predict.source).exists() and "*" not in predict.source:
        raise InputError(f"`predict.source`: there is nothing at {predict.source}: check the path")
    try:
        detect(Path(predict.source), predict.layout)
    except InputError as error:
        raise InputError(f"`predict.source` or `predict.layout`: {error}") from error
    Allowed.of(predict.charset, predict.lexicon, predict.pattern)
    recognizer = cast(ModelDataset, catalog["predict.recognizer"])
    if not recognizer.exists():
        folder = recognizer.path
        raise InputError(
            f"there is no recognizer at {folder}: "
            + (
                "check the path in `predict.recognizer`"
                if predict.recognizer
                else "make it with `kedro run` and the --env of this run, or name another one as `predict.recognizer`"
            )
        )
    if predict.recognizer is None:
        require_charset(recognizer.path, parameters.finetuning.charset)


def require_reader_of_unlabeled(parameters: RunParams, catalog: DataCatalog) -> None:
    """Check that `selftrain` has a recognizer that reads, and that this run does not write over it.

    Errors: InputError.
    """
    from lmim_kedro.models.folder import named_place, read_config
    from lmim_kedro.pipelines.selftrain.nodes import reader_of

    named = reader_of(Recipe.model_validate(catalog["params:recipe"].load()), parameters.selftrain)
    try:
        read_config(named_place(named), "recognizer")
    except InputError as error:
        which = "selftrain.recognizer" if parameters.selftrain.recognizer else "finetuning.start"
        raise InputError(f"`{which}`: {error}") from error
    if named_place(named).resolve() == cast(ModelDataset, catalog["recognizer"]).path.resolve():
        raise InputError(
            f"{named} reads the unlabeled crops, and this run would write over it: give the run a variant of its own, "
            "`--params=variant=selftrain`"
        )


def command(stage: str, env: str, runtime_params: Mapping[str, Any]) -> str:
    """The command line that runs one stage in an environment, with the parameters given to this run.

    It is Kedro's in the project's folder, and the package's own elsewhere, where Kedro knows no `run`.
    """
    program = "kedro" if Path("pyproject.toml").is_file() else "lmim-kedro"
    words = [program, "run", f"--env={env}", f"--pipelines={stage}"]
    if given := list(_flat(runtime_params)):
        words.append(f"--params={','.join(given)}")
    return shlex.join(words)


def _in_project(path: Path, project: str | Path | None) -> str:
    return str(path.relative_to(project) if project and path.is_relative_to(project) else path)


def _producer(name: str) -> str | None:
    """The stage whose pipeline makes a dataset."""
    return next((stage for stage in STAGES if stage in pipelines and name in pipelines[stage].all_outputs()), None)


def _and(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


def _missing_place(catalog: DataCatalog, name: str, project: str | Path) -> str | None:
    """Where the data of a dataset should be and is not; None if it is there or kept in memory."""
    place = place_of(catalog, name, project)
    dataset = catalog.get(name)
    if place is None or dataset is None:
        return None
    # Some of Kedro's datasets cannot tell, and would say no: then the file is looked for.
    return None if (Path(project) / place).is_file() or dataset.exists() else place


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={'null' if value is None else value}"
