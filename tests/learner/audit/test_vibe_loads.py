"""What --fix leaves behind still loads in the real Vibe, which then does what the edits say.

Asked of the installed program itself: its ``vibe`` script names the interpreter, and its own loader reads the file.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from audited import Account

_TESTBED = Path.home() / ".cache/sbx-testbed/pfx"
_INSTALLED = [os.environ.get("SBX_TEST_VIBE", ""), *(str(_TESTBED / name) for name in ("vibe2", "vibe226", "vibe3"))]
BAD = """# the settings of somebody
active_model = "stub"
bypass_tool_permissions = true   # hm
enable_auto_update = true

[tools.bash]
permission = "always"
allowlist = ["ls", "git", "python"]
denylist = ["rm"]

[tools.web_fetch]
permission = "always"

[tools.write_file]
permission = "always"   # quick
max_write_bytes = 1000

[[providers]]
name = "stub"
api_base = "http://example.org/v1"
api_key_env_var = "STUB_API_KEY"
backend = "generic"

[[models]]
name = "stub-model"
provider = "stub"
alias = "stub"

[[mcp_servers]]
name = "fs"
transport = "stdio"
command = "mcp-fs"
args = ["--root", "/srv/x"]
"""
_LOAD = """
import asyncio, json, sys
try:
    from vibe.core.config.harness_files import init_harness_files_manager
    from vibe.core.config.default_orchestrator import build_default_orchestrator
    init_harness_files_manager("user")
    config = asyncio.run(build_default_orchestrator()).config
except ImportError:
    from vibe.core.config import VibeConfig
    from vibe.core.paths.config_paths import unlock_config_paths
    unlock_config_paths()
    config = VibeConfig.load()
plain = config.model_dump(mode="json")
keys = ("active_model", "enable_auto_update", "enable_update_checks", "enable_telemetry", "tools", "providers",
        "bypass_tool_permissions", "mcp_servers")
print("LOADED" + json.dumps({key: plain.get(key) for key in keys}))
"""


def _interpreter(prefix: str) -> str:
    return os.path.join(prefix, "bin/python") if prefix and os.path.exists(os.path.join(prefix, "bin/vibe")) else ""


def _load(interpreter: str, home: Path) -> dict[str, object]:
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], "STUB_API_KEY": "x"}
    command = (interpreter, "-c", _LOAD)
    done = subprocess.run(command, env=environ, cwd=home, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    [line] = [line for line in done.stdout.splitlines() if line.startswith("LOADED")]
    loaded = json.loads(line.removeprefix("LOADED"))
    assert isinstance(loaded, dict)
    return loaded


@pytest.mark.parametrize("prefix", _INSTALLED, ids=["SBX_TEST_VIBE", "2.0", "2.26", "3.0"])
def test_the_mended_file_loads(prefix: str, tmp_path: Path) -> None:
    interpreter = _interpreter(prefix)
    if not interpreter:
        pytest.skip("no such Vibe is installed: set SBX_TEST_VIBE to its prefix")
    account = Account(tmp_path)
    path = account.write(".vibe/config.toml", BAD)
    before = _load(interpreter, account.home)
    assert before["enable_auto_update"] is True, "the control: Vibe reads this very file"
    path.write_text(BAD)
    assert {"vibe-bypass", "vibe-shell-always", "vibe-write-open", "vibe-read-open"} <= set(account.rules())
    account.fix()
    assert account.rules() == {}
    after = _load(interpreter, account.home)
    assert after["active_model"] == "stub"
    assert after["enable_auto_update"] is False
    assert after["enable_update_checks"] is False
    assert after["bypass_tool_permissions"] in (False, None)  # 2.0 has no such key
    tools = after["tools"]
    assert isinstance(tools, dict)
    assert tools["bash"]["permission"] == "ask"
    assert {"git", "python"}.isdisjoint(tools["bash"]["allowlist"])
    assert "ls" in tools["bash"]["allowlist"]
    assert "**/.ssh/*" in tools["write_file"]["denylist"]
    assert "**/.env" in tools["read_file"]["denylist"]
    assert tools["grep"]["permission"] == "ask"
    assert account.rules() == {}, "newer versions write their own defaults into the file as they load it"
    assert [s["name"] for s in after["mcp_servers"]] == ["fs"]  # type: ignore[attr-defined]
