"""What the site has beside docs/*.md: the reference, and a page for each file of the repository that a page links to.

MkDocs calls the `on_...` functions (mkdocs.yml, `hooks`). The pages are made anew for every build, from the command
line, the parameters' schema and the code, so they cannot fall behind; none of them is kept in the repository.
"""

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

import lmim_kedro
from lmim_kedro.cli import COMMANDS, cli
from lmim_kedro.params import ModelParams, RunParams, ViewPreset
from lmim_kedro.registries import Registry

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<=\]\()\.\./([^)\s#]+)")
"""A link from a page of docs/ to another part of the repository."""
NAMED = re.compile(r"\[([\w-]+\.md)\](?=\((\1)[#)])")
"""A link that is called by the name of its file."""
WIDTH = 84
"""Characters in a line of help."""
UNSEARCHED = "---\nsearch: {exclude: true}\n---\n"
LANGUAGES = {".py": "python", ".yml": "yaml", ".toml": "toml"}
MEANINGS = {
    "batch_size": "crops that are read at once",
    "betas": "AdamW's two decays",
    "brightness": "largest change of the factor on brightness",
    "contrast": "largest change of the factor on contrast",
    "decoder": "how features become text (registries.DECODERS)",
    "decoder_dropout": "share of features that the guided decoder drops",
    "decoder_ffn": "hidden features of the guided decoder's feed-forward part",
    "decoder_heads": "attention heads of the guided decoder",
    "dropout": "share of features that the decoder drops",
    "format": "file that the readings are written to",
    "freeze_encoder": "the encoder does not learn",
    "grayscale_probability": "probability that a view is gray in the end",
    "heads": "attention heads",
    "hue": "largest shift of the hue, share of a turn",
    "jitter": "color jitter after the picked operations; null: none",
    "mask_ratio": "share of patches removed",
    "mlp_ratio": "hidden features of a block's feed-forward part, as a factor on its width",
    "probability": "probability that a crop is jittered",
    "saturation": "largest change of the factor on saturation",
    "seed": "of everything random",
    "variant": "a name under variants",
}
"""Meanings of the parameters that say nothing themselves."""
PUBLIC = tuple(name for name in lmim_kedro.__all__ if not name.startswith("_"))
PYTHON: dict[str, tuple[str, tuple[str, ...]]] = {
    "text": (
        "Charsets, texts that are allowed, CTC, and the `Reading` that every reader returns. None of it imports torch.",
        ("text.spelling", "text.charset", "text.allowed", "text.ctc"),
    ),
    "crops": (
        "Crops on disk, in the layouts that users have, to packed stores and batches.",
        (
            *("crops.sources.source", "crops.sources.open", "crops.sources.image_files", "crops.sources.rendered"),
            *("crops.ingest.plan", "crops.store.packed", "crops.loader", "crops.pixels", "crops.sheets"),
        ),
    ),
    "views": (
        "Guidance views and the augmentations of fine-tuning, for whole batches.",
        ("views.guidance", "views.abinet", "views.parseq", "views.draws", "views.show"),
    ),
    "models": (
        "The encoder, LMIM and its baselines, the recognizer and its heads, weights in and out.",
        (
            *("models.encoder", "models.masking", "models.lmim", "models.seqclr", "models.recognizer"),
            *("models.heads", "models.weights"),
        ),
    ),
    "reading": (
        "Readers: images in, readings out.",
        ("reading.image_reader", "reading.reader", "reading.onnx_reader", "reading.export_onnx"),
    ),
    "training": (
        "Pre-training and fine-tuning, their methods, tasks and loop.",
        (
            *("training.pretraining", "training.finetuning", "training.methods", "training.tasks"),
            *("training.loop", "training.monitor"),
        ),
    ),
    "evaluation": (
        "What `evaluate` looks at beside the accuracy.",
        ("evaluation.attention", "evaluation.reconstruction", "evaluation.cls"),
    ),
    "scoring": (
        "Metrics, protocols, tables by length and character, comparisons. None of it imports torch.",
        ("scoring.metrics", "scoring.protocols", "scoring.analysis", "scoring.compare", "scoring.normalization"),
    ),
    "reporting": (
        "The scores and the page of a run.",
        ("reporting.scores", "reporting.sections", "reporting.images", "reporting.figures"),
    ),
    "project": (
        "What all packages stand on.",
        ("recipe", "registries", "config", "errors", "files"),
    ),
}
"""Pages of the Python reference: what a user imports, by package."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here."""
    made = {
        "reference/commands.md": commands_page(),
        "reference/parameters.md": parameters_page(),
        "reference/python/index.md": public_page(),
    }
    for name in PYTHON:
        made[f"reference/python/{name}.md"] = python_page(name)
    for path in linked_paths(Path(config.docs_dir)):
        made |= source_pages(path)
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to other parts of the repository to their pages, and call pages by their titles."""
    folder = posixpath.dirname(page.file.src_uri)
    markdown = NAMED.sub(lambda found: f"[{title_of(found[1], files)}]", markdown)
    return LINK.sub(lambda found: posixpath.relpath(source_name(ROOT / found[1]), folder or "."), markdown)


def title_of(name: str, files: Files) -> str:
    """The title of a page in the navigation; the name of its file, if it is none."""
    file = files.get_file_from_path(name)
    return str(file.page.title) if file is not None and file.page is not None else name


def linked_paths(docs: Path) -> list[Path]:
    """Files and folders outside docs/ that its pages link to."""
    texts = [page.read_text("utf-8") for page in sorted(docs.glob("*.md"))]
    return [ROOT / name for name in sorted({name for text in texts for name in LINK.findall(text)})]


def source_name(path: Path) -> str:
    """The page of a file or folder, such as `source/conf/dvc.yml.md`."""
    within = path.relative_to(ROOT).as_posix().rstrip("/")
    return f"source/{within}/index.md" if path.is_dir() else f"source/{within}.md"


def source_pages(path: Path) -> dict[str, str]:
    """Pages that show a file; of a folder, those of its files and a list of them."""
    if not path.is_dir():
        return {source_name(path): source_page(path)}
    inside = [each for each in sorted(path.iterdir()) if each.is_file() and each.suffix in (*LANGUAGES, ".csv")]
    rows = [f"- [{each.name}]({each.name}.md)" for each in inside]
    title = path.relative_to(ROOT).as_posix()
    index = "\n".join([UNSEARCHED, f"# {title}", "", *rows, ""])
    return {source_name(path): index} | {source_name(each): source_page(each) for each in inside}


def source_page(path: Path) -> str:
    """A file as a page; of a notebook, its texts and its code."""
    text = path.read_text("utf-8")
    title = path.relative_to(ROOT).as_posix()
    if path.suffix == ".ipynb":
        return f"{UNSEARCHED}\n*{title}*\n\n" + "\n\n".join(cells(text))
    return f"{UNSEARCHED}\n# {title}\n\n" + fenced(text, LANGUAGES.get(path.suffix, "text"))


def cells(notebook: str) -> Iterator[str]:
    """The cells of a notebook as Markdown."""
    for cell in json.loads(notebook)["cells"]:
        source = "".join(cell["source"])
        yield fenced(source, "python") if cell["cell_type"] == "code" else source


def fenced(text: str, language: str) -> str:
    """Text as a block of code."""
    return f"````{language}\n{text.rstrip()}\n````\n"


def commands_page() -> str:
    """The help of every command."""
    parts = [
        "# Commands",
        "",
        "Each text below is what `lmim-kedro VERB --help` prints. A mistake ends with one sentence and the status 2.",
        "",
        help_of(cli, "lmim-kedro"),
    ]
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        parts += [f"## {name}", "", help_of(command, f"lmim-kedro {name}")]
        if isinstance(command, click.Group):
            for inner in command.commands.values():
                parts += [f"### {name} {inner.name}", "", help_of(inner, f"lmim-kedro {name} {inner.name}")]
    return "\n".join(parts)


def help_of(command: click.Command, name: str) -> str:
    """What a command prints when it is asked for help."""
    context = click.Context(command, info_name=name, max_content_width=WIDTH, terminal_width=WIDTH)
    return fenced(command.get_help(context), "text")


def parameters_page() -> str:
    """A table for each group of parameters."""
    base = configured()
    parts = [
        "# Parameters",
        "",
        "Set a parameter in `conf/<env>/parameters.yml`, or for one run on the command line: "
        "`kedro run --params=pretraining.mask_ratio=0.7,seed=1`. Both are laid over `conf/base`, whose values are the "
        "defaults here; they are the paper's. A misspelt name or a value that is not allowed ends the run before it "
        "starts. [Architecture](../architecture.md#configuration) has the order of the layers.",
        "",
        "## run",
        "",
        *table(RunParams, base, "", nested=False),
    ]
    for name, field in RunParams.model_fields.items():
        if (group := model_of(field)) is not None:
            parts += ["", f"## {name}", "", sentence(group), "", *table(group, base[name], f"{name}.")]
    for title, group, written, where in (
        ("models", ModelParams, {}, "a preset of `models.yml`, which `model` names"),
        ("view_presets", ViewPreset, {}, "a preset of `view_presets.yml`, which `views.preset` names"),
    ):
        parts += ["", f"## {title}", "", f"{sentence(group)} These are the names in {where}.", ""]
        parts += table(group, written, "")
    return "\n".join([*parts, ""])


def configured() -> dict[str, Any]:
    """What conf/base sets."""
    files = sorted((ROOT / "conf/base").glob("parameters*.yml"))
    return {name: group for file in files for name, group in yaml.safe_load(file.read_text("utf-8")).items()}


def model_of(field: FieldInfo) -> type[BaseModel] | None:
    """The group that a field holds; None for a single value."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def sentence(group: type[BaseModel]) -> str:
    """The first paragraph of a group's docstring."""
    return " ".join((group.__doc__ or "").strip().partition("\n\n")[0].split())


def table(group: type[BaseModel], written: dict[str, Any], prefix: str, nested: bool = True) -> list[str]:
    """Rows of the parameters of a group, those of the groups inside it too."""
    lines = ["| parameter | default | values | meaning |", "| --- | --- | --- | --- |"]
    return lines + list(rows(group, written, prefix, nested))


def rows(group: type[BaseModel], written: dict[str, Any], prefix: str, nested: bool) -> Iterator[str]:
    """A row for each parameter: its name, its default, what it may be and what it means."""
    schema = group.model_json_schema()
    for name, field in group.model_fields.items():
        inner = model_of(field)
        if inner is not None:
            if nested:
                yield from rows(inner, written.get(name, {}), f"{prefix}{name}.", nested)
            continue
        if name not in written and field.is_required():
            continue  # `env`, which the command line sets
        default = written[name] if name in written else json.loads(json.dumps(field.default))
        allowed = values(schema["properties"][name], schema)
        if registry := names_of(field):
            allowed = ", ".join(f"`{each}`" for each in registry)
        cells = [f"`{prefix}{name}`", f"`{json.dumps(default)}`", allowed, field.description or MEANINGS[name]]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def names_of(field: FieldInfo) -> Registry | None:
    """The table of names that a field is checked with."""
    for check in field.metadata:
        if isinstance(check, AfterValidator) and isinstance(owner := getattr(check.func, "__self__", None), Registry):
            return owner
    return None


def values(schema: dict[str, Any], whole: dict[str, Any]) -> str:
    """What a value may be, in words, from its JSON schema."""
    if "$ref" in schema:
        names = whole["$defs"][schema["$ref"].rpartition("/")[2]]["properties"]
        return f"a group: {', '.join(names)}"
    if "anyOf" in schema:
        return " or ".join(values(each, whole) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if "prefixItems" in schema:
        each = dict.fromkeys(values(item, whole) for item in schema["prefixItems"])
        return f"{len(schema['prefixItems'])} × ({'; '.join(each)})"
    if schema.get("type") == "array":
        return f"a list of: {values(schema['items'], whole)}"
    kinds = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true, false", "null": "null"}
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {schema[key]:g}" for key, sign in bounds.items() if key in schema]
    return " ".join([kinds[schema["type"]], ", ".join(found)]).strip()


def public_page() -> str:
    """What `from lmim_kedro import ...` offers."""
    lines = [
        "# Python",
        "",
        "`from lmim_kedro import Reader` and the names below are the public face: each is imported when it is first "
        "asked for, and stays where it is between versions. The packages beside this page are what the project is "
        "built of; each works alone, without Kedro.",
        "",
    ]
    for name in PUBLIC:
        module = getattr(lmim_kedro, name).__module__
        lines += [f"::: {module}.{name}", "    options: {show_root_full_path: false, inherited_members: true}", ""]
    return "\n".join(lines)


def python_page(name: str) -> str:
    """The modules of a package."""
    text, modules = PYTHON[name]
    lines = [f"# {name.capitalize()}", "", text, ""]
    for module in modules:
        lines += [f"::: lmim_kedro.{module}", ""]
    return "\n".join(lines)
