"""ICDAR 2003's lists of words: `<image file="word/1/1.jpg" tag="self" />`."""

from collections.abc import Iterator
from functools import partial
from xml.etree import ElementTree

from lmim_kedro.crops.sources.archives import Place
from lmim_kedro.crops.sources.image_files import Entry, open_listed
from lmim_kedro.crops.sources.records import checked
from lmim_kedro.crops.sources.source import Layout
from lmim_kedro.errors import InputError


def _read_words(path: Place) -> Iterator[Entry]:
    """The words of word.xml. Errors: InputError for a file that is no XML, or has no words."""
    known = 0
    for number, (file, tag) in enumerate(_images(path), 1):
        if file is None:
            yield Entry(f"image {number}", None, 'bad line: expected <image file="..." tag="..." />')
        else:
            known += 1
            yield checked(file, tag, None if tag is not None else "no label")
    if not known:
        raise InputError(f'{path} holds no words: <image file="word/1/1.jpg" tag="self" /> was expected')


def _images(path: Place) -> Iterator[tuple[str | None, str | None]]:
    try:
        with path.open("rb") as file:
            for _, element in ElementTree.iterparse(file):
                if element.tag == "image":
                    yield element.get("file"), element.get("tag")
                    element.clear()
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise InputError(f"{path} is not XML ({error}): mend the file, or take it out of the folder") from error


def _looks_like(path: Place) -> bool:
    if path.suffix.lower() != ".xml":
        return False
    try:
        return next(_images(path), (None, None))[0] is not None
    except InputError:
        return False


def why_no_xml(path: Place) -> str:
    """Why an XML file is not taken for a list of crops."""
    try:
        with path.open("rb") as file:
            tags = {element.tag for _, (_, element) in zip(range(200), ElementTree.iterparse(file), strict=False)}
    except (ElementTree.ParseError, LookupError, ValueError):
        return "it is no XML that can be read"
    if {"taggedRectangle", "imageName"} & tags:
        return "boxes of words in photographs: cut the crops first"
    return 'it has no <image file="..." tag="...">'


ICDAR_XML = Layout(
    "icdar_xml",
    partial(open_listed, name="icdar_xml", kind="ICDAR 2003 list", read=_read_words),
    looks_like=_looks_like,
    suffixes=(".xml",),
    options=("path", "images", "allow_outside"),
    sign='<image file="word/1/1.jpg" tag="self" />',
    bounded=True,
    in_archives=True,
)
