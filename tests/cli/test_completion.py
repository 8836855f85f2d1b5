import pytest
from click.shell_completion import ShellComplete

from learner.cli import main

pytestmark = pytest.mark.usefixtures("vibe")


def completed(words: list[str], incomplete: str) -> list[str]:
    complete = ShellComplete(main.cli, {}, "sbx", "_SBX_COMPLETE")
    return [item.value for item in complete.get_completions(words, incomplete) if item.type == "plain"]


@pytest.mark.parametrize(
    ("words", "incomplete", "found"),
    [
        ([], "l", ["learn", "list"]),
        ([], "--v", ["--version"]),
        (["show"], "v", ["vibe"]),
        (["show"], "x", []),
        (["show"], "--j", ["--json"]),
        (["why", "--profile"], "", ["vibe"]),
        (["why", "--op"], "re", ["read", "remove"]),
    ],
)
def test_commands_options_and_profiles(words: list[str], incomplete: str, found: list[str]) -> None:
    assert completed(words, incomplete) == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert f"_SBX_COMPLETE={shell}_complete" in out
    assert "_sbx_completion" in out
