import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from accesses import policy
from children import ChildError, in_child

from learner.command import find
from learner.enforcers.enforcer import Strength
from learner.errors import LaunchError
from learner.gaps import Gap
from learner.launch import ensure_directories, execute
from learner.policy import Policy, Right, Scope
from tracers.tracer import Command


class Open:
    """A confinement that confines nothing, or cannot."""

    strength = Strength.NONE
    gaps: tuple[Gap, ...] = ()

    def __init__(self, problem: OSError | None = None) -> None:
        self._problem = problem

    supervised = False

    def wrap(self, command: Command) -> Command:
        return Command(command.file, command.argv, self.apply)

    def check(self) -> None:
        """Do nothing."""

    def apply(self) -> None:
        if self._problem:
            raise self._problem

    def close(self) -> None:
        """Do nothing."""


def tool(path: Path, content: str) -> str:
    path.write_text(content)
    path.chmod(0o755)
    return str(path)


def launching(*words: str, confinement: Open | None = None) -> Callable[[], None]:
    return lambda: execute(find(words), confinement or Open())


def test_the_command_takes_our_place(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ChildError, match="died"):  # it has another program's voice
        in_child(launching("sh", "-c", 'echo "$0 $1" > "$2"', "a b", "\udcff", str(out)))
    assert out.read_bytes() == b"a b \xff\n"


def test_a_script_without_a_first_line_goes_to_the_shell(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ChildError, match="died"):
        in_child(launching(tool(tmp_path / "tool", 'echo "$0 $*" > "$1"\n'), str(out), "b c"))
    assert out.read_text() == f"{tmp_path}/tool {out} b c\n"


def test_a_pipe_that_nobody_reads_ends_the_command(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = f"trap > {out}; grep SigIgn /proc/self/status >> {out}"
    with pytest.raises(ChildError, match="died"):
        in_child(launching("sh", "-c", script))
    ignored = int(out.read_text().rsplit(":", 1)[1], 16)
    assert not ignored & (1 << 12)  # SIGPIPE, which Python itself ignores


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("#!/nonesuch/sh\n", "NotFound: .*its interpreter or loader is missing, or not granted"),
        ("#!/etc/passwd\n", "NotExecutable: .*Permission denied"),
    ],
)
def test_what_cannot_be_executed(content: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ChildError, match=says):
        in_child(launching(tool(tmp_path / "tool", content)))


def test_a_confinement_that_cannot_be_set_up() -> None:
    with pytest.raises(ChildError, match="LaunchError: the confinement could not be set up: too many layers"):
        in_child(launching("true", confinement=Open(OSError(7, "too many layers"))))


def ensured(path: str) -> Policy:
    one = policy((path, Scope.TREE, Right.READ))
    return msgspec.structs.replace(one, grants=(msgspec.structs.replace(one.grants[0], ensure=True),))


def test_directories_are_made_for_the_user_alone(tmp_path: Path) -> None:
    ensure_directories(ensured(f"{tmp_path}/made"))
    ensure_directories(ensured(f"{tmp_path}/made"))
    assert os.stat(tmp_path / "made").st_mode & 0o777 == 0o700
    ensure_directories(policy((f"{tmp_path}/other", Scope.TREE, Right.READ)))
    assert os.listdir(tmp_path) == ["made"]


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (f"{tmp_path}/file", f"{tmp_path}/file/x\n"):
        with pytest.raises(LaunchError, match="cannot be made") as caught:
            ensure_directories(ensured(path))
        assert caught.value.status == 125
        assert str(caught.value).isprintable()
