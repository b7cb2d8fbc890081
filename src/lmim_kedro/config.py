"""The configuration loader: base, environment, variant and command line become one checked set of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf
from pydantic import BaseModel, ValidationError
from yaml import YAMLError

from lmim_kedro.errors import InputError
from lmim_kedro.params import Parameters, did_you_mean, pick, teacher_of

FILES = "conf/<env>/parameters*.yml"
Place = tuple[int | str, ...]  # of a parameter: ("pretraining", "mask_ratio")


class ConfigLoader(OmegaConfigLoader):
    """Kedro's loader, with variants, checked parameters and three resolvers for the catalog.

    `["parameters"]` is conf/base, then the environment, then the chosen variant's changes, then what the command line
    gave; `env`, the name of the environment, is added. All is checked once against `params.Parameters`, and so is every
    other variant. In the catalog, `${env:}` is that name and `${parameter:a.b}` the value of a parameter
    (`${parameter:a.b,c}`: c where it is null); `${teacher_of:}` is `teacher` where the variant has the teacher that all
    variants share, else the variant's name.

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
        super().__init__(conf_source, env, runtime_params, **arguments)
        if self._protocol == "file":
            _check_environment(Path(conf_source), self.run_env)

    @property
    def run_env(self) -> str:
        """Name of the run environment: what --env says, or the project's default."""
        return self.env or self.default_run_env

    def __getitem__(self, key: str) -> Any:
        # OmegaConf keeps one resolver of a name per process: the loader that is being read takes the names.
        OmegaConf.register_new_resolver("env", lambda: self.run_env, replace=True)
        OmegaConf.register_new_resolver("parameter", self._parameter, replace=True)
        OmegaConf.register_new_resolver("teacher_of", self._teacher_of, replace=True)
        try:
            if key == "parameters" and key not in self:
                return deepcopy(self._parameters())
            if key == "catalog":
                self._parameters()  # here, because OmegaConf would wrap what a resolver raises
            return super().__getitem__(key)
        except YAMLError as error:
            raise InputError(str(error)) from error

    def _parameters(self) -> dict[str, Any]:
        if self._checked is None:
            written = super().__getitem__("parameters")
            if "env" in written:
                raise InputError(f"`env` is given as {written['env']!r}: choose the environment with --env instead")
            self._checked = merge_and_check({"env": self.run_env, **written}, self.runtime_params)
        return self._checked

    def _parameter(self, name: str, otherwise: Any = None) -> Any:
        value: Any = self._parameters()
        for part in name.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise InputError(f"the catalog asks for ${{parameter:{name}}}, but {FILES} have no such parameter")
            value = value[part]
        return otherwise if value is None else value

    def _teacher_of(self) -> str:
        return teacher_of(Parameters.model_validate(self._parameters()))


def merge_and_check(written: dict[str, Any], runtime_params: dict[str, Any]) -> dict[str, Any]:
    """Lay the chosen variant's changes and then the command line's over the written parameters, and check everything.

    Args:
        written: base and environment, merged; the command line's values may be in it.
        runtime_params: what `--params` gave, nested.

    Returns: the parameters of the run, plain values. Errors: InputError, naming the parameter.
    """
    variants, variant = written.get("variants"), written.get("variant")
    if not isinstance(variants, Mapping):
        raise InputError(f"`variants` is {variants!r}, but it must map the name of each variant to what it changes")
    for name, changes in variants.items():
        if not isinstance(changes, Mapping):
            raise InputError(f"`variants.{name}` is {changes!r}, but it must map parameters to values; {{}} for none")

    changes = pick(variants, variant, "variant")
    merged = _merge(written, changes, runtime_params)
    check(
        merged,
        lambda place: _dotted(
            ("variants", str(variant), *place)
            if _inside(changes, place) and not _inside(runtime_params, place)
            else place
        ),
    )
    for name in variants.keys() - {variant}:
        check(_merge(written, variants[name]), _name_in_variant(name, variants[name]))
    return merged


def check(values: dict[str, Any], full_name: Callable[[Place], str | None]) -> None:
    """Check merged parameters against `params.Parameters` and the presets that they name.

    Args:
        values: all parameters.
        full_name: what to call the parameter at a place; None: its problem is not for this check to report.

    Errors: InputError, one sentence: the parameter's full name, what was found, what is allowed.
    """
    try:
        parameters = Parameters.model_validate(values)
    except ValidationError as error:
        # A misspelt name can leave the right one missing, and is the better thing to report.
        for detail in sorted(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden"):
            if name := full_name(detail["loc"]):
                raise InputError(_sentence(name, detail)) from error
        return
    if name := full_name(("model",)):
        pick(parameters.models, parameters.model, name)
    if name := full_name(("views", "preset")):
        pick(parameters.view_presets, parameters.views.preset, name)


def _sentence(name: str, detail: Mapping[str, Any]) -> str:
    """Say in one sentence what pydantic found wrong with the parameter called `name`."""
    place, message = detail["loc"], str(detail["msg"])
    found = repr(detail["input"])
    found = found if len(found) <= 60 else found[:57] + "..."
    match detail["type"]:
        case "extra_forbidden":
            group = _kind(place[:-1])
            known = list(group.model_fields) if _is_group(group) else []
            elsewhere = [path for path in _all_names() if path.rpartition(".")[2] == str(place[-1])]
            hint = did_you_mean(place[-1], known, name.removesuffix(str(place[-1])))
            hint = hint or (f" (did you mean `{elsewhere[0]}`?)" if elsewhere else "")
            return f"`{name}` is not a parameter{hint}: found {found}, where only {', '.join(known)} can stand"
        case "missing":
            return f"`{name}` is missing{_description(place)}: give it a value in {FILES}"
        case "literal_error":
            allowed = detail["ctx"]["expected"]
            hint = did_you_mean(detail["input"], map(str, get_args(_kind(place))))
            return f"`{name}` is {found}{hint}, but it must be {allowed}"
        case "value_error":
            return f"`{name}` cannot be used: {detail['ctx']['error']}"
        case "model_type":
            return f"`{name}` is {found}, but it must hold {', '.join(_kind(place).model_fields)}"
    expected = message.removeprefix("Input should ")
    clause = f", but it should {expected}" if expected != message else f": {message[:1].lower()}{message[1:]}"
    return f"`{name}` is {found}{clause}{_description(place)}"


def _kind(place: Place) -> Any:
    """The type that `params.Parameters` gives the parameter at a place, without its None; None if it has none."""
    kind: Any = Parameters
    for part in place:
        if _is_group(kind):
            kind = kind.model_fields[part].annotation if part in kind.model_fields else None
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            return None
        if get_origin(kind) in (Union, UnionType):
            kind = next(option for option in get_args(kind) if option is not type(None))
    return kind


def _is_group(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _description(place: Place) -> str:
    group = _kind(place[:-1])
    field = group.model_fields.get(place[-1]) if place and _is_group(group) else None
    return f" ({field.description})" if field and field.description else ""


def _all_names(group: type[BaseModel] = Parameters, prefix: str = "") -> Iterator[str]:
    for name, field in group.model_fields.items():
        yield prefix + name
        if _is_group(field.annotation):
            yield from _all_names(field.annotation, f"{prefix}{name}.")  # type: ignore[arg-type]


def _name_in_variant(variant: str, changes: Mapping[str, Any]) -> Callable[[Place], str | None]:
    return lambda place: _dotted(("variants", variant, *place)) if _inside(changes, place) else None


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


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))


def _check_environment(conf: Path, env: str) -> None:
    if env and not (conf / env).is_dir():
        known = sorted(folder.name for folder in conf.iterdir() if folder.is_dir()) if conf.is_dir() else []
        raise InputError(
            f"there is no environment `{env}`{did_you_mean(env, known)}: {conf} has {', '.join(known) or 'none'}; "
            f"choose one of them with --env, or make the folder {conf / env}"
        )
