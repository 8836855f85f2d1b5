"""Exports for Anthropic's sandbox-runtime: taken by its own schema, and held by it."""

import json
import subprocess
from pathlib import Path

import pytest
import srt_run
from exporting import SECRET, Yard, results

from learner.policy import Grant, NetworkAction, NetworkGrant, Policy, Right, Scope
from learner.targets.srt import SRT
from tracers.events import Transport

pytestmark = pytest.mark.kernel

VALIDATE = """
import { readFileSync } from 'node:fs'
import { SandboxRuntimeConfigSchema } from '@anthropic-ai/sandbox-runtime'
const found = SandboxRuntimeConfigSchema.safeParse(JSON.parse(readFileSync(process.argv[2], 'utf8')))
console.log(found.success ? 'valid' : JSON.stringify(found.error.issues))
"""


@pytest.fixture(scope="module")
def srt(cache_directory: Path) -> Path:
    return srt_run.install(cache_directory)


@pytest.fixture
def installed(srt: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """srt on PATH, where the export looks for it."""
    for name, value in srt_run.environment(srt).items():
        monkeypatch.setenv(name, value)
    return srt


def valid(srt: Path, file: Path) -> str:
    script = srt.parent.parent / "validate.mjs"
    script.write_text(VALIDATE)
    return subprocess.run(["node", script, file], capture_output=True, text=True, check=True).stdout.strip()


def test_what_is_granted_works_and_the_rest_is_refused(installed: Path, yard: Yard) -> None:
    probe = ["/usr/bin/python3", "-I", "probe.py"]
    control = yard.run(probe)
    assert set(results(control.stdout).values()) == {"done"}, control.stderr
    (yard.home / "made").unlink()
    (yard.home / "notes").write_text("n\n")
    (yard.home / "lib/deep/module").write_text("m\n")

    settings = yard.project / "settings.json"
    settings.write_bytes(SRT.export(yard.request()).data)
    assert valid(installed, settings) == "valid"
    held = yard.run(["srt", "--settings", settings, "--", *probe], srt_run.environment(installed))
    found = results(held.stdout)
    assert found == {
        **dict.fromkeys(("notes", "lib", "link", "make"), "done"),
        "secret": "ENOENT",
        "change notes": "EROFS",
        "change lib": "EROFS",
        "make at home": "done",  # into a file system of the sandbox's own
    }, held.stderr
    assert yard.canary.read_text() == SECRET
    assert (yard.home / "notes").read_text() == "n\n"
    assert not (yard.home / "made").exists()
    assert (yard.project / "made").read_text() == "xx"


def test_a_sensitive_object_in_a_granted_tree_stays_closed(installed: Path, yard: Yard) -> None:
    secret = yard.project / ".env"
    secret.write_text("TOKEN=1\n")
    request = yard.request()._replace(denied=(str(secret),))
    settings = yard.project / "settings.json"
    settings.write_bytes(SRT.export(request).data)
    assert valid(installed, settings) == "valid"
    assert yard.run(["/usr/bin/cat", secret]).stdout == "TOKEN=1\n"
    held = yard.run(["srt", "--settings", settings, "/usr/bin/cat", secret], srt_run.environment(installed))
    assert held.returncode != 0
    assert "TOKEN" not in held.stdout


def test_names_with_pattern_characters_are_names(installed: Path, yard: Yard) -> None:
    for name in ("a*", "ab"):
        (yard.home / name).write_text(f"{name}\n")
    grant = Grant(str(yard.home / "a*"), Scope.FILE, Right.READ, ())
    settings = yard.project / "settings.json"
    settings.write_bytes(SRT.export(yard.request(policy=Policy((*yard.policy.grants, grant)))).data)
    assert valid(installed, settings) == "valid"
    both = ["/usr/bin/cat", yard.home / "a*", yard.home / "ab"]
    held = yard.run(["srt", "--settings", settings, *both], srt_run.environment(installed))
    assert held.stdout == "a*\n", held.stderr


def test_hosts_with_their_ports(installed: Path, yard: Yard) -> None:
    network = tuple(
        NetworkGrant(NetworkAction.CONNECT, host, 443, Transport.TCP, ())
        for host in ("api.example.org", "*.example.com", "::1", "single")
    )
    found = SRT.export(yard.request(policy=Policy(yard.policy.grants, network)))
    settings = yard.project / "settings.json"
    settings.write_bytes(found.data)
    assert valid(installed, settings) == "valid"
    assert json.loads(found.data)["network"]["allowedDomains"] == [
        "*.example.com:443",
        "[::1]:443",
        "api.example.org:443",
    ]
    assert "left out: single" in [gap.item for gap in found.gaps]
