"""The outer command: help, version, errors as sentences, exit codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import typer

from timbre import __version__
from timbre.cli import main as cli
from timbre.cli.commands import COMMANDS, CommandSpec
from timbre.errors import TimbreError, VoiceError


class _OwnCodeError(TimbreError):
    exit_code = 5


def _raise(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[BaseException], None]]:
    """Let the command `fail` raise a given error."""
    monkeypatch.setitem(COMMANDS, "fail", CommandSpec("Fail.", "nowhere:fail"))
    load = cli._load

    def arrange(error: BaseException) -> None:
        monkeypatch.setattr(cli, "_load", lambda target: _raise(error) if target == "nowhere:fail" else load(target))

    yield arrange


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, spec in COMMANDS.items():
        assert any(line.split() == [name, *spec.help.split()] for line in lines), name


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: timbre {name}")
    assert "Options:" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_unknown_option_of_every_command_is_one_sentence(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--nonsense"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("timbre: no such option: --nonsense")
    assert captured.err.endswith(f"; see: timbre {name} --help\n")
    assert captured.err.count("\n") == 1


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sing"]) == 2
    assert capsys.readouterr().err == "timbre: no such command 'sing'; see: timbre --help\n"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"timbre {__version__}\n"


def test_only_the_asked_command_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(cli, "_load", lambda target: loaded.append(target) or cli._not_loaded)
    cli.build_app("doctor")
    cli.build_app(None)
    assert loaded == ["timbre.cli.doctor:doctor"]


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (VoiceError("there is no voice 'nora';\nknown are: none"), 2, "there is no voice 'nora'; known are: none"),
        (_OwnCodeError("own code"), 5, "own code"),
        (PermissionError(13, "Permission denied", "out.wav"), 2, "out.wav: Permission denied; use another one"),
        (MemoryError(), 2, cli._MEMORY_SENTENCE),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, cli._MEMORY_SENTENCE),
        (KeyboardInterrupt(), 130, "interrupted"),
        (typer.Abort(), 130, "interrupted"),
    ],
)
def test_error_is_one_sentence_without_traceback(
    failing: Callable[[BaseException], None],
    error: BaseException,
    code: int,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing(error)
    assert cli.main(["fail"]) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert captured.err.split("\n")[-2] == f"timbre: {sentence}"
    assert captured.out == ""


@pytest.mark.parametrize("arguments", [["--debug", "fail"], ["fail", "--debug"]])
def test_debug_shows_the_traceback_and_the_sentence(
    failing: Callable[[BaseException], None], arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(VoiceError("no voice"))
    assert cli.main(arguments) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("timbre: no voice\n")


def test_defect_of_the_program_is_not_hidden(failing: Callable[[BaseException], None]) -> None:
    failing(ZeroDivisionError("defect"))
    with pytest.raises(ZeroDivisionError):
        cli.main(["fail"])


def test_exit_code_of_a_command_is_passed_on(failing: Callable[[BaseException], None]) -> None:
    failing(typer.Exit(7))
    assert cli.main(["fail"]) == 7


def test_run_exits_with_the_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["timbre", "sing"])
    with pytest.raises(SystemExit) as caught:
        cli.run()
    assert caught.value.code == 2


def test_shell_completion_loads_the_typed_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_TIMBRE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "timbre convert --loudn")
    monkeypatch.setenv("COMP_CWORD", "2")
    with pytest.raises(SystemExit):
        cli.main([])
    assert "--loudness-envelope" in capsys.readouterr().out


def test_threads_wait_briefly_unless_the_user_chose_otherwise() -> None:
    environment: dict[str, str] = {}
    cli.wait_briefly(environment)
    assert environment == {"GOMP_SPINCOUNT": "10000"}
    for chosen in ({"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}):
        environment = dict(chosen)
        cli.wait_briefly(environment)
        assert environment == chosen
