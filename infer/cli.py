"""The command line, a thin shell over the Python API.

Results go to stdout and nothing else does. A user's error is one line on stderr and exit status 1.
"""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .commands import exit_status
from .errors import ImgsimError, visible

# Where each command lives, in the order of the help. A module is loaded when its command is called,
# so that none pays for another's imports, and `train` and `export` are no part of a light install.
COMMANDS = {
    "index": "imgsim_edge.infer.commands.index:index_command",
    "similar": "imgsim_edge.infer.commands.similar:similar_command",
    "duplicates": "imgsim_edge.infer.commands.duplicates:duplicates_command",
    "not-duplicates": "imgsim_edge.infer.commands.duplicates:not_duplicates_command",
    "apply": "imgsim_edge.infer.commands.cleanup:apply_command",
    "undo": "imgsim_edge.infer.commands.cleanup:undo_command",
    "teach": "imgsim_edge.infer.commands.labels:teach_command",
    "unteach": "imgsim_edge.infer.commands.labels:unteach_command",
    "labels": "imgsim_edge.infer.commands.labels:labels_command",
    "suggest": "imgsim_edge.infer.commands.labels:suggest_command",
    "classify": "imgsim_edge.infer.commands.classify:classify_command",
    "watch": "imgsim_edge.infer.commands.watch:watch_command",
    "browse": "imgsim_edge.infer.commands.browse:browse_command",
    "serve": "imgsim_edge.infer.commands.serve:serve_command",
    "formats": "imgsim_edge.infer.commands.formats:formats_command",
    "info": "imgsim_edge.infer.commands.index:info_command",
    "forget": "imgsim_edge.infer.commands.upkeep:forget_command",
    "relocate": "imgsim_edge.infer.commands.upkeep:relocate_command",
    "verify": "imgsim_edge.infer.commands.upkeep:verify_command",
    "repair": "imgsim_edge.infer.commands.upkeep:repair_command",
    "publish": "imgsim_edge.infer.commands.publish:publish_command",
    "embed": "imgsim_edge.infer.commands.embed:embed_command",
    "model": "imgsim_edge.infer.commands.model:model_command",
    "evaluate": "imgsim_edge.infer.commands.evaluate:evaluate_command",
    "benchmark": "imgsim_edge.infer.commands.benchmark:benchmark_command",
    "train": "imgsim_edge.train.cli:train_command",
    "export": "imgsim_edge.export.cli:export_command",
}


class _LazyCommands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, function = COMMANDS[cmd_name].split(":")
        alone = typer.Typer(add_completion=False)
        alone.command(cmd_name)(getattr(import_module(module), function))
        return typer.main.get_command(alone)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            # Here, since Typer would end the program without a word, and wait for every thread.
            typer.echo("interrupted", err=True)
            os._exit(exit_status(interrupt))


app = typer.Typer(cls=_LazyCommands, no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"imgsim-edge {version('imgsim-edge')}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Find similar photos on small machines: offline, on the CPU."""


def _keep_stderr() -> None:
    """Let this program alone write to stderr: C libraries say there what is wrong with a photo."""
    try:
        own = os.dup(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # there is none
        return
    sys.stderr = os.fdopen(own, "w", buffering=1, encoding=sys.stderr.encoding)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def main() -> None:
    """Run the command line and end the process."""
    debug = "--debug" in sys.argv
    if not debug:
        warnings.simplefilter("ignore")  # Pillow's remarks on odd files are not for the user
        if not sys._xoptions:  # of Python, such as importtime, which writes there too
            _keep_stderr()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="surrogateescape")  # paths need not be valid UTF-8
    status: Any = 0
    try:
        app()
    except ImgsimError as error:
        if debug:
            raise
        typer.echo(f"error: {visible(str(error))}", err=True)
        status = 1
    except SystemExit as ending:
        status = ending.code
    try:
        sys.stdout.flush()
    except OSError:  # whoever read the answers has left
        status = status or 1
    # Nothing is open by now; taking NumPy and ONNX Runtime apart would cost a tenth of a query.
    os._exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
