"""One sentence for what is wrong with a parameter: its full name, what was found, what is allowed."""

from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from lmim_kedro.errors import InputError, did_you_mean
from lmim_kedro.params import Parameters, pick

FILES = "conf/<env>/parameters*.yml"
Place = tuple[int | str, ...]
"""Where a parameter stands: ("pretraining", "mask_ratio")."""

RENAMED = {"optimisation": "optimization", "recogniser": "recognizer", "grey": "gray"}
"""Names and values of parameters in earlier releases, with their names now."""


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
            if (now := RENAMED.get(str(place[-1]))) in known:
                return f"`{name}` is called `{name.removesuffix(str(place[-1]))}{now}` now: rename it"
            elsewhere = [path for path in _all_names() if path.rpartition(".")[2] == str(place[-1])]
            hint = did_you_mean(place[-1], known, name.removesuffix(str(place[-1])))
            hint = hint or (f" (did you mean `{elsewhere[0]}`?)" if elsewhere else "")
            return f"`{name}` is not a parameter{hint}: found {found}, where only {', '.join(known)} can stand"
        case "missing":
            return f"`{name}` is missing{_description(place)}: give it a value in {FILES}"
        case "literal_error":
            allowed = detail["ctx"]["expected"]
            if (now := RENAMED.get(str(detail["input"]))) and f"'{now}'" in allowed:
                return f"`{name}` is {found}, which is called '{now}' now: rename it"
            hint = did_you_mean(detail["input"], detail["ctx"].get("names") or map(str, get_args(_kind(place))))
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


def dotted(place: Place) -> str:
    """Write a place as `pretraining.mask_ratio`."""
    return ".".join(map(str, place))
