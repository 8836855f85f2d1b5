import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from learner.cli import lazy, main
from learner.errors import InputFileError

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "import sys; from learner.cli.main import main; sys.exit(main())"]


def test_help_lists_every_command_without_importing_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, entry in main._COMMANDS.items():
        assert f"  {name} " in out
        assert entry.help in out


def test_help_imports_neither_rich_nor_networkx() -> None:
    code = (
        "import sys; from learner.cli.main import main; main(['--help']);"
        "print({'rich', 'networkx', 'tomlkit', 'learner.profile'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("sbx ")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["lst"], "did you mean list?"),
        (["frobnicate"], "to watch a command: sbx learn -- COMMAND"),
        (["--nope"], "No such option"),
        (["show"], "Missing argument"),
        (["show", "-x", "vibe"], "No such option"),
        (["show", ".x"], "cannot name a profile"),
    ],
)
def test_usage_errors(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(argv) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.out == ""


def run_body(monkeypatch: pytest.MonkeyPatch, body: object) -> int:
    """The status of ``sbx show`` when its body is ``body``."""
    command = click.Command("show", callback=body)  # type: ignore[arg-type]
    monkeypatch.setattr(lazy.LazyGroup, "get_command", lambda *_: command)
    return main.main(["show"])


def test_an_error_is_two_lines_and_its_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> None:
        raise InputFileError("x.toml:3: not TOML", "mend it")

    assert run_body(monkeypatch, body) == 4
    assert capsys.readouterr().err == "sbx: x.toml:3: not TOML\n     mend it\n"


def test_an_interrupt_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        raise KeyboardInterrupt

    assert run_body(monkeypatch, body) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (125, 125)])
def test_a_command_returns_its_status(returned: int | None, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_body(monkeypatch, lambda: returned) == status


def test_a_reader_that_goes_is_no_news() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, "--help"], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_output_that_is_lost_is_said() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "--help"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "sbx: the output could not be written: No space left on device\n"


@pytest.mark.parametrize(
    "words", [["verify", "vibe", "--mode", "live"], ["run", "vibe", "--watch"], ["check", "vibe", "-v"]]
)
@pytest.mark.usefixtures("vibe")
def test_an_option_after_the_profile_is_not_taken_for_a_command(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(words) == 2
    assert f"{words[2]} stands after the profile" in capsys.readouterr().err
