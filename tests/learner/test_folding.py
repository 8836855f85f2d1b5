import pytest
from accesses import HOME, PLACES, PROJECT
from accesses import paths as some_paths
from hypothesis import given
from hypothesis import strategies as st

from learner.folding import Folding

FOLDING = Folding(PLACES._replace(temporary="/tmp/sbx-1000", prefix="/opt/vibe-3.1"))


@pytest.mark.parametrize(
    ("path", "folded"),
    [
        ("/usr/lib/python3.12/os.py", "/usr/lib/python*/os.py"),
        ("/usr/bin/python3.12", "/usr/bin/python*"),
        ("/usr/bin/x86_64-linux-gnu-gcc-12", "/usr/bin/x86_64-linux-gnu-gcc-*"),
        ("/usr/lib/gcc/x86_64-linux-gnu/12/cc1", "/usr/lib/gcc/x86_64-linux-gnu/*/cc1"),
        ("/usr/lib/x86_64-linux-gnu/libssl.so.3", "/usr/lib/x86_64-linux-gnu/libssl.so.*"),
        ("/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0", "/usr/lib/x86_64-linux-gnu/libpython*.so.*"),
        ("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.*"),
        (f"{HOME}/.pyenv/versions/3.12.1/lib", f"{HOME}/.pyenv/versions/*/lib"),
        (f"{HOME}/.nvm/versions/node/v20.11.1/bin/node", f"{HOME}/.nvm/versions/node/*/bin/node"),
        (
            f"{HOME}/.local/share/uv/python/cpython-3.12.7-linux-x86_64-gnu/bin/python3.12",
            f"{HOME}/.local/share/uv/python/cpython-*-linux-x86_64-gnu/bin/python*",
        ),
        (
            "/opt/vibe-3.1/lib/python3.12/site-packages/mistral_vibe-3.0.3.dist-info/METADATA",
            "/opt/vibe-3.1/lib/python*/site-packages/mistral_vibe-*.dist-info/METADATA",
        ),
        ("/opt/vibe-3.1/x/a.cpython-312-x86_64-linux-gnu.so", "/opt/vibe-3.1/x/a.cpython-*-x86_64-linux-gnu.so"),
        ("/opt/vibe-3.1/node_modules/a@1.2.3-rc.1/i.js", "/opt/vibe-3.1/node_modules/a@*/i.js"),
        ("/opt/vibe-3.1/assets/chunk-0a1b2c3d4e.js", "/opt/vibe-3.1/assets/*.js"),
        (
            "/nix/store/7gx4kiv5m0i7d7qkixq2cwzbr10lvxwc-git-2.44.0/bin/git",
            "/nix/store/*-git-*/bin/git",
        ),
        (f"{HOME}/.vibe/sessions/20261122_101112/log", f"{HOME}/.vibe/sessions/*/log"),
        ("/tmp/sbx-1000/pip-build-x/tool", "/tmp/sbx-1000/*/*"),
    ],
)
def test_what_a_version_changes_is_folded(path: str, folded: str) -> None:
    assert FOLDING.path(path) == folded
    assert Folding(PLACES, exact=True).path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        f"{PROJECT}/v1.2.3/python3.12",
        f"{PROJECT}/node_modules/a-1.2.3",
        f"{HOME}/Documents/20261122/report-1.2.3",
        f"{HOME}/.ssh/id_ed25519",
        "/etc/ssh/sshd_config.d/10.conf",
        "/dev/tty1",
        "/proc/12/status",
        "/opt/vibe-3.1",
        "/usr/bin/x86_64",
    ],
)
def test_the_users_own_names_and_what_has_no_version_are_not_folded(path: str) -> None:
    assert FOLDING.path(path) == path


_versioned = st.from_regex(r"[a-cv0-9][a-c0-9.+@_-]{0,14}(\.so\.\d|-\d+|\.py)?", fullmatch=True)


@given(st.sampled_from(["/usr/lib", "/opt/vibe-3.1", f"{HOME}/.vibe", "/usr/lib/node_modules/a"]), st.lists(_versioned))
def test_folding_twice_is_folding_once(top: str, names: list[str]) -> None:
    """What was accepted is kept folded, and is folded again when it is read."""
    path = "/".join([top, *names])
    assert FOLDING.path(FOLDING.path(path)) == FOLDING.path(path)


@given(some_paths)
def test_what_lies_beneath_lies_beneath_the_folded(path: str) -> None:
    above = path.rpartition("/")[0] or "/"
    assert FOLDING.path(path).rpartition("/")[0] in (FOLDING.path(above), "" if above == "/" else None)
