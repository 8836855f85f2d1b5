"""``sbx run`` and ``sbx learn`` with host names, as people start them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import started
from capability import require
from children import area_of
from jailed import Hello, jails_work, serving

from learner.jail.privileges import KEPT_BY_ROOT

pytestmark = pytest.mark.kernel

HEAD = """version = 1
name = "t"
command = "sh"
[[grant]]
path = "/"
scope = "tree"
rights = ["read", "list", "exec", "write"]
"""


@pytest.fixture(autouse=True, scope="module")
def _jails() -> None:
    require(jails_work() and shutil.which("curl"), "user and network namespaces with nftables, and curl")


def connect(host: str, port: int) -> str:
    return f'[[network]]\naction = "connect"\nhost = "{host}"\nport = {port}\ntransport = "tcp"\n'


def sbx(*words: str | Path, cwd: Path | str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HOME": str(cwd), "TMPDIR": str(cwd)}
    return subprocess.run(
        [sys.executable, "-m", "learner", *map(str, words)],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_hosts_by_name_put_the_command_into_a_jail(scratch: Path) -> None:
    with serving(Hello) as port:
        profile = scratch / "t.toml"
        profile.write_text(HEAD + connect("api.test", 443) + connect("127.0.0.1", port))
        script = (
            f"curl -sS http://127.0.0.1:{port}/; curl -sS https://evil.test/; curl -sS http://192.0.2.1/;"
            f"curl -sS http://api.test:80/; exit 9"
        )
        done = sbx("run", "t.toml", "--", "/bin/sh", "-c", script, cwd=scratch)
    assert done.returncode == 9
    assert done.stdout == f"hello from 127.0.0.1:{port} /\n"
    for refused in ("evil.test (curl, pid ", "192.0.2.1:80 (curl, pid ", "api.test:80 (curl, pid "):
        assert f"sbx: refused: {refused}" in done.stderr
    assert done.stderr.count("sbx: refused:") == 3


@pytest.mark.parametrize("enforcer", ["landlock", "bubblewrap", "layered"])
def test_the_enforcers_hold_the_command_in_the_jail(enforcer: str, user: int) -> None:
    if enforcer != "landlock":
        require(shutil.which("bwrap"), "bubblewrap is not installed")
    with area_of(user) as place, serving(Hello) as port:
        (Path(place) / "t.toml").write_text(HEAD + connect("api.test", 443) + connect("127.0.0.1", port))
        script = (
            f"curl -sS http://127.0.0.1:{port}/; curl -sS https://evil.test/; grep -E 'Cap(Eff|Bnd)' /proc/self/status"
        )
        words = ("run", "--enforcer", enforcer, "t.toml", "--", "/bin/sh", "-c", script)
        done = started.sbx(*words, cwd=place, user=user, HOME=place, TMPDIR=place)
    lines = done.out.splitlines()
    assert lines[0] == f"hello from 127.0.0.1:{port} /", done.err
    assert "sbx: refused: evil.test (curl, pid " in done.err
    effective, bounding = (int(line.split()[1], 16) for line in lines[1:])
    kept = sum(1 << number for number in KEPT_BY_ROOT) if user == 0 and enforcer == "landlock" else 0
    assert not effective & ~kept and not bounding & ~kept


def test_without_names_nothing_is_different(scratch: Path) -> None:
    (scratch / "t.toml").write_text(HEAD + connect("127.0.0.1", 1))
    here = os.readlink("/proc/self/ns/net")
    words = ("--", "/bin/readlink", "/proc/self/ns/net")
    assert sbx("run", "t.toml", *words, cwd=scratch).stdout.strip() == here
    assert sbx("run", "--network", "jail", "t.toml", *words, cwd=scratch).stdout.strip() != here
    (scratch / "t.toml").write_text(HEAD + connect("api.test", 1))
    assert sbx("run", "t.toml", *words, cwd=scratch).stdout.strip() != here
    assert sbx("run", "--network", "ports", "t.toml", *words, cwd=scratch).stdout.strip() == here


def test_statuses_and_failures_are_as_without_a_jail(scratch: Path) -> None:
    (scratch / "t.toml").write_text(HEAD + connect("api.test", 1))
    assert sbx("run", "t.toml", "--", "/bin/sh", "-c", "exit 7", cwd=scratch).returncode == 7
    script = scratch / "script"
    script.write_text("#!/nonesuch\n")
    script.chmod(0o755)
    missing = sbx("run", "t.toml", "--", script, cwd=scratch)
    assert missing.returncode == 127
    assert missing.stderr.startswith("sbx: ")
    assert "Traceback" not in missing.stderr
    watched = sbx("run", "-v", "t.toml", "--", "/bin/sh", "-c", "kill -TERM $$", cwd=scratch)
    assert watched.returncode == 143
    assert "sbx: network: jail" in watched.stderr
    assert "sbx: gap: shared servers" in watched.stderr
    assert "sbx: gap: hosts" not in watched.stderr
    (scratch / "t.toml").write_text(HEAD + connect("group:nonesuch", 1))
    assert sbx("run", "t.toml", "--", "/bin/true", cwd=scratch).returncode == 4


def test_where_no_jail_can_be_made_a_proxy_is_used_and_said(scratch: Path) -> None:
    """No more namespaces are allowed to be made in one whose own limit is 0."""
    require(shutil.which("unshare"), "unshare(1)")
    (scratch / "t.toml").write_text(HEAD + connect("api.test", 443))
    inner = "echo 0 > /proc/sys/user/max_net_namespaces && exec " + " ".join(
        [sys.executable, "-m", "learner", "run", "{}", "t.toml", "--", "/bin/sh", "-c", "'echo $https_proxy'"]
    )

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        words = ["unshare", "--user", "--map-root-user", "sh", "-c", inner.format(" ".join(options))]
        return subprocess.run(words, cwd=scratch, capture_output=True, text=True, timeout=60, check=False)

    done = run()
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("http://sbx:")
    assert "user.max_net_namespaces is 0" in done.stderr
    assert "sbx: gap: proxy: " in done.stderr
    refused = run("--network", "jail")
    assert refused.returncode == 125
    assert "user.max_net_namespaces is 0" in refused.stderr
    assert "--network proxy" in refused.stderr


def test_names_are_learned_and_then_enough(user: int) -> None:
    with area_of(user) as place, serving(Hello) as port:
        urls = (f"http://127.0.0.1:{port}/", "http://one.test:81/", "http://two.test/")
        script = "; ".join([*(f"curl -s -m 5 {url}" for url in urls), "true"])
        learned = started.sbx(
            "learn", "--names", "--verify", "off", "-o", "t.toml", "--", "/bin/sh", "-c", script, cwd=place, user=user
        )
        assert learned.status == 0, learned.err
        text = Path(place, "t.toml").read_text()
        assert 'host = "one.test"\nport = 81\n' in text
        assert 'host = "two.test"\nport = 80\n' in text
        assert f'host = "127.0.0.1"\nport = {port}\n' in text
        assert "198.18." not in text
        done = started.sbx("run", "t.toml", "--", "/bin/sh", "-c", script, cwd=place, user=user)
        assert done.out == f"hello from 127.0.0.1:{port} /\n", done.err
        assert "refused" not in done.err
