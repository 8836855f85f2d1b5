"""Values that look like secrets, told by their shape or by the key they stand under. They are never shown."""

import re
from collections.abc import Iterator

from learner.audit.finding import Keys

_SHAPES = re.compile(
    r"""\b(?:
      sk-[A-Za-z0-9_-]{16,} | gh[pousr]_[A-Za-z0-9]{30,} | github_pat_[A-Za-z0-9_]{30,} | glpat-[A-Za-z0-9_-]{16,}
    | xox[abprs]-[A-Za-z0-9-]{10,} | (?:AKIA|ASIA)[A-Z0-9]{16} | AIza[A-Za-z0-9_-]{30,} | npm_[A-Za-z0-9]{30,}
    | pypi-[A-Za-z0-9_-]{30,} | hf_[A-Za-z0-9]{30,} | eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+
    )|-----BEGIN\ [A-Z ]*PRIVATE\ KEY-----""",
    re.VERBOSE,
)
"""Prefixes that the issuers of tokens document, so that scanners find them; JSON web tokens (RFC 7519), PEM keys."""

_NAME = re.compile(r"api[_-]?key|tokens?\Z|password|passwd|secret|authorization|credential|private[_-]?key", re.I)
_ABOUT = re.compile(r"(?:env|var|header|format|url|path|file|name|limit|length|budget|type)s?\Z", re.I)
"""Keys that speak of a secret without being one: ``api_key_env_var``."""
_REFERENCE = re.compile(r"\$|!|[A-Z][A-Z0-9_]*\Z|env:|\{|<|keyring:|op://|\Z")
"""Values that say where the secret is: ``${KEY}``, ``MISTRAL_API_KEY``, ``!pass show``, ``op://``."""
_SHORTEST = 8
_ASSIGNED = re.compile(
    r"""(?P<before>(?:api[_-]?key|token|password|passwd|secret|authorization|credential)[\w-]*["']?\s*[=:]\s*["']?)"""
    r"""(?P<value>[^"'\s,}\]$!{][^"'\n,}\]]{7,})""",
    re.I,
)
_MASK = "…"


def secrets(data: object, keys: Keys = ()) -> Iterator[Keys]:
    """The places of values in parsed data that look like secrets."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from secrets(value, (*keys, name))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from secrets(value, (*keys, number))
    elif isinstance(data, str) and is_secret(next((k for k in reversed(keys) if isinstance(k, str)), ""), data):
        yield keys


def is_secret(name: str, value: str) -> bool:
    """Whether ``value`` of the key ``name`` looks like a secret rather than a reference to one."""
    if _SHAPES.search(value):
        return True
    plain = re.sub(r"\A(?:bearer|basic|token)\s+", "", value.strip(), flags=re.I)
    if not _NAME.search(name) or _ABOUT.search(name):
        return False
    return len(plain) >= _SHORTEST and " " not in plain and not _REFERENCE.match(plain)


def masked(text: str) -> str:
    """``text`` with what looks like a secret in it left out."""
    text = _SHAPES.sub(_MASK, text)

    def mask(match: "re.Match[str]") -> str:
        value = match["value"]
        return match[0] if _REFERENCE.match(value) else match["before"] + _MASK

    return _ASSIGNED.sub(mask, text)
