"""A style without any effect, to switch on one at a time."""

import pytest

from lmim_kedro.crops.rendering.fonts import Fonts
from lmim_kedro.crops.rendering.style import Style

SHARES = {name: 0.0 for name, field in Style.model_fields.items() if field.annotation is float}
PLAIN = Style(
    **SHARES, height=(32, 32), margin=(0.2, 0.2), stretch=(1, 1), contrast=(150, 150), blur=(0, 0), noise=(0, 0)
)


@pytest.fixture
def plain():
    """Make a style that has only the given effects."""
    return lambda **effects: Style.model_validate(PLAIN.model_dump() | effects)


@pytest.fixture(scope="session")
def sans():
    return next(file for file in Fonts().files if file.stem == "DejaVuSans")
