"""The learned Vibe works inside what is exported as it does under sbx, and is kept from another project there."""

import dataclasses
import os
import sys
from pathlib import Path

import pytest
from agent import find_python, install_vibe, lay_out, run_agent, stub_model
from capability import require

from learner.enforcers.landlock import abi

pytestmark = [pytest.mark.kernel, pytest.mark.agent]

SBX = (sys.executable, "-m", "learner")
SCRIPT = [
    {"read": "README.md"},
    {"write": "hello.txt", "content": "hello\n"},
    {"run": 'read -r line < ../elsewhere/secret; echo "got:$line" > copy.txt'},
    {"say": "done"},
]


def test_vibe_in_every_sandbox(scratch: Path, cache_directory: Path) -> None:
    require(abi() >= 6, "Landlock with scopes (Linux 6.12)")
    given = os.environ.get("SBX_TEST_VIBE")
    vibe = Path(given) if given else install_vibe(cache_directory.resolve() / "vibe", find_python())
    profile, elsewhere = scratch / "vibe.toml", scratch / "elsewhere"
    with stub_model(scratch / "stub", SCRIPT) as url:
        run = lay_out(scratch, vibe, url)
        hello, copy = run.project / "hello.txt", run.project / "copy.txt"
        learned = run_agent(run, (*SBX, "learn", "-o", str(profile), "--"))
        assert learned.returncode == 0, learned.stderr
        elsewhere.mkdir()
        (elsewhere / "secret").write_text("swordfish\n")

        files = {}
        for name in ("bwrap", "firejail", "landlock"):
            files[name] = str(scratch / name)
            words = (*SBX, "export", str(profile), "--to", name, "-o", files[name])
            exported = run_agent(dataclasses.replace(run, argv=words))
            assert exported.returncode == 0, exported.stderr
        launches = {
            "unconfined": run.argv,
            "bwrap": (files["bwrap"], *run.argv[1:]),
            "firejail": ("firejail", "--quiet", f"--profile={files['firejail']}", *run.argv),
            "landlock": (
                sys.executable,
                str(Path(__file__).parents[1] / "landlocked.py"),
                files["landlock"],
                *run.argv,
            ),
        }
        for name, argv in launches.items():
            for made in (hello, copy):
                made.unlink(missing_ok=True)
            done = run_agent(dataclasses.replace(run, argv=argv))
            assert done.returncode == 0, (name, done.stderr)
            assert hello.read_text() == "hello\n", name
            assert copy.read_text() == ("got:swordfish\n" if name == "unconfined" else "got:\n"), name
        assert (elsewhere / "secret").read_text() == "swordfish\n"
