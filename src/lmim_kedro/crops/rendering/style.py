"""How words look: every range and probability of the renderer, and two sets of them, easy and hard.

A `Share` is the probability that a crop has the thing. A `Range` is drawn from uniformly, for each crop. Lengths are
shares of the height of the letters unless they say pixels, so that small and large words are treated alike.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from lmim_kedro.errors import InputError, did_you_mean
from lmim_kedro.params import Level, Params, Range, Share

Height = Annotated[float, Field(ge=4, le=1024)]
Edge = Annotated[float, Field(ge=-0.45, le=4)]
Length = Annotated[float, Field(ge=0, le=4)]
Stretch = Annotated[float, Field(ge=0.1, le=10)]
Angle = Annotated[float, Field(ge=0, le=360)]
Slant = Annotated[float, Field(ge=0, le=80)]
Quality = Annotated[float, Field(ge=1, le=100)]


class Style(Params):
    """One way to draw words. The defaults are the easy style: what most real crops look like."""

    # Size and frame
    height: Range[Height] = Field((16, 48), description="pixels from the top to the bottom of the letters")
    small: Share = Field(0.1, description="share of crops that are of `small_height` instead")
    small_height: Range[Height] = Field((9, 16), description="pixels")
    margin: Range[Edge] = Field(
        (-0.02, 0.2), description="ground beyond the letters on each side; below 0, letters are cut"
    )
    loose: Share = Field(0.2, description="share of crops that are of `loose_margin` instead")
    loose_margin: Range[Edge] = Field((0.1, 0.6), description="ground beyond the letters on each side")
    tight: Share = Field(0.03, description="crops cut too close: sides that have `tight_margin` instead")
    tight_margin: Range[Edge] = Field(
        (-0.12, 0.0), description="as `margin`; a side of such a crop has it as often as not"
    )

    # Layout
    stretch: Range[Stretch] = Field((0.8, 1.25), description="width of the letters, as a factor")
    spaced: Share = Field(0.22, description="letters set apart or together by `spacing`")
    spacing: Range[Edge] = Field((-0.06, 0.45), description="added after each letter")
    small_caps: Share = Field(0.03, description="a large first letter, and capitals of 4/5 the size")
    bouncing: Share = Field(0.02, description="letters moved up and down by up to `bounce`")
    bounce: Range[Length] = (0.03, 0.12)
    arc: Share = Field(0.05, description="letters on a circle, curved up or down by `arc_angle` in all")
    arc_angle: Range[Angle] = Field((20, 70), description="degrees from the first letter to the last")
    arc_turn: float = Field(0.0, ge=0, le=180, description="most degrees from the middle of an arc to the circle's top")
    wave: Share = Field(0.01, description="letters on a wave")
    wave_height: Range[Length] = (0.08, 0.3)
    bulge: Share = Field(0.01, description="letters that grow or shrink toward the middle, by `bulge_size`")
    bulge_size: Range[Share] = (0.15, 0.5)
    rotation: float = Field(5.0, ge=0, le=90, description="most degrees to either side; small angles more often")
    shear: float = Field(0.12, ge=0, le=1, description="most horizontal shift per unit of height, to either side")
    perspective: float = Field(0.08, ge=0, le=0.5, description="most shift of a corner")
    oblique: Share = Field(0.03, description="signs seen from the side, by `oblique_angle`, and from above or below")
    oblique_angle: Range[Slant] = Field((20, 45), description="degrees between the view and a straight one")
    oblique_tilt: float = Field(15.0, ge=0, le=60, description="most degrees from above or below")
    stacked: Share = Field(0.002, description="letters below each other: crops taller than wide")
    turned: Share = Field(0.002, description="words turned by 90 degrees to either side: crops taller than wide")

    # Ink
    contrast: Range[Level] = Field((70, 250), description="difference of luma between letters and ground, of 255")
    colorful: Share = Field(0.45, description="letters with a hue; the others are black, gray or white")
    outline: Share = Field(0.1, description="an edge about the letters")
    outline_width: Range[Length] = (0.03, 0.1)
    hollow: Share = Field(0.1, description="of those with an outline: letters that are nothing but the outline")
    shadow: Share = Field(0.12, description="a shadow beside the letters")
    shadow_offset: Range[Length] = (0.04, 0.14)
    extrusion: Share = Field(0.03, description="letters with depth")
    extrusion_depth: Range[Length] = (0.06, 0.18)
    rim: Share = Field(0.02, description="letters whose inner edge is lighter or darker, as that of lit boxes is")
    relief: Share = Field(0.04, description="letters with a lit and a dark edge, as cut from stone or cast")
    glow: Share = Field(0.03, description="light about the letters, as of neon")
    shaded: Share = Field(0.1, description="letters in two colors: from top to bottom, from left to right, or by turns")
    two_grounds: Share = Field(0.01, description="words of two parts, each with its own ink and ground")
    backlit: Share = Field(0.03, description="letters that shine on a dark ground, too bright for the camera")
    worn: Share = Field(0.03, description="letters with paint missing")
    crossed: Share = Field(0.01, description="a wire, a branch or a crack across the letters")
    dotted: Share = Field(0.01, description="letters of dots")
    led: Share = Field(0.5, description="of those of dots: lamps on a dark ground")

    # Ground
    colored_ground: Share = Field(0.5, description="a ground with a hue; the others are black, gray or white")
    gradient: Share = Field(0.25, description="a ground that goes from one color to another")
    gradient_strength: Range[Share] = Field((0.1, 0.4), description="difference of luma, as a share of the contrast")
    texture: Share = Field(0.3, description="a ground with spots, grain or stripes")
    texture_strength: Range[Share] = Field((0.02, 0.12), description="standard deviation, as a share of the contrast")
    photo: Share = Field(0.1, description="a blurred crop of `grounds` as the ground, where there are any")
    plate: Share = Field(0.03, description="a plate behind the word, with another ground beyond its edges")
    panel: Share = Field(0.07, description="another ground beyond a line near the letters: the edge of a sign")
    clutter: Share = Field(0.06, description="lines and shapes that cross the ground")
    border: Share = Field(0.02, description="a frame about the word")
    rule: Share = Field(0.03, description="a line below or above the word")
    neighbors: Share = Field(0.12, description="other words beside, above or below, cut by the crop's edge")
    crowded: Share = Field(0.4, description="of those with other words: sides of `loose_margin`, which show them")

    # Light
    ramp: Share = Field(0.25, description="light that falls off across the crop")
    ramp_strength: Range[Share] = Field((0.05, 0.3), description="difference of brightness, as a share")
    spot: Share = Field(0.02, description="a lamp's reflection")
    shade_edge: Share = Field(0.03, description="the edge of a shadow that falls on the sign")
    dark: Share = Field(0.03, description="signs in the dark, as bright as `darkness`")
    darkness: Range[Share] = Field((0.2, 0.6), description="letters stay so far from the ground that they can be seen")

    # Camera
    blur: Range[Length] = Field((0.0, 0.045), description="Gaussian sigma; half as strong with one of the next three")
    defocus: Share = Field(0.04, description="out of focus by a disk of radius `defocus_radius` on top")
    defocus_radius: Range[Length] = (0.04, 0.09)
    motion: Share = Field(0.03, description="moved by `motion_length` while the picture was taken")
    motion_length: Range[Length] = (0.08, 0.22)
    coarse: Share = Field(0.1, description="seen at `coarse_height` first, then enlarged")
    coarse_height: Range[Height] = Field((11, 18), description="pixels")
    recompressed: Share = Field(0.3, description="of those: saved as a JPEG of `coarse_quality` before they grow")
    coarse_quality: Range[Quality] = Field((45, 85), description="JPEG")
    sharpened: Share = Field(0.15, description="edges made stronger, as cameras do")
    noise: Range[Level] = Field((0.0, 5.0), description="standard deviation of a pixel, of 255")
    quality: Range[Quality] = Field((50, 95), description="JPEG")


EASY = Style()
HARD = Style(
    small=0.3,
    small_height=(8, 16),
    margin=(-0.04, 0.25),
    loose=0.35,
    loose_margin=(0.1, 0.8),
    tight=0.12,
    tight_margin=(-0.16, -0.02),
    stretch=(0.7, 1.35),
    spaced=0.25,
    spacing=(-0.1, 0.65),
    small_caps=0.05,
    bouncing=0.04,
    arc=0.14,
    arc_angle=(25, 190),
    arc_turn=50,
    wave=0.03,
    bulge=0.03,
    rotation=18,
    shear=0.25,
    perspective=0.15,
    oblique=0.14,
    oblique_angle=(25, 60),
    oblique_tilt=25,
    stacked=0.005,
    turned=0.015,
    contrast=(40, 200),
    outline=0.17,
    shadow=0.17,
    extrusion=0.09,
    rim=0.06,
    relief=0.08,
    glow=0.05,
    shaded=0.15,
    two_grounds=0.03,
    backlit=0.1,
    worn=0.05,
    crossed=0.04,
    dotted=0.025,
    led=0.6,
    gradient=0.35,
    gradient_strength=(0.1, 0.6),
    texture=0.35,
    texture_strength=(0.02, 0.18),
    photo=0.25,
    plate=0.08,
    panel=0.15,
    clutter=0.15,
    border=0.04,
    rule=0.06,
    neighbors=0.35,
    crowded=0.7,
    ramp=0.4,
    ramp_strength=(0.1, 0.45),
    spot=0.05,
    shade_edge=0.07,
    dark=0.06,
    darkness=(0.08, 0.5),
    blur=(0.0, 0.065),
    defocus=0.08,
    defocus_radius=(0.05, 0.1),
    motion=0.07,
    motion_length=(0.1, 0.24),
    coarse=0.22,
    coarse_height=(9, 16),
    recompressed=0.4,
    coarse_quality=(40, 85),
    sharpened=0.2,
    noise=(0, 6),
    quality=(32, 92),
)
STYLES = {"easy": EASY, "hard": HARD}
MOST_SHARE = 1_000_000
USUAL = {"easy": {"share": 0.5}, "hard": {"share": 0.5}}


def read_styles(styles: Mapping[str, Any] | None) -> dict[Style, float]:
    """The styles that the catalog asks for, with their shares.

    Args:
        styles: for each style its `share` and the fields that differ: {easy: {share: 0.7}, hard: {rotation: 20}}. A
            style of another name starts from the easy one. None: half easy, half hard.

    Raises:
        InputError: if a field is unknown or its value cannot be.

    Example:
        >>> [style.rotation for style in read_styles({"easy": {"rotation": 2}})]
        [2.0]
    """
    found: dict[Style, float] = {}
    if not isinstance(styles, Mapping | None):
        raise InputError(f"styles is {styles!r}: give the share and the fields of each, as {{easy: {{share: 1}}}}")
    for name, fields in (USUAL if styles is None else styles).items():
        if not isinstance(fields, Mapping | None):
            raise InputError(
                f"styles.{name} is {fields!r}: give its share and the fields that differ, as {{share: 0.5}}"
            )
        changed = dict(fields or {})
        share = changed.pop("share", 1.0)
        if not isinstance(share, int | float) or isinstance(share, bool) or not 0 <= share <= MOST_SHARE:
            raise InputError(f"styles.{name}.share is {share!r}: give a number from 0 to {MOST_SHARE:,}")
        base = STYLES.get(name, EASY).model_dump()
        try:
            style = Style.model_validate(base | changed)
        except ValidationError as error:
            raise InputError(_sentence(f"styles.{name}", error)) from error
        found[style] = found.get(style, 0.0) + float(share)
    if not sum(found.values()) > 0:
        raise InputError("styles gives none a share above 0: give one, as {easy: {share: 1}}")
    return found


def _sentence(where: str, error: ValidationError) -> str:
    detail = error.errors()[0]
    name = f"{where}.{'.'.join(map(str, detail['loc']))}"
    field = str(detail["loc"][0])
    if detail["type"] == "extra_forbidden":
        hint = did_you_mean(field, Style.model_fields)
        return f"`{name}` is not a field of a style{hint}: found {detail['input']!r}"
    what = Style.model_fields[field].description
    return f"`{name}` is {detail['input']!r}: {detail['msg'].removeprefix('Value error, ')}" + (
        f" ({what})" if what else ""
    )
