"""`lmim-kedro serve`: a web page that reads crops."""

import click

from lmim_kedro.commands.options import allowed_options, chosen_folder, chosen_reader, recognizer_option
from lmim_kedro.errors import InputError
from lmim_kedro.text.allowed import Allowed


@click.command()
@recognizer_option
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0: whoever reaches this machine.")
@click.option("--port", default=8000, show_default=True, type=int)
@allowed_options
def serve(
    recognizer: str | None,
    host: str,
    port: int,
    charset: str | None,
    lexicon: str | None,
    pattern: str | None,
    min_confidence: float,
) -> None:
    """Serve a web page to drop crops on; needs `pip install -e '.[web]'`."""
    try:
        import uvicorn

        from lmim_kedro.reading.about import about_recognizer
        from lmim_kedro.reading.web import create_app
    except ImportError as error:
        raise InputError(f"the page needs {error.name}: install it with `pip install -e '.[web]'`") from error
    allowed = Allowed.of(charset, lexicon, pattern)
    about = about_recognizer(chosen_folder(recognizer))
    app = create_app(chosen_reader(recognizer), about, allowed, min_confidence)
    click.echo(f"open http://{host}:{port} - Ctrl-C ends", err=True)
    uvicorn.run(app, host=host, port=port, log_level="warning")
