import pytest
from accesses import HOME, PLACES, PROJECT, paths
from hypothesis import given

from learner.places import Map, Place, ancestors, is_temporary, is_within


@pytest.mark.parametrize(
    ("path", "place", "directory"),
    [
        (PROJECT, Place.PROJECT, PROJECT),
        (PROJECT + "/src/a.py", Place.PROJECT, PROJECT),
        (PROJECT + "/node_modules/x", Place.PROJECT, PROJECT),
        (PROJECT + "-2/a", Place.HOME, PROJECT + "-2/a"),
        (HOME, Place.HOME, HOME),
        ("/home", Place.OTHER, "/home"),
        ("/", Place.OTHER, "/"),
        ("/etc", Place.OTHER, "/etc"),
        (HOME + "/.config", Place.HOME, HOME + "/.config"),
        (HOME + "/.config/vibe", Place.HOME, HOME + "/.config/vibe"),
        ("/etc/passwd", Place.OTHER, "/etc/passwd"),
        ("/usr/lib/git-core/git", Place.SYSTEM, "/usr"),
        ("/usr", Place.SYSTEM, "/usr"),
        ("/usrlocal/x", Place.OTHER, "/usrlocal/x"),
        ("/lib64/ld-linux.so", Place.SYSTEM, "/lib64"),
        ("/nix/store/abc/bin/sh", Place.SYSTEM, "/nix/store"),
        ("/nix/var", Place.OTHER, "/nix/var"),
        ("/usr/lib/python3.11/os.py", Place.RUNTIME, "/usr/lib/python3.11"),
        (HOME + "/v/lib/python3.12/site-packages/x.py", Place.RUNTIME, HOME + "/v/lib/python3.12"),
        (HOME + "/n/node_modules/a/node_modules/b", Place.RUNTIME, HOME + "/n/node_modules"),
        (HOME + "/new\nline/node_modules/a", Place.RUNTIME, HOME + "/new\nline/node_modules"),
        (HOME + "/my_node_modules/a", Place.HOME, HOME + "/my_node_modules/a"),
        ("/proc/self/status", Place.PROCESS, "/proc"),
        ("/proc/12/status", Place.PROCESS, "/proc"),
        ("/proc", Place.PROCESS, "/proc"),
        ("/proc/meminfo", Place.KERNEL, "/proc"),
        ("/proc/sys/kernel/x", Place.KERNEL, "/proc"),
        ("/dev/pts/3", Place.TERMINALS, "/dev/pts"),
        ("/dev/ptsd", Place.DEVICES, "/dev"),
        ("/dev/null", Place.DEVICES, "/dev"),
        ("/dev/shm/x", Place.OTHER, "/dev/shm/x"),
        ("/sys/fs/cgroup/a", Place.KERNEL, "/sys"),
        ("/etc/ssl/certs/a.pem", Place.SYSTEM, "/etc/ssl/certs"),
        ("/etc/ssl/private/a.pem", Place.OTHER, "/etc/ssl/private/a.pem"),
        (HOME + "/.pyenv/versions/3.12.1/bin/python", Place.RUNTIME, HOME + "/.pyenv/versions/3.12.1"),
        (HOME + "/.local/share/uv/tools/vibe/bin/vibe", Place.RUNTIME, HOME + "/.local/share/uv/tools/vibe"),
        (HOME + "/.cache/x/y", Place.CACHE, HOME + "/.cache/x/y"),
        ("/var/cache/fontconfig", Place.CACHE, "/var/cache"),
        ("/home/eve/x", Place.FOREIGN, "/home/eve/x"),
        ("/root", Place.FOREIGN, "/root"),
    ],
)
def test_classes(path: str, place: Place, directory: str) -> None:
    assert PLACES.locate(path) == (place, directory)


@pytest.mark.parametrize(
    "path", ["/", "/etc", "/usr", "/opt", "/proc", "/home", HOME, HOME + "/.config", HOME + "/.local/share", "/tmp"]
)
def test_shared_directories(path: str) -> None:
    assert PLACES.is_shared(path)


@pytest.mark.parametrize("path", ["/etc/vibe", "/tmp/x", HOME + "/.vibe", HOME + "/.config/vibe", PROJECT, "/var/lib"])
def test_directories_that_are_not(path: str) -> None:
    assert not PLACES.is_shared(path)


@pytest.mark.parametrize("project", [HOME, "/home", "/", "/tmp", "/etc", "/usr"])
def test_a_project_that_is_everybodys_is_none(project: str) -> None:
    places = Map(project, HOME)
    assert not places.has_project
    assert places.locate(HOME + "/file") == (Place.HOME, HOME + "/file")
    assert places.is_shared(HOME)


def test_a_project_below_a_system_directory() -> None:
    assert Map("/usr/src/engine", HOME).locate("/usr/src/engine/a") == (Place.PROJECT, "/usr/src/engine")


@given(paths)
def test_a_place_holds_its_paths(path: str) -> None:
    _, directory = PLACES.locate(path)
    assert is_within(path, directory)
    above = ancestors(path)
    assert all(is_within(path, directory) for directory in above)
    assert path == "/" or (above[-1] == "/" and len(above) == path.count("/"))


def test_is_within() -> None:
    assert is_within("/a/b", "/a")
    assert is_within("/a", "/a")
    assert is_within("/a", "/")
    assert not is_within("/ab", "/a")
    assert not is_within("/a", "/a/b")


@pytest.mark.parametrize("path", ["//x/y", "x/y", ""])
def test_names_that_no_kernel_gives_come_to_an_end(path: str) -> None:
    assert len(ancestors(path)) < 4


def test_is_temporary() -> None:
    assert is_temporary("/tmp")
    assert not is_temporary("/tmp/x")
