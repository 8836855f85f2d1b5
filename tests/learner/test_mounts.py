"""Second names of what is mounted twice, told from a table of mounts."""

import os
from pathlib import Path

import pytest

from learner import mounts as module
from learner.mounts import Mount, mounts, second_names

DISK, OTHER = "8:1", "8:2"


@pytest.fixture(autouse=True)
def _nothing_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_same", lambda _one, _other: True)


def names(path: str, *known: Mount) -> list[str]:
    return [name for _, name in second_names([path], known)]


@pytest.mark.parametrize(
    ("path", "known", "expected"),
    [
        ("/home/ada/.ssh", [Mount(DISK, "/", "/")], []),
        ("/home/ada/.ssh", [Mount(DISK, "/", "/"), Mount(OTHER, "/", "/mnt")], []),
        ("/home/ada/.ssh", [Mount(DISK, "/", "/"), Mount(DISK, "/", "/mnt")], ["/mnt/home/ada/.ssh"]),
        ("/home/ada/.ssh", [Mount(DISK, "/", "/"), Mount(DISK, "/home", "/mnt")], ["/mnt/ada/.ssh"]),
        ("/home/ada/.ssh", [Mount(DISK, "/", "/"), Mount(DISK, "/home/bob", "/mnt")], []),
        ("/home/ada/.ssh", [Mount(DISK, "/", "/"), Mount(DISK, "/home/ada/.ssh/keys", "/mnt")], ["/mnt"]),
        ("/home/ada/.ssh", [Mount(DISK, "/", "/"), Mount(DISK, "/home/ada/.ssh", "/home/ada/.ssh")], []),
        ("/home/ada/.ssh", [Mount(DISK, "/@root", "/"), Mount(DISK, "/", "/top")], ["/top/@root/home/ada/.ssh"]),
        ("/home/ada/.ssh", [Mount(OTHER, "/", "/"), Mount(DISK, "/@home", "/home"), Mount(DISK, "/", "/t")],
         ["/t/@home/ada/.ssh"]),
        ("/home/ada/.ssh", [Mount(DISK, "/", "/"), Mount(DISK, "/", "/mnt"), Mount(OTHER, "/", "/home")], []),
    ],
)  # fmt: skip
def test_second_names(path: str, known: list[Mount], expected: list[str]) -> None:
    assert names(path, *known) == expected


def test_a_hidden_name_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_same", lambda _one, _other: False)
    assert names("/home/ada/.ssh", Mount(DISK, "/", "/"), Mount(DISK, "/", "/mnt")) == []


def test_the_table_of_this_process() -> None:
    found = mounts()
    assert any(mount.point == "/" for mount in found)
    assert all(mount.point.startswith("/") for mount in found)


def test_names_are_unescaped(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    table = scratch / "mountinfo"
    table.write_bytes(b"30 1 8:1 / /a\\040b\\134\xff rw,noatime shared:1 - ext4 /dev/x rw\n")
    really = open
    monkeypatch.setattr("builtins.open", lambda _path, mode: really(table, mode))
    assert mounts() == (Mount(DISK, "/", os.fsdecode(b"/a b\\\xff")),)
