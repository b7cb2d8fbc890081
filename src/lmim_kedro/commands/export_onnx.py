"""`lmim-kedro export-onnx`: a recognizer as ONNX."""

from pathlib import Path

import click

from lmim_kedro.errors import InputError
from lmim_kedro.text.marks import on_lines


@click.command("export-onnx")
@click.argument("recognizer", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--float16", is_flag=True, help="Weights stored as 16-bit floats: half the size.")
@click.option("--int8", is_flag=True, help="Linear maps in 8-bit integers: a quarter of the size.")
@click.option("--measure", metavar="CROPS", help="Labeled crops to read before and after: an LMDB or a list.")
def export_onnx(recognizer: Path, target: Path, float16: bool, int8: bool, measure: str | None) -> None:
    """Write the recognizer in the folder RECOGNIZER as ONNX graphs into the folder TARGET."""
    if float16 and int8:
        raise InputError("--float16 and --int8 were given: choose one way to store the weights")
    from lmim_kedro.reading.folder import require_recognizer

    require_recognizer(recognizer)
    from lmim_kedro.models.weights import load_recognizer
    from lmim_kedro.reading.export_onnx import export_recognizer

    module = load_recognizer(recognizer)
    for path in export_recognizer(module, target, "int8" if int8 else "float16" if float16 else "float32"):
        click.echo(on_lines(f"{path}: {path.stat().st_size / 1e6:.1f} MB"))
    if measure:
        from lmim_kedro.reading.export_onnx import measure_cost
        from lmim_kedro.reading.onnx_reader import OnnxReader

        click.echo(measure_cost(module, OnnxReader(target), measure))
