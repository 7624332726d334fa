"""The command `timbre`: finds the asked command, loads only that one, and turns errors into sentences."""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import sys
import traceback
from collections.abc import MutableMapping, Sequence
from typing import Any

import typer

from timbre import __version__
from timbre.cli.commands import COMMANDS, LIST_OPTIONS, CommandSpec
from timbre.errors import TimbreError

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130
PATH_OPTIONS = ("-o", "--output", "--like", "--voice", "--source", "--converted", "--probe")
_MEMORY_SENTENCE = (
    "the memory of this machine does not suffice; close other programs, or give shorter recordings or a smaller batch"
)
# The root of typer's usage errors: BadParameter is public in every version of typer, its parents are not.
_UsageProblem: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def run() -> None:
    """Run the command line of this process and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file name of any script may be printed anywhere
    wait_briefly(os.environ)
    for name in ("SIGTERM", "SIGHUP"):  # tidied up after as after Ctrl-C
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
            signal.signal(getattr(signal, name), signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))


def wait_briefly(environment: MutableMapping[str, str]) -> None:
    """Let threads that wait for each other soon give their core away, unless `environment` says how they shall wait.

    By default they spin for milliseconds at each step. Where other programs want the cores as well, a conversion on
    two threads took twice to five times as long by that; where none do, waiting briefly made no difference. Has to
    be set before PyTorch is loaded.
    """
    if not environment.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}:
        environment["GOMP_SPINCOUNT"] = "10000"


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code.

    0 is success, 2 a mistake of the user (told in one sentence on stderr), 130 an interruption.
    """
    rest, debug = _take_debug(arguments)
    if _has_empty_path(rest):
        return _complain("an empty path was given; name a file or folder (. is the current one)", EXIT_MISTAKE, debug)
    rest = _repeat_lists(rest)
    command = _asked_command(rest)
    app = build_app(command)
    code: Any = 0
    try:
        kept: dict[object, object] = {}  # what one run may leave to the next
        for words in _translated(command, rest):
            code = app(args=words or ["--help"], prog_name="timbre", standalone_mode=False, obj=kept)
            if code:
                break
    except TimbreError as error:
        return _complain(str(error), error.exit_code, debug)
    except _UsageProblem as error:
        return _complain(_usage_sentence(error, command), EXIT_MISTAKE, debug)
    except OSError as error:
        return _complain(_system_sentence(error), EXIT_MISTAKE, debug)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted", EXIT_INTERRUPTED, debug)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        return _complain(_MEMORY_SENTENCE, EXIT_MISTAKE, debug)
    if code == EXIT_INTERRUPTED:  # newer versions of typer turn the interruption into a return value
        return _complain("interrupted", EXIT_INTERRUPTED, debug=False)
    return code if isinstance(code, int) else 0


def build_app(command: str | None = None) -> typer.Typer:
    """Build the application with all commands listed and only `command` loaded; the others have a help line only."""
    app = typer.Typer(
        name="timbre",
        rich_markup_mode=None,  # plain help: importing rich would double the time of --help
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    )
    app.callback()(_root)
    for name, spec in COMMANDS.items():
        _add(app, name, spec, _load(spec.target) if name == command else _not_loaded)
    return app


def _root(
    version: bool = typer.Option(
        False,
        "--version",
        help="Print the version and exit.",
        callback=lambda asked: _print_version(asked),
        is_eager=True,
    ),
    debug: bool = typer.Option(False, "--debug", help="On an error, also print where in the program it arose."),
) -> None:
    """Turn a voice into another voice: same melody, words and expression, another person's timbre."""


def _print_version(asked: bool) -> None:
    if asked:
        print(f"timbre {__version__}")
        raise typer.Exit


def _add(app: typer.Typer, name: str, spec: CommandSpec, target: Any) -> None:
    if isinstance(target, typer.Typer):
        app.add_typer(target, name=name, help=spec.help)
    else:
        app.command(name, short_help=spec.help)(target)


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _not_loaded() -> None:
    """Stand in for a command that was not asked for."""


def _take_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """Split off --debug, which may stand before or after the command (but not after a lone --)."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    options = [word for word in arguments[:end] if word != "--debug"]
    return options + list(arguments[end:]), len(options) < end


def _has_empty_path(arguments: Sequence[str]) -> bool:
    """Say whether a path is an empty word, as an unset variable of a shell leaves it; text may be empty."""
    pairs = itertools.pairwise(["", *arguments])
    return any(not word and (not last.startswith("-") or last in PATH_OPTIONS) for last, word in pairs)


def _translated(command: str | None, arguments: list[str]) -> list[list[str]]:
    """Return the arguments of each run; the words of the so-vits-svc tutorial may ask for several.

    Several are only checked at first, so that a mistake in the last one is told before any begins.
    """
    if command != "convert" or command not in arguments:
        return [arguments]
    from timbre.cli.tutorial import translate

    at = arguments.index(command) + 1
    command_line, runs = arguments[:at], translate(arguments[at:])
    checks = [[*command_line, "--check", *words] for words in runs] if len(runs) > 1 else []
    return checks + [command_line + words for words in runs]


def _repeat_lists(arguments: Sequence[str]) -> list[str]:
    """Write `--like a b` as `--like a --like b`: what follows such an option, up to the next option, belongs to it."""
    written: list[str] = []
    current: str | None = None
    for position, word in enumerate(arguments):
        if word == "--":
            return written + list(arguments[position:])
        if word.startswith("-"):
            current = word if word in LIST_OPTIONS else None
        elif current is not None and written[-1] != current:
            written.append(current)
        written.append(word)
    return written


def _asked_command(arguments: Sequence[str]) -> str | None:
    """Return the first word that is no option; while a shell completes, it stands in the shell's variables."""
    typed = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS")
    words = typed.split()[1:] if typed and "_TIMBRE_COMPLETE" in os.environ else arguments
    return next((word for word in words if not word.startswith("-")), None)


def _usage_sentence(error: Exception, command: str | None) -> str:
    """Say what was wrong with the arguments and where the right ones are listed."""
    message = str(getattr(error, "format_message", error.__str__)()).rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else " ".join(filter(None, ("timbre", command)))
    return f"{message[:1].lower()}{message[1:]}; see: {path} --help"


def _is_out_of_memory(error: Exception) -> bool:
    """Say whether numpy or torch asked for more memory than there is; torch has an error of its own for GPUs only."""
    told = ("DefaultCPUAllocator", "out of memory")
    return isinstance(error, MemoryError) or any(part in str(error) for part in told)


def _system_sentence(error: OSError) -> str:
    """Say which file the operating system refused, and why."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}; use another one" if error.filename is not None else reason


def _complain(sentence: str, exit_code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"timbre: {' '.join(sentence.split())}", file=sys.stderr)
    return exit_code
