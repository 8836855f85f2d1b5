import pytest
from samples import VARIABLES, VIBE

from learner.cli import main
from learner.profile import dumps
from learner.store import profile_path, write_atomically
from learner.variables import Variables

pytestmark = pytest.mark.usefixtures("vibe")


def store(name: str, text: str) -> None:
    write_atomically(profile_path(name), text.encode())


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "function vibe { command sbx run vibe -- 'vibe' \"$@\"; }"),
        ("zsh", "function vibe { command sbx run vibe -- 'vibe' \"$@\"; }"),
        ("fish", "function vibe; command sbx run vibe -- 'vibe' $argv; end"),
    ],
)
def test_a_function_for_each_profile(shell: str, line: str, capfd: pytest.CaptureFixture[str]) -> None:
    store("git", 'version = 1\nname = "git"\ncommand = "$HOME/bin/git"\nplatform = "linux"\n')
    assert main.main(["shell-init", shell]) == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("# ")
    assert lines[2:] == [line]
    assert "/bin/git'" in lines[1]
    assert err == ""
    assert main.main(["shell-init", shell, "vibe"]) == 0
    assert capfd.readouterr().out.splitlines()[1:] == [line]


def test_what_is_left_out_is_said(account: Variables, capfd: pytest.CaptureFixture[str]) -> None:
    store("cd", dumps(VIBE, VARIABLES))
    store("broken", 'version = 1\nname = "\\u001b"\n[[nonesense')
    store("empty", 'version = 1\nname = "e"\ncommand = ""\nplatform = "linux"\n')
    assert main.main(["shell-init", "bash"]) == 0
    out, err = capfd.readouterr()
    for name in ("cd", "broken", "empty"):
        assert f"function {name} " not in out
        assert any(line.startswith("# left out: ") and name in line for line in out.splitlines())
        assert name in err
    assert "function vibe " in out
    assert account.home


def test_a_name_that_is_no_profile(capfd: pytest.CaptureFixture[str]) -> None:
    assert main.main(["shell-init", "bash", "nope"]) == 2
    assert "no profile called nope" in capfd.readouterr().err
    assert main.main(["shell-init", "tcsh"]) == 2
