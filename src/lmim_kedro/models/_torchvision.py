"""Make `import torchvision` work beside a torch that its compiled half was not built for.

timm imports torchvision, though nothing of it that this project uses needs compiled code. The wheel of the package
registry is built for CUDA: beside a CPU-only torch its extension does not load, the operators that it would define are
missing, and the import dies of `operator torchvision::nms does not exist`, because torchvision describes those
operators to torch (for torch.compile) without looking whether they are there.
"""

import importlib
import re
import sys
from types import ModuleType

from torch.library import Library

# The operators that torchvision describes unconditionally, with their schemas (torchvision/csrc/ops/*.cpp).
SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_declared: list[Library] = []  # torch forgets a declaration when its Library object dies


def make_torchvision_importable() -> ModuleType:
    """Import torchvision; where its compiled operators are missing, declare their schemas and import it again.

    A torchvision that imports is left alone. Declared operators have no implementation: torchvision.ops.nms raises an
    error that says so, everything that is plain Python (transforms, models) works.

    Returns: the torchvision module. Errors: whatever the import raises, if it is not about a missing operator.
    """
    while True:
        try:
            return importlib.import_module("torchvision")
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None or missing[1] not in SCHEMAS:
                raise
            _declare(missing[1])


def _declare(operator: str) -> None:
    if not _declared:
        _declared.append(Library("torchvision", "FRAGMENT"))
    _declared[0].define(SCHEMAS[operator])
    # A failed import leaves submodules behind that are not attributes of the package any more.
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
