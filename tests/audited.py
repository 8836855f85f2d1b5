"""For the tests of the audit: an account with a home and a project, and files of agents in it."""

import os
from pathlib import Path

from learner.audit.agents import sources
from learner.audit.audit import Report, configurations, directory
from learner.audit.context import Context
from learner.audit.edits import apply, changes

HARDENED_VIBE = """# hardened
enable_auto_update = false
enable_update_checks = false
enable_telemetry = false

[tools.read_file]
permission = "ask"

[tools.grep]
permission = "ask"

[tools.bash]
permission = "ask"
allowlist = ["ls", "git status"]

[[providers]]
name = "local"
api_base = "http://127.0.0.1:8080/v1"
api_key_env_var = "LOCAL_API_KEY"
"""
HARDENED_VIBECODING = """{
  "defaultMode": "agent",
  "providers": {"deepseek": {"baseUrl": "https://api.deepseek.com", "apiKey": "${DEEPSEEK_API_KEY}"}},
  "sandbox": {"enabled": true, "level": "standard", "allowNetwork": false},
  "approval": {"bashWhitelist": ["ls ", "git status"], "bashBlacklist": ["rm -rf"]}
}
"""
HARDENED_GATEWAY = """{"listen": "127.0.0.1:8080", "auth": {"enabled": true, "tokens": ["${GATEWAY_TOKEN}"]}}
"""


class Account:
    """A home and a project below ``top``, and the audit of them."""

    def __init__(self, top: Path, **environ: str) -> None:
        self.home, self.project = top.resolve() / "home", top.resolve() / "home/work/engine"
        self.project.mkdir(parents=True)
        self.context = Context(str(self.home), str(self.project), environ)

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        """A file of the account; ``name`` is relative to its home."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.chmod(path, mode)
        return path

    def audit(self) -> Report:
        """The agents' configurations."""
        return configurations(sources(self.context), self.context)

    def rules(self) -> dict[str, int]:
        """The rules that the configurations break, with the line of the last finding of each."""
        return {finding.rule: finding.line for finding in self.audit().findings}

    def project_rules(self) -> dict[str, str]:
        """The rules that the project breaks, with the path of the last finding of each, relative to it."""
        found = directory(str(self.project), self.context).findings
        return {f.rule: os.path.relpath(f.path, self.project) for f in found}

    def fix(self) -> None:
        """Make every edit that the findings of the configurations have."""
        for change in changes(self.audit().edits):
            apply(change)
