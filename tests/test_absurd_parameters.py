"""Every number of the schema is finite and bounded, every range is ordered, and what is not is told by its name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmim_kedro.config import ConfigLoader
from lmim_kedro.crops.rendering.style import Style, read_styles
from lmim_kedro.errors import InputError
from lmim_kedro.parameter_errors import check, dotted
from lmim_kedro.params import Parameters
from lmim_kedro.settings import CONFIG_LOADER_ARGS

NAMED = {"models": "conv_tiny", "view_presets": "strong"}
"""An entry of each group of presets that gives every field a value."""
WRONG = {
    "number": ["fast", [], {}, True],
    "integer": ["fast", [], {}, True, 1.5],
    "boolean": ["perhaps", [], {}, 2, math.nan],
    "string": [5, [], {}, True],
    "choice": ["fast", 5, [], {}, True, math.nan],
    "object": ["fast", 5, []],
    "array": ["fast", 5, {"a": 1}],
}


class Leaf(NamedTuple):
    """A place of the schema, what stands there, and whether it may be null."""

    place: tuple[int | str, ...]
    schema: dict[str, Any]
    optional: bool

    @property
    def field(self) -> str:
        """The parameter that the place is, or is a part of."""
        return dotted(tuple(part for part in self.place if isinstance(part, str)))


def walk(schema: dict[str, Any], every: dict[str, Any], place: tuple = (), optional: bool = False) -> Iterator[Leaf]:
    """All places below a JSON schema, groups included."""
    if "$ref" in schema:
        schema = every[schema["$ref"].rpartition("/")[2]]
    if "allOf" in schema:
        (schema,) = schema["allOf"]
    for choice in schema.get("anyOf", ()):
        if choice.get("type") != "null":
            yield from walk(choice, every, place, optional=True)
    if "enum" in schema:
        schema = {"type": "choice"}
    if "type" in schema:
        yield Leaf(place, schema, optional)
    for name, inner in schema.get("properties", {}).items():
        yield from walk(inner, every, (*place, name))
    for number, inner in enumerate(schema.get("prefixItems", ())):
        yield from walk(inner, every, (*place, number))
    if "items" in schema:
        yield from walk(schema["items"], every, (*place, 0))
    if isinstance(inner := schema.get("additionalProperties"), dict) and place[-1] in NAMED:
        yield from walk(inner, every, (*place, NAMED[place[-1]]))


def leaves(group: type) -> list[Leaf]:
    schema = group.model_json_schema()
    return [leaf for leaf in walk(schema, schema.get("$defs", {})) if leaf.place]


ALL, STYLE = leaves(Parameters), leaves(Style)
NUMBERS = [leaf for leaf in ALL if leaf.schema["type"] in ("number", "integer")]
STYLE_NUMBERS = [leaf for leaf in STYLE if leaf.schema["type"] == "number"]


def put(values: Any, place: tuple[int | str, ...], value: Any) -> Any:
    """The values with another one at a place; a range that is not there is made, of that value alone."""
    if not place:
        return value
    if isinstance(place[0], int):
        parts = list(values or [None, None]) if isinstance(values, list | tuple | None) else [None, None]
        inner = [put(part, place[1:], value) for part in parts]
        return [inner[number] if number == place[0] or part is None else part for number, part in enumerate(parts)]
    return {**values, place[0]: put(values.get(place[0]), place[1:], value)}


def lowest(schema: dict[str, Any]) -> float:
    return schema.get("minimum", schema.get("exclusiveMinimum"))


def highest(schema: dict[str, Any]) -> float:
    return schema.get("maximum", schema.get("exclusiveMaximum"))


def outside(schema: dict[str, Any]) -> list[Any]:
    """Values just beyond and far beyond the bounds of a number."""
    ends = [schema[name] for name in ("exclusiveMinimum", "exclusiveMaximum") if name in schema]
    near = [lowest(schema) - 1, highest(schema) + 1] if schema["type"] == "integer" else []
    near += [math.nextafter(lowest(schema), -math.inf), math.nextafter(highest(schema), math.inf)]
    return [*near, *ends, -(10**30), 10**30, 10**400, -(10**400), math.nan, math.inf, -math.inf, float("1e400")]


@pytest.fixture(scope="module")
def base(project: Path) -> dict[str, Any]:
    """All parameters of conf/base."""
    found = ConfigLoader(project / "conf", "union14m", **CONFIG_LOADER_ARGS).all_parameters()
    return Parameters.model_validate(found).model_dump(mode="json")


def refused(base: dict[str, Any], leaf: Leaf, value: Any) -> None:
    """Check that a value is refused with a sentence that begins with the name of its parameter."""
    with pytest.raises(InputError) as caught:
        check(put(base, leaf.place, value), dotted)
    said = str(caught.value)
    assert said.startswith(f"`{leaf.field}") and "\n" not in said, said


def refused_style(leaf: Leaf, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        read_styles({"mine": put(Style().model_dump(), leaf.place, value)})
    assert str(caught.value).startswith(f"`styles.mine.{leaf.field}"), caught.value


def test_every_number_of_the_schema_has_two_bounds():
    assert len(NUMBERS) > 100 and len(STYLE_NUMBERS) > 90
    for leaf in NUMBERS + STYLE_NUMBERS:
        assert math.isfinite(lowest(leaf.schema)) and math.isfinite(highest(leaf.schema)), leaf


def test_what_is_written_in_the_files_is_within_the_bounds(base):
    check(base, dotted)
    for leaf in (leaf for leaf in ALL if leaf.optional and not isinstance(leaf.place[-1], int)):
        if leaf.place[-1] not in ("epochs", "steps", "warmup_epochs", "warmup_steps"):  # one of two is always there
            check(put(base, leaf.place, None), dotted)


def test_numbers_that_are_not_finite_or_out_of_bounds_are_refused_by_name(base):
    for leaf in NUMBERS:
        for value in outside(leaf.schema):
            refused(base, leaf, value)
    for leaf in STYLE_NUMBERS:
        for value in outside(leaf.schema):
            refused_style(leaf, value)


def test_values_of_another_type_are_refused_by_name(base):
    for leaf in ALL:
        free = leaf.schema["type"] == "object" and "properties" not in leaf.schema  # presets and variants
        for value in WRONG[leaf.schema["type"]] + ([] if leaf.optional else [None]):
            if not (free and value == {}):
                refused(base, leaf, value)
    for leaf in STYLE:
        for value in [*WRONG[leaf.schema["type"]], None]:
            refused_style(leaf, value)


@given(leaf=st.sampled_from(NUMBERS), data=st.data())
def test_any_number_outside_its_bounds_is_refused(base, leaf, data):
    below = st.floats(max_value=lowest(leaf.schema), exclude_max=True) | st.integers(max_value=lowest(leaf.schema) - 1)
    above = st.floats(min_value=highest(leaf.schema), exclude_min=True) | st.integers(
        min_value=math.ceil(highest(leaf.schema)) + 1
    )
    refused(base, leaf, data.draw(st.just(math.nan) | below | above))


RANGES = [
    leaf
    for leaf in ALL + STYLE
    if "prefixItems" in leaf.schema and leaf.place[-1] not in ("betas", "store_size", "sharpen")
    if not isinstance(leaf.place[-1], int) or "sharpen" in leaf.place
]


@given(leaf=st.sampled_from(RANGES), data=st.data())
def test_ends_of_a_range_the_wrong_way_round_are_refused(base, leaf, data):
    inner = leaf.schema["prefixItems"][0]
    kind = st.integers if inner["type"] == "integer" else st.floats
    low, high = sorted(data.draw(kind(lowest(inner), highest(inner))) for _ in range(2))
    if leaf in STYLE:
        read_styles({"mine": put(Style().model_dump(), leaf.place, [low, high])})
        if low < high:
            refused_style(leaf, [high, low])
    else:
        check(put(base, leaf.place, [low, high]), dotted)
        if low < high:
            refused(base, leaf, [high, low])


def test_ranges_are_all_there_are():
    names = {leaf.field.rpartition(".")[2] for leaf in RANGES}
    assert {"pick", "contrast", "sharpen", "solarize", "blur", "quality", "arc_angle"} <= names
    assert len(RANGES) >= 8 + len([leaf for leaf in STYLE if leaf.schema["type"] == "array"])


@pytest.mark.parametrize("share", [math.nan, math.inf, -1, 10**30, True, "much", None, [1]])
def test_share_of_a_style_is_a_number_from_0_to_a_million(share):
    with pytest.raises(InputError, match=r"styles.easy.share is .*: give a number from 0 to 1,000,000"):
        read_styles({"easy": {"share": share}})


def test_every_environment_passes_with_every_variant_and_preset(project):
    """Reading the parameters of an environment checks all of its variants."""
    environments = [path.name for path in (project / "conf").iterdir() if path.is_dir() and path.name != "local"]
    assert len(environments) > 7
    for env in environments:
        assert len(ConfigLoader(project / "conf", env, **CONFIG_LOADER_ARGS).all_parameters()["variants"]) > 20
