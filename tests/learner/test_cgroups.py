"""A group in a delegated subtree. Made of plain files: the kernel's own is not delegated on every machine."""

import os
from pathlib import Path

import pytest

from learner.cgroups import Group


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hierarchy as systemd leaves it: ``user.slice/app.slice/shell.scope``, controllers offered by app.slice.

    A new directory gets the files that the kernel would put there.
    """
    top = tmp_path / "cgroup"
    (top / "user.slice/app.slice/shell.scope").mkdir(parents=True)
    for directory in (top, top / "user.slice", top / "user.slice/app.slice", top / "user.slice/app.slice/shell.scope"):
        (directory / "cgroup.procs").touch()
        (directory / "cgroup.subtree_control").touch()
    (top / "user.slice/app.slice/cgroup.subtree_control").write_text("cpu memory pids\n")
    made = os.mkdir

    def mkdir(path: str, mode: int = 0o777) -> None:
        made(path, mode)
        offered = (Path(path).parent / "cgroup.subtree_control").read_text().split()
        names = ["cgroup.procs", "cgroup.kill"]
        names += ["memory.max", "memory.swap.max"] if "memory" in offered else []
        names += ["pids.max"] if "pids" in offered else []
        for name in names:
            (Path(path) / name).touch()

    monkeypatch.setattr("learner.cgroups.os.mkdir", mkdir)
    (tmp_path / "own").write_text("7:cpu:/x\n0::/user.slice/app.slice/shell.scope\n")
    return top


def make(mount: Path, memory: int | None = None, procs: int | None = None) -> Group | None:
    return Group.make(memory=memory, procs=procs, mounts=("/nonesuch", str(mount)), own=str(mount.parent / "own"))


def test_a_group_beside_ours(mount: Path) -> None:
    group = make(mount, memory=1 << 30, procs=20)
    assert group is not None
    assert (group.memory, group.procs) == (True, True)
    place = Path(group.path)
    assert place.parent == mount / "user.slice/app.slice"
    assert (place / "memory.max").read_text() == str(1 << 30)
    assert (place / "memory.swap.max").read_text() == "0"
    assert (place / "pids.max").read_text() == "20"
    group.enter()
    assert (place / "cgroup.procs").read_text() == "0"
    group.kill()
    assert (place / "cgroup.kill").read_text() == "1"
    group.remove()  # stays: plain files are in it, where the kernel's would go with the directory


def test_nothing_is_made_where_nothing_is_wanted(mount: Path) -> None:
    assert make(mount) is None
    assert not list(mount.rglob("sbx-*"))


def test_one_controller_of_two(mount: Path) -> None:
    (mount / "user.slice/app.slice/cgroup.subtree_control").write_text("pids\n")
    group = make(mount, memory=1 << 30, procs=20)
    assert group is not None
    assert (group.memory, group.procs) == (False, True)


def test_no_controller_no_group(mount: Path) -> None:
    (mount / "user.slice/app.slice/cgroup.subtree_control").write_text("cpu\n")
    assert make(mount, memory=1 << 30, procs=20) is None
    assert not list(mount.rglob("sbx-*"))


def test_a_limit_that_the_kernel_refuses(mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, text: str) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr("learner.cgroups.write_setting", refuse)
    monkeypatch.setattr("learner.cgroups.os.rmdir", lambda path: removed.append(path))
    removed: list[str] = []
    assert make(mount, memory=1 << 30) is None
    assert len(removed) == 1


def test_no_unified_hierarchy(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("3:memory:/x\n")
    assert Group.make(memory=1, procs=1, mounts=(str(tmp_path),), own=str(own)) is None
    assert Group.make(memory=1, procs=1, mounts=(str(tmp_path),), own="/nonesuch") is None
