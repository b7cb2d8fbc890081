"""Folders of models on the Hugging Face hub, `hf://owner/name[@revision][/sub/folder]`, fetched once."""

import logging
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from lmim_kedro.errors import InputError
from lmim_kedro.files import SUMS

log = logging.getLogger(__name__)

SCHEME = "hf://"
FILES = ("config.json", "model.safetensors", "*.onnx", SUMS, "README.md")
_NAME = re.compile(r"hf://(?P<repo>[^/@]+/[^/@]+)(@(?P<revision>[^/]+))?(/(?P<folder>.+?))?/?")


@cache
def hub_folder(named: str) -> Path:
    """Fetch the files of a model, or find them where they were fetched before.

    Args:
        named: `hf://owner/name`, with `@revision` (a branch, tag or commit; a / in it as %2F) and `/sub/folder`.

    Returns:
        the folder, in the cache of huggingface_hub. HF_HUB_OFFLINE, HF_TOKEN and its other variables count.

    Errors: InputError if the name is malformed, huggingface_hub is not installed, or the hub has no such thing.

    Example:
        >>> hub_folder("hf://owner")
        Traceback (most recent call last):
        lmim_kedro.errors.InputError: hf://owner names no folder: write it as hf://owner/name[@revision][/sub/folder]
    """
    found = _NAME.fullmatch(named)
    if found is None:
        raise InputError(f"{named} names no folder: write it as hf://owner/name[@revision][/sub/folder]")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise InputError(f"{named} is on the Hugging Face hub: `pip install huggingface_hub` to fetch it") from error
    folder, revision = found["folder"], found["revision"] and unquote(found["revision"])
    patterns = [f"{folder}/{name}" if folder else name for name in FILES]
    try:
        snapshot = Path(snapshot_download(found["repo"], revision=revision, allow_patterns=patterns))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{named} cannot be fetched ({reason}): check the name, the network and HF_TOKEN, or give a folder"
        ) from error
    log.info("%s is %s of %s", named, snapshot.name, found["repo"])
    return snapshot / folder if folder else snapshot
