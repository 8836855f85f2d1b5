import os
from pathlib import Path

import pytest
from capability import require
from children import NOBODY, area_of, in_child

from learner.command import find
from learner.errors import NotExecutable, NotFound, UsageError


def program(path: Path, mode: int = 0o755) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return str(path)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    here = tmp_path.resolve()
    monkeypatch.chdir(here)
    monkeypatch.setenv("PATH", f"{here}/first:{here}/second")
    return here


def test_the_first_on_path_wins(here: Path) -> None:
    second = program(here / "second/tool")
    assert find(("tool", "-x")).file == second
    assert find(("tool", "-x")).argv == ("tool", "-x")
    first = program(here / "first/tool")
    assert find(("tool",)).file == first


def test_what_is_not_executable_is_passed_over(here: Path) -> None:
    program(here / "first/tool", 0o644)
    second = program(here / "second/tool")
    assert find(("tool",)).file == second


@pytest.mark.parametrize("path", [":/nowhere", "/nowhere:", "/nowhere::/nothing", ""])
def test_an_empty_entry_is_the_current_directory(here: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = program(here / "tool")
    monkeypatch.setenv("PATH", path)
    assert find(("tool",)).file == tool


def test_relative_entries_of_path(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = program(here / "bin/tool")
    monkeypatch.setenv("PATH", "bin")
    assert find(("tool",)).file == tool


def test_no_path_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    assert os.path.samefile(find(("sh",)).file, "/bin/sh")


def test_a_name_with_a_slash_is_not_looked_up(here: Path) -> None:
    tool = program(here / "bin/tool")
    program(here / "first/bin/tool")
    found = find(("bin/tool",))
    assert os.path.isabs(found.file)
    assert os.path.samefile(found.file, tool)
    assert os.path.samefile(find(("./bin/../bin/tool",)).file, tool)


def test_dots_after_a_link_are_the_kernels(here: Path) -> None:
    tool = program(here / "elsewhere/tool")
    (here / "elsewhere/deep").mkdir()
    (here / "link").symlink_to("elsewhere/deep")
    program(here / "tool")  # what the path would be as text
    assert os.path.samefile(find(("link/../tool",)).file, tool)


def test_a_link_stays_a_link(here: Path) -> None:
    program(here / "second/busybox")
    (here / "second/ls").symlink_to("busybox")
    assert find(("ls",)).file == str(here / "second/ls")


@pytest.mark.parametrize("words", [(), ("",)])
def test_no_command(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="no command was given") as caught:
        find(words)
    assert "sbx learn --" in caught.value.remedy


@pytest.mark.parametrize("name", ["nonesuch", "./nonesuch", "/nonesuch/x", "new\nline", "\udcff", "x" * 4000])
def test_not_found(here: Path, name: str) -> None:
    with pytest.raises(NotFound) as caught:
        find((name,))
    assert caught.value.status == 127
    assert str(caught.value).isprintable()
    assert caught.value.remedy


def test_entries_of_path_that_may_not_be_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    require(os.getuid() == 0, "needs root, to have a directory that is not the user's")
    with area_of(0) as top:
        os.mkdir(f"{top}/closed", 0o700)
        tool = program(Path(top, "open/tool"))
        monkeypatch.setenv("PATH", f"{top}/closed:{top}/open")

        def statuses() -> list[object]:
            try:
                find(("nonesuch",))
            except NotFound as problem:
                return [problem.status, find(("tool",)).file]
            return []

        assert in_child(statuses, NOBODY) == [127, tool]


def test_a_file_on_the_way(here: Path) -> None:
    program(here / "file")
    with pytest.raises(NotFound, match="Not a directory"):
        find(("./file/tool",))


def test_a_dangling_link_says_where_it_points(here: Path) -> None:
    (here / "tool").symlink_to("gone\n")
    with pytest.raises(NotFound, match=r"tool: No such file or directory; it is a symlink to gone\\x0a"):
        find(("./tool",))


def test_a_loop_of_links(here: Path) -> None:
    (here / "tool").symlink_to("tool")
    with pytest.raises(NotFound, match="Too many levels"):
        find(("./tool",))


def test_a_directory(here: Path) -> None:
    (here / "second/tool").mkdir(parents=True)
    for name in ("./second/tool", "/"):
        with pytest.raises(NotExecutable, match="is a directory") as caught:
            find((name,))
        assert caught.value.status == 126
    with pytest.raises(NotFound):  # on PATH it is no command, as in bash
        find(("tool",))


def test_not_executable(here: Path) -> None:
    program(here / "second/tool", 0o644)
    for name in ("./second/tool", "tool"):
        with pytest.raises(NotExecutable, match="not executable") as caught:
            find((name,))
        assert "chmod +x" in caught.value.remedy
