"""The interactive fixture, untraced: under a bare terminal, and under a shell with job control."""

import shutil
import sys

import pytest
from capability import require
from programs import SOURCES
from terminal import Terminal

TUI = [sys.executable, str(SOURCES / "tui.py")]


@pytest.mark.parametrize("mode", [[], ["--raw"]])
def test_keys_and_window(mode: list[str]) -> None:
    with Terminal([*TUI, *mode]) as terminal:
        terminal.expect("ready ")
        assert not terminal.echoes()
        terminal.resize(33, 111)
        terminal.expect("size 33x111")
        terminal.type("\x03")
        terminal.expect("got-int")
        terminal.type("k")
        terminal.expect("key k")
        terminal.type("q")
        assert terminal.wait() == 7
        assert terminal.echoes()


@pytest.mark.parametrize("mode", ["", "--raw", "--group"])
def test_stops_and_resumes_under_a_shell(mode: str) -> None:
    bash = shutil.which("bash")
    require(bash, "bash is not installed: there is no shell with job control")
    assert bash is not None
    with Terminal(
        [bash, "--norc", "--noprofile", "--noediting", "-i"], {"PS1": "shell> ", "PATH": "/usr/bin:/bin"}
    ) as shell:
        shell.expect("shell> ")
        shell.type(f"{' '.join(TUI)} {mode}\n")
        shell.expect("ready ")
        shell.type("\x1a")
        shell.expect("stopping")
        shell.expect("Stopped")
        shell.expect("shell> ")
        assert shell.echoes()
        shell.type("fg\n")
        shell.expect("resumed")
        assert not shell.echoes()
        shell.type("\x03")
        shell.expect("got-int")
        shell.type("q")
        shell.expect("shell> ")
        shell.type("echo status=$?\n")
        shell.expect("status=7")
