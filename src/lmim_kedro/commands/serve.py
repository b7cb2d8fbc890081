"""`lmim-kedro serve`: a web page that reads crops."""

import os
import socket

import click

from lmim_kedro.commands.options import allowed_options, chosen_folder, chosen_reader, recognizer_option
from lmim_kedro.errors import InputError
from lmim_kedro.text.allowed import Allowed


@click.command()
@recognizer_option
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0: whoever reaches this machine.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: one that is free.")
@click.option(
    "--name",
    "names",
    multiple=True,
    help="A name under which the page is asked for, beside localhost and addresses: that of this machine or of a "
    "proxy. Several may be given.",
)
@allowed_options
def serve(
    recognizer: str | None,
    host: str,
    port: int,
    names: tuple[str, ...],
    charset: str | None,
    lexicon: str | None,
    pattern: str | None,
    min_confidence: float,
) -> None:
    """Serve a web page to drop crops on; needs `pip install -e '.[web]'`."""
    try:
        from lmim_kedro.reading.about import about_recognizer
        from lmim_kedro.reading.server import serve_app
        from lmim_kedro.reading.web import create_app
    except ImportError as error:
        raise InputError(f"the page needs {error.name}: install it with `pip install -e '.[web]'`") from error
    allowed = Allowed.of(charset, lexicon, pattern)
    about = about_recognizer(chosen_folder(recognizer))
    app = create_app(chosen_reader(recognizer), about, allowed, min_confidence, [*names, host, socket.gethostname()])
    with listening(host, port) as place:
        shown = f"[{host}]" if ":" in host else host
        if host in ("0.0.0.0", "::", ""):
            click.echo("whoever reaches this machine can use the page, which asks for no password", err=True)
            shown = "localhost"
        click.echo(f"open http://{shown}:{place.getsockname()[1]} - Ctrl-C ends", err=True)
        serve_app(app, place)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Errors: InputError."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
        raise InputError(
            f"port {port} of {host} cannot be listened on ({reason}): choose another --port, or check --host"
        ) from error
