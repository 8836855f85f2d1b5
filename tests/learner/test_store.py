import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from samples import hostile_names

from learner import store
from learner.errors import MachineError, SbxError, UsageError
from learner.store import check_name, name_for, profile_files, profile_path, trace_path, write_atomically


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def left_behind(directory: Path) -> list[str]:
    return [name for name in os.listdir(directory) if name.endswith(".tmp")]


def test_default_places(tmp_path: Path) -> None:
    assert profile_path("vibe@2.18") == f"{tmp_path}/home/.config/sbx/profiles/vibe@2.18.toml"
    assert trace_path("vibe") == f"{tmp_path}/home/.local/state/sbx/traces/vibe.jsonl"


def test_xdg_places_count_only_if_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/c")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert profile_path("vibe") == "/c/sbx/profiles/vibe.toml"
    assert trace_path("vibe").startswith(str(tmp_path))


@pytest.mark.parametrize("file", ["./vibe", "/a/b", "vibe.toml", "../x.toml", ".toml"])
def test_a_slash_or_the_suffix_makes_it_a_file(file: str) -> None:
    assert profile_path(file) == file


@pytest.mark.parametrize("name", ["", ".hidden", "-n", "a b", "a\nb", "é", "vibe\n", "..", "x" * 201, "a\\b"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a profile") as caught:
        profile_path(name)
    assert "\n" not in str(caught.value)


@given(hostile_names)
def test_every_command_gets_a_usable_name(command: str) -> None:
    assert check_name(name_for(command))


@pytest.mark.parametrize(
    ("command", "name"),
    [("vibe", "vibe"), ("./my tool", "my-tool"), ("/opt/a/.x", "x"), ("--", "command"), ("a.toml", "a-toml")],
)
def test_name_for(command: str, name: str) -> None:
    assert name_for(command) == name


def test_profiles_are_listed_by_name() -> None:
    assert list(profile_files()) == []
    for name in ("vibe", "pi"):
        write_atomically(profile_path(name), b"")
    directory = Path(profile_path("pi")).parent
    (directory / "README").touch()
    (directory / ".sbx-1.tmp").touch()
    assert [name for name, _ in profile_files()] == ["pi", "vibe"]


def test_a_new_file_and_its_directories_are_private(tmp_path: Path) -> None:
    path = tmp_path / "a/b/c.toml"
    write_atomically(str(path), b"x")
    assert path.read_bytes() == b"x"
    assert mode(path) == 0o600
    assert mode(tmp_path / "a") == mode(tmp_path / "a/b") == 0o700


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_bytes(b"old")
    path.chmod(0o664)
    write_atomically(str(path), b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", 0o664)
    assert left_behind(tmp_path) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_root_leaves_a_file_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_bytes(b"old")
    os.chown(path, 1234, 2345)
    write_atomically(str(path), b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "dotfiles/vibe.toml"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link = tmp_path / "vibe.toml"
    link.symlink_to("dotfiles/vibe.toml")
    write_atomically(str(link), b"new")
    assert link.is_symlink()
    assert not target.is_symlink()
    assert target.read_bytes() == b"new"
    assert left_behind(tmp_path) == left_behind(target.parent) == []


def test_a_dangling_link_gets_its_target(tmp_path: Path) -> None:
    link = tmp_path / "vibe.toml"
    link.symlink_to("new/place/vibe.toml")
    write_atomically(str(link), b"x")
    assert link.is_symlink()
    assert (tmp_path / "new/place/vibe.toml").read_bytes() == b"x"


def test_a_name_of_255_bytes_can_be_saved(tmp_path: Path) -> None:
    write_atomically(f"{tmp_path}/{'x' * 255}", b"x")


def test_a_device_is_written_to_and_stays() -> None:
    write_atomically("/dev/null", b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", "is a directory"),
        ("/file/below", "no directory"),
        ("/loop", "Too many levels of symbolic links"),
        ("/" + "x" * 300, "File name too long"),
    ],
)
def test_what_cannot_be_a_file_is_said_in_one_sentence(tmp_path: Path, path: str, says: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SbxError, match=says) as caught:
        write_atomically(str(tmp_path) + path, b"x")
    assert str(tmp_path) in str(caught.value)
    assert caught.value.remedy
    assert left_behind(tmp_path) == []


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c"
    path.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(MachineError, match=r"cannot write .*/c: No space left on device") as caught:
        write_atomically(str(path), b"new")
    assert "make room" in caught.value.remedy
    assert path.read_bytes() == b"old"
    assert left_behind(tmp_path) == []


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store.os, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(str(tmp_path / "c"), b"new")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_no_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(MachineError, match="Permission denied"):
        write_atomically(str(tmp_path / "c"), b"x")
    tmp_path.chmod(0o700)
