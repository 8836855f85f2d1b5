"""`sbx run`, `verify` and `doctor` under each enforcer, from the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from capability import require

from learner.enforcers.bubblewrap import find_bwrap
from learner.enforcers.choice import layered_obstacle

pytestmark = pytest.mark.kernel
GRANT = '[[grant]]\npath = "{}"\nscope = "{}"\nrights = [{}]\n'
ALL = '"read", "list", "write", "truncate", "create", "mkdir", "remove", "rmdir", "move"'


@pytest.fixture(params=["landlock", "bubblewrap", "layered", "auto"])
def enforcer(request: pytest.FixtureRequest) -> str:
    if request.param == "bubblewrap":
        require(find_bwrap(), "bubblewrap is not installed")
    if request.param in ("bubblewrap", "layered"):
        require(not layered_obstacle(), layered_obstacle())
    return str(request.param)


@pytest.fixture
def profile(scratch: Path) -> Path:
    (scratch / "project").mkdir()
    file = scratch / "t.toml"
    text = 'version = 1\nname = "t"\ncommand = "sh"\nplatform = "linux"\n'
    for path in ("/usr", "/etc", "/proc"):
        text += GRANT.format(path, "tree", '"read", "list", "exec"')
    text += GRANT.format("$PROJECT", "tree", ALL) + GRANT.format("/dev/null", "file", '"read", "write"')
    file.write_text(text)
    return file


def sbx(profile: Path, *words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "learner", *map(str, words)],
        cwd=profile.parent / "project",
        env={**os.environ, "HOME": str(profile.parent), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run(enforcer: str, profile: Path, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    return sbx(profile, "run", "--enforcer", enforcer, *options, profile, "--", "/bin/sh", "-c", script)


def test_run(enforcer: str, profile: Path) -> None:
    secret = profile.parent / "secret"
    secret.write_text("swordfish\n")
    done = run(enforcer, profile, "echo kept > note && mv note kept && cat kept")
    assert (done.returncode, done.stdout) == (0, "kept\n"), done.stderr
    assert (profile.parent / "project/kept").read_text() == "kept\n"
    assert subprocess.run(["cat", secret], capture_output=True, text=True, check=True).stdout == "swordfish\n"
    done = run(enforcer, profile, f"cat {secret}")
    assert (done.returncode, done.stdout) == (1, "")
    assert run(enforcer, profile, "exit 42").returncode == 42
    done = run(enforcer, profile, "echo x > ../outside")
    assert done.returncode != 0
    assert not (profile.parent / "outside").exists()


def test_run_says_what_holds(enforcer: str, profile: Path) -> None:
    done = run(enforcer, profile, "exit 3", "-v")
    assert done.returncode == 3, done.stderr
    held = "layered" if enforcer == "auto" and not layered_obstacle() else enforcer
    if held != "auto":
        assert f"sbx: {held}, partial; open: " in done.stderr
    assert "sbx: exit status 3" in done.stderr


def test_require(enforcer: str, profile: Path) -> None:
    done = run(enforcer, profile, "echo started", "--require", "metadata")
    if enforcer == "landlock":
        assert (done.returncode, done.stdout) == (125, "")
        assert done.stderr.startswith("sbx: landlock does not hold 'metadata' here")
    elif enforcer != "auto":
        assert (done.returncode, done.stdout) == (0, "started\n"), done.stderr
    done = run(enforcer, profile, "echo started", "--require", "nonesuch")
    assert (done.returncode, done.stdout) == (2, "")


def test_a_command_that_cannot_be_started(enforcer: str, profile: Path) -> None:
    lonely = profile.parent / "lonely"
    lonely.write_text("#!/nonesuch\n")
    lonely.chmod(0o755)
    profile.write_text(profile.read_text() + GRANT.format(lonely, "file", '"read", "exec"'))
    done = sbx(profile, "run", "--enforcer", enforcer, profile, "--", lonely)
    assert done.returncode == (125 if enforcer == "bubblewrap" else 127)
    assert "sbx: " in done.stderr
    assert "Traceback" not in done.stderr


def test_learn_verify_and_minimal(enforcer: str, profile: Path) -> None:
    home = profile.parent
    (home / ".toolrc").write_text("settings\n")
    words = ("--", "/bin/sh", "-c", f"cat {home}/.toolrc > copy; ls /usr/share > /dev/null; mkdir -p d; rm -f copy")
    learned = sbx(profile, "learn", "--enforcer", enforcer, "--verify", "live", "-n", "tool", "--json", "-", *words)
    assert learned.returncode == 0, learned.stderr
    for more in ((), ("--minimal",)):
        done = sbx(profile, "verify", "--enforcer", enforcer, "--json", "-", *more, "tool")
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)["verify"]
        assert said["refused"] == []
        assert said["admitted"] > 5
    through = [canary["gap"] for canary in said["canaries"]["through"]]
    assert None not in through
    assert not (enforcer == "layered" and through)
    assert said["enforcer"] == enforcer or enforcer == "auto"
    assert ("metadata" in through) == (said["enforcer"] == "landlock")


def test_a_denial_is_found_and_repaired(enforcer: str, profile: Path) -> None:
    # What the namespace hides is a denial although the program only hears that it is not there.
    home = profile.parent
    (home / ".toolrc").write_text("settings\n")
    words = ("--", "/bin/sh", "-c", f"cat {home}/.toolrc")
    assert sbx(profile, "learn", "-n", "tool", "--enforcer", enforcer, *words).returncode == 0
    stored = home / ".config/sbx/profiles/tool.toml"
    stored = stored if stored.exists() else next(home.rglob("tool.toml"))
    whole = stored.read_text()
    parts = whole.split("[[grant]]")
    stored.write_text("[[grant]]".join(part for part in parts if ".toolrc" not in part))
    assert stored.read_text() != whole
    done = sbx(profile, "verify", "--mode", "live", "--enforcer", enforcer, "-v", "tool", *words)
    assert "denial" in done.stderr, done.stderr
    assert ".toolrc" in stored.read_text()


def test_doctor(profile: Path) -> None:
    done = sbx(profile, "doctor", "--json", "-")
    found = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert {"namespaces", "bubblewrap", "enforcer"} <= set(found)
    if not layered_obstacle():
        assert "auto is layered" in found["enforcer"]["detail"]


def test_a_configuration_that_is_a_link_into_dotfiles(enforcer: str, profile: Path) -> None:
    home = profile.parent
    (home / "dotfiles").mkdir()
    (home / "dotfiles/rc").write_text("from dotfiles\n")
    (home / "dotfiles/secret").write_text("swordfish\n")
    (home / ".config/tool").mkdir(parents=True)
    (home / ".config/tool/rc").symlink_to("../../dotfiles/rc")
    tool = ("--", "/bin/sh", "-c", 'cat "$HOME/.config/tool/rc"; cat "$HOME/dotfiles/secret" 2>/dev/null; true')
    learned = sbx(
        profile,
        "learn",
        "-o",
        home / "l.toml",
        "--enforcer",
        enforcer,
        "--",
        *tool[1:-1],
        'cat "$HOME/.config/tool/rc"',
    )
    assert learned.returncode == 0, learned.stderr
    done = sbx(profile, "run", "--enforcer", enforcer, home / "l.toml", *tool)
    assert done.stdout == "from dotfiles\n", done.stderr
