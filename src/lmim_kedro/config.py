"""The configuration loader: base, environment, variant and command line become one checked set of parameters."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from lmim_kedro.errors import InputError, did_you_mean
from lmim_kedro.files import read_text
from lmim_kedro.parameter_errors import FILES, Place, check, dotted
from lmim_kedro.params import CHOICES, FinetuningParams, Parameters, pick
from lmim_kedro.recipe import resolve_recipe, teacher_of

LOCAL = "local"
RENAMED_ENVIRONMENTS = {"tables": "quick"}


class ConfigLoader(OmegaConfigLoader):
    """Kedro's loader, with the user's own conf/local, variants, checked parameters and three resolvers for the catalog.

    Each kind of configuration is conf/base, then the environment, then conf/local, also where Kedro's plugins ask for a
    kind of their own (`["mlflow"]`); `own_files` names the files of conf/local that were read so far.

    `["parameters"]` is conf/base, then the environment, then conf/local, then what the chosen fine-tuning preset
    changes, then the chosen variant, then what the command line gave. All is checked once against
    `params.Parameters`, and so is every other preset and variant. Where `finetuning.start` names a recognizer, nothing
    is pre-trained: `pretraining.method` becomes none, and `pretraining.weights` that recognizer. Added are `env`, the
    name of the environment, and `recipe`, which holds the chosen model and view preset; the others (`params.CHOICES`)
    are left out.

    In the catalog, `${env:}` is the environment and `${parameter:a.b}` the value of a parameter (`${parameter:a.b,c}`:
    c where it is null); `${teacher_of:}` is `teacher` where the variant has the teacher that all variants share, else
    the variant's name.

    Errors: InputError for an environment, variant, preset, name or value that does not exist or is not allowed.
    """

    def __init__(
        self,
        conf_source: str | Path,
        env: str | None = None,
        runtime_params: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> None:
        self._checked: dict[str, Any] | None = None
        self._own: set[Path] = set()
        super().__init__(conf_source, env, runtime_params, **arguments)
        self._check_environment()

    @property
    def run_env(self) -> str:
        """Name of the run environment: what --env says, or the project's default."""
        return self.env or self.default_run_env

    @property
    def own_files(self) -> list[str]:
        """Files of conf/local that were read so far, as paths in it, in the order of names."""
        local = Path(self.conf_source) / LOCAL
        return sorted(file.relative_to(local).as_posix() for file in self._own)

    def __getitem__(self, key: str) -> Any:
        # OmegaConf keeps one resolver of a name per process: the loader that is being read takes the names.
        OmegaConf.register_new_resolver("env", lambda: self.run_env, replace=True)
        OmegaConf.register_new_resolver("parameter", self._parameter, replace=True)
        OmegaConf.register_new_resolver("teacher_of", self._teacher_of, replace=True)
        try:
            if key in self and key != "globals":
                return super().__getitem__(key)
            if key == "parameters":
                parameters = deepcopy(self.all_parameters())
                recipe = resolve_recipe(parameters).model_dump(mode="json")
                return {name: group for name, group in parameters.items() if name not in CHOICES} | {"recipe": recipe}
            if key == "catalog":
                self.all_parameters()  # here, because OmegaConf would wrap what a resolver raises
            return self._layered(key)
        except (YAMLError, OmegaConfBaseException, ValueError, RecursionError, AttributeError, TypeError) as error:
            if isinstance(error, InputError) or (found := self._fault(error)) is None:
                raise
            raise InputError(found) from error

    def _fault(self, error: Exception) -> str | None:
        """What is wrong with a file of configuration; None for an error that no file explains."""
        folders = [Path(self.conf_source) / name for name in (self.base_env or "", self.run_env, LOCAL)]
        for file in sorted(file for folder in folders for file in folder.rglob("*.y*ml")):
            try:
                content = OmegaConf.create(read_text(file))
            except InputError as fault:
                return str(fault)
            except (YAMLError, OmegaConfBaseException, RecursionError, ValueError, AttributeError) as fault:
                return f"{file} is not YAML that can be read ({' '.join(str(fault).split())}): mend it"
            if not isinstance(content, DictConfig):
                return f"{file} holds no names with values: write it as lines of `name: value`"
        return " ".join(str(error).split()) if isinstance(error, YAMLError | OmegaConfBaseException) else None

    def _layered(self, key: str) -> dict[str, Any]:
        """One kind of configuration: base, then the environment, then the user's own conf/local."""
        local = Path(self.conf_source) / LOCAL
        own: dict[str, Any] = {}
        if self.run_env != LOCAL and local.is_dir():
            secret = key == "credentials"  # of which values may come from environment variables
            own = self.load_and_merge_dir_config(str(local), self.config_patterns[key], key, self._own, secret)
        try:
            found = super().__getitem__(key)
        except MissingConfigException:
            if not own:
                raise
            found = {}
        return _merge(found, own) if self.merge_strategy.get(key) == "soft" else {**found, **own}

    def all_parameters(self) -> dict[str, Any]:
        """All that the files hold, with preset, variant and command line merged in, and checked."""
        if self._checked is None:
            written = self._layered("parameters")
            if "env" in written:
                raise InputError(f"`env` is given as {written['env']!r}: choose the environment with --env instead")
            for choice in CHOICES:
                # A file or a command line may name one among the parameters too: it is laid over its own file.
                own = self._layered(choice) if choice in self.config_patterns else {}
                written = _merge(own, written)
            self._checked = merge_and_check({"env": self.run_env, **written}, self.runtime_params)
        return self._checked

    def _check_environment(self) -> None:
        """See that there is a configuration, in a folder or an archive of one, and the environment in it."""
        conf, env = Path(self._get_conf_env_path("")), self.run_env
        if not self._fs.isdir(conf.as_posix()):
            raise InputError(
                f"there is no configuration at {self.conf_source}: run in the folder that holds it, or name it with "
                "--conf-source"
            )
        if not env or self._fs.isdir((conf / env).as_posix()):
            return
        if now := RENAMED_ENVIRONMENTS.get(env):
            raise InputError(f"the environment `{env}` is called `{now}` now: choose it with --env={now}")
        paths = self._fs.ls(conf.as_posix(), detail=False)
        known = sorted(Path(path).name for path in paths if self._fs.isdir(path))
        raise InputError(
            f"there is no environment `{env}`{did_you_mean(env, known)}: {self.conf_source} has "
            f"{', '.join(known) or 'none'}; choose one of them with --env"
            + (f", or make the folder {conf / env}" if self._protocol == "file" else "")
        )

    def _parameter(self, name: str, otherwise: Any = None) -> Any:
        value: Any = self.all_parameters()
        for part in name.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise InputError(f"the catalog asks for ${{parameter:{name}}}, but {FILES} have no such parameter")
            value = value[part]
        return otherwise if value is None else value

    def _teacher_of(self) -> str:
        return teacher_of(Parameters.model_validate(self.all_parameters()))


def merge_and_check(written: dict[str, Any], runtime_params: dict[str, Any]) -> dict[str, Any]:
    """Lay fine-tuning preset, variant and command line, in this order, over what is written, and check everything.

    Args:
        written: base and environment, merged; the command line's values may be in it.
        runtime_params: what `--params` gave, nested.

    Returns: the parameters of the run, plain values. Errors: InputError, naming the parameter.
    """
    variants, variant = written.get("variants"), written.get("variant")
    if not isinstance(variants, Mapping):
        raise InputError(f"`variants` is {variants!r}, but it must map the name of each variant to what it changes")
    presets = written.get("finetuning_presets")
    if not isinstance(presets, Mapping):
        raise InputError(f"`finetuning_presets` is {presets!r}, but it must map the name of each to what it changes")
    for group, named in (("variants", variants), ("finetuning_presets", presets)):
        for name, changes in named.items():
            if not isinstance(changes, Mapping):
                raise InputError(
                    f"`{group}.{name}` is {changes!r}, but it must map parameters to values; {{}} for none"
                )

    changes = pick(variants, variant, "variant")
    in_variant = _name_in_variant(str(variant), changes)

    def given_by(place: Place) -> str | None:
        return dotted(place) if _inside(runtime_params, place) else in_variant(place)

    name, layer = _finetuning_preset(presets, given_by, written, changes, runtime_params)
    in_preset = _name_in_preset(name, layer)
    merged = _merge(written, layer, changes, runtime_params)
    check(merged, lambda place: given_by(place) or in_preset(place) or dotted(place))
    merged = _merge(merged, _instead_of_pretraining(merged))
    for other, preset in presets.items():
        layer = {"finetuning": preset}
        check(_merge(written, layer), _name_in_preset(other, layer))
    for other in variants.keys() - {variant}:
        its_name = _name_in_variant(other, variants[other])
        _, layer = _finetuning_preset(presets, its_name, written, variants[other])
        check(_merge(written, layer, variants[other]), its_name)
    return merged


def _instead_of_pretraining(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The layer of `finetuning.start`: nothing is pre-trained, and the encoder is that of the recognizer."""
    start, weights = parameters["finetuning"].get("start"), parameters["pretraining"].get("weights")
    if start is None:
        return {}
    if weights not in (None, start):
        raise InputError(
            f"`pretraining.weights` is {weights!r} and `finetuning.start` {start!r}, but fine-tuning can start from "
            "one of them: set the other one to null"
        )
    return {"pretraining": {"method": "none", "weights": start}}


def _finetuning_preset(
    presets: Mapping[str, Any], full_name: Callable[[Place], str | None], *layers: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Name of the fine-tuning preset that the layers ask for, and the layer that it is."""
    finetuning = _merge(*layers).get("finetuning")
    if not isinstance(finetuning, Mapping):
        return "", {}  # wrong anyway, and for the check to say
    name = finetuning.get("preset", FinetuningParams.model_fields["preset"].default)
    preset = pick(presets, name, full_name(("finetuning", "preset")) or "finetuning.preset")
    return name, {"finetuning": {**preset, "preset": name}}


def _name_in_variant(variant: str, changes: Mapping[str, Any]) -> Callable[[Place], str | None]:
    return lambda place: dotted(("variants", variant, *place)) if _inside(changes, place) else None


def _name_in_preset(preset: str, layer: Mapping[str, Any]) -> Callable[[Place], str | None]:
    def name(place: Place) -> str | None:
        inside = len(place) > 1 and _inside(layer, place)
        return dotted(("finetuning_presets", preset, *place[1:])) if inside else None

    return name


def _inside(tree: Mapping[str, Any], place: Place) -> bool:
    """Whether a nested mapping gives a value at a place, or to something that holds it."""
    node: Any = tree
    for part in place:
        if not isinstance(node, Mapping):
            return True
        if part not in node:
            return False
        node = node[part]
    return True


def _merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings laid over one another; what is not a mapping replaces what was there."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = merged.get(key)
            if isinstance(below, Mapping) and isinstance(value, Mapping):
                merged[key] = _merge(below, value)
            else:
                merged[key] = deepcopy(value)
    return merged
