import os
import socket
from pathlib import Path

import pytest

from learner.cli.main import main
from learner.store import profile_path, write_atomically
from learner.variables import Variables

pytestmark = pytest.mark.usefixtures("vibe")


def why(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, list[str]]:
    status = main(["why", "--enforcer", "landlock", *argv])
    return status, capsys.readouterr().out.splitlines()


def test_admitted_with_who_needed_it(account: Variables, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(account.home, ".gitconfig")
    path.touch()
    assert why(capsys, str(path)) == (
        0,
        [
            "admitted: read $HOME/.gitconfig",
            "  by $HOME/.gitconfig  read",
            "     git, vibe: read it",
            "proved: the enforcer admits $HOME/.gitconfig",
        ],
    )


def test_a_relative_path_and_a_directory_that_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = why(capsys, "../engine")
    assert (status, lines[0]) == (0, "admitted: list $PROJECT")


def test_the_chain_of_links_is_shown(account: Variables, capsys: pytest.CaptureFixture[str]) -> None:
    home = Path(account.home)
    (home / "dotfiles").mkdir()
    (home / "dotfiles/real").touch()
    (home / "dotfiles/link").symlink_to("real")
    (home / ".config/rc").symlink_to("../dotfiles/link")
    status, lines = why(capsys, str(home / ".config/rc"))
    assert status == 1
    assert lines == [
        "link: $XDG_CONFIG_HOME/rc -> ../dotfiles/link",
        "link: $HOME/dotfiles/link -> real",
        "not admitted: read $HOME/dotfiles/real",
        "proved: the enforcer refuses $HOME/dotfiles/real (EACCES)",
        "This grant would admit it:",
        "",
        "# no program was seen to need it: added by hand",
        "[[grant]]",
        'path = "$HOME/dotfiles/real"',
        'scope = "file"',
        'rights = ["read"]',
    ]


def test_a_link_itself_is_removed_not_its_target(account: Variables, capsys: pytest.CaptureFixture[str]) -> None:
    Path("link").symlink_to("/etc/passwd")
    status, lines = why(capsys, "link", "--op", "remove")
    assert (status, lines[0]) == (1, "not admitted: remove $PROJECT/link")
    assert "  $PROJECT/** gives read list, but not remove" in lines


def test_what_does_not_exist(account: Variables, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = why(capsys, os.path.join(account.home, ".vibe/new"), "--op", "create")
    assert status == 0
    assert lines[:2] == ["nothing is there now: $HOME/.vibe/new", "admitted: create $HOME/.vibe/new"]


def test_a_socket_is_connected_to(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        status, lines = why(capsys, "s")
    assert (status, lines[0]) == (1, "not admitted: connect to $PROJECT/s")
    assert 'rights = ["connect"]' in lines


@pytest.mark.parametrize(
    ("argv", "status", "first"),
    [
        (["127.0.0.1:4000"], 0, "admitted: connect 127.0.0.1:4000/tcp"),
        (["127.0.0.1:4001"], 1, "not admitted: connect 127.0.0.1:4001/tcp"),
        (["[::]:0", "--op", "bind"], 0, "admitted: bind [::]:*/udp"),
        (["127.0.0.1:4000", "--op", "read"], 0, "nothing is there now: $PROJECT/127.0.0.1:4000"),
    ],
)
def test_endpoints(argv: list[str], status: int, first: str, capsys: pytest.CaptureFixture[str]) -> None:
    found, lines = why(capsys, *argv)
    assert (found, lines[0]) == (status, first)


def test_hostile_names_are_shown_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[31m\n\udcff"
    Path(name).symlink_to("b\x1b]0;x\x07")
    status, lines = why(capsys, name, "--op", "write")
    assert status == 1
    assert lines[0] == "link: $PROJECT/a\\x1b[31m\\x0a\\xff -> b\\x1b]0;x\\x07"


def test_a_pipe_takes_no_grant(capsys: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    status, lines = why(capsys, f"/proc/self/fd/{reader}")
    os.close(reader)
    os.close(writer)
    assert status == 0
    assert "takes no grant" in lines[0]


def test_with_several_profiles_it_must_be_named(vibe: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_atomically(profile_path("pi"), Path(vibe).read_bytes())
    assert main(["why", "/etc"]) == 2
    assert "which profile? There are pi, vibe" in capsys.readouterr().err
    assert why(capsys, "/etc/x", "--profile", vibe)[0] == 0


def test_without_a_profile(vibe: str, capsys: pytest.CaptureFixture[str]) -> None:
    os.unlink(vibe)
    assert main(["why", "/etc"]) == 2
    assert "there is no profile yet" in capsys.readouterr().err
