"""A jailed command at a terminal: its keys and its stops are as if it were started by the shell itself."""

import sys
import time
from pathlib import Path

import pytest
from capability import require
from jailed import jails_work
from terminal import Terminal

pytestmark = pytest.mark.kernel

PROFILE = """version = 1
name = "t"
command = "sh"
[[grant]]
path = "/"
scope = "tree"
rights = ["read", "list", "exec", "write", "ioctl"]
[[network]]
action = "connect"
host = "api.test"
port = 443
transport = "tcp"
"""


@pytest.fixture
def command(scratch: Path) -> str:
    require(jails_work(), "user and network namespaces with nftables")
    profile = scratch / "t.toml"
    profile.write_text(PROFILE)
    return f"{sys.executable} -m learner run {profile} -- "


def test_stopping_and_continuing(command: str) -> None:
    with Terminal(["bash", "--norc", "-i"]) as shell:
        shell.type("PS1='re''ady> '\r")
        shell.expect("ready> ")
        shell.type(command + "sh -c 'echo beg''un; while read x; do echo \"<$x>\"; done'\r")
        shell.expect("begun")
        shell.type("one\r")
        shell.expect("<one>")
        shell.type("\x1a")
        shell.expect("Stopped")
        shell.expect("ready> ")
        shell.type("fg\r")
        shell.expect("done'")
        time.sleep(0.5)  # bash drops what is typed while it hands the terminal over
        shell.type("two\r")
        shell.expect("<two>")
        shell.type("\x04")
        shell.expect("ready> ")


def test_interrupting(command: str) -> None:
    with Terminal(["bash", "--norc", "-i"]) as shell:
        shell.type("PS1='re''ady> '\r")
        shell.expect("ready> ")
        shell.type(command + "sh -c 'trap \"echo cau\"ght INT; echo beg''un; sleep 0.1; while :; do sleep 0.1; done'\r")
        shell.expect("begun")
        shell.type("\x03")
        shell.expect("caught")
        shell.type("\x1c")  # and Ctrl-\ ends it
        shell.expect("ready> ")


def test_a_command_that_stops_itself(command: str) -> None:
    with Terminal(["bash", "--norc", "-i"]) as shell:
        shell.type("PS1='re''ady> '\r")
        shell.expect("ready> ")
        shell.type(command + "sh -c 'echo beg''un; kill -STOP $$; echo ag''ain'\r")
        shell.expect("begun")
        shell.expect("Stopped")
        shell.expect("ready> ")
        shell.type("fg\r")
        shell.expect("again")
        shell.expect("ready> ")
