"""The forms in which programs put a project's path into one file name, so that each project has a place of its own.

Agents keep sessions in ``~/.claude/projects/-home-ada-work``, histories in ``~/.gemini/tmp/SHA-256``, editors undo
files in ``%home%ada%work%main.c``. A *slug* is what of such a name is made from the path and from nothing else:
separators around it, the one that stands for the leading slash included, are no part of it.
"""

import binascii
import enum
import functools
import os
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

SHORTEST_TEXT = 6
"""Characters. What is shorter may well be another word."""
SHORTEST_DIGEST = 8
"""Hexadecimal digits: 32 bits are rarely the same by chance, and nobody shortens further."""


class Form(enum.StrEnum):
    """A way to write a path as a name. Where two give the same text, the one that stands first is taken."""

    DASHES = "dashes"
    PATH_DASHES = "path-dashes"
    WORDS = "words"
    UNDERSCORES = "underscores"
    PATH_UNDERSCORES = "path-underscores"
    PATH_PERCENTS = "path-percents"
    PATH_BANGS = "path-bangs"
    PERCENT = "percent"
    BASE64 = "base64url"
    PADDED = "base64url-padded"
    SHA256 = "sha256"
    SHA1 = "sha1"
    MD5 = "md5"

    @property
    def digits(self) -> int:
        """How many hexadecimal digits it has as a whole; 0 if it is no digest, and cannot be cut short."""
        return _DIGITS.get(self, 0)


_DIGITS = {Form.SHA256: 64, Form.SHA1: 40, Form.MD5: 32}

_ALPHABETS = {
    # [^a-zA-Z0-9] to - : Claude Code, Qwen Code, Factory's droid (anthropics/claude-code issue 24067).
    Form.DASHES: (r"[^0-9A-Za-z]", "-"),
    # / to - : pi ("--home-ada-my.app--").
    Form.PATH_DASHES: (r"/", "-"),
    Form.UNDERSCORES: (r"[^0-9A-Za-z]", "_"),
    Form.PATH_UNDERSCORES: (r"/", "_"),
    # :help undodir in vim, "Backup Names" in the Emacs manual.
    Form.PATH_PERCENTS: (r"/", "%"),
    Form.PATH_BANGS: (r"/", "!"),
}

_RESERVED = re.compile(rb"[^0-9A-Za-z_.~-]")  # RFC 3986, section 2.3
_ENDS = r"(?<![^\W_])(?:{})(?![^\W_])"  # no letter or digit on either side
_DIGEST = r"[0-9a-f]{8,64}"
_HEXADECIMAL = re.compile(_ENDS.format(_DIGEST))
_MAYBE_HEXADECIMAL = re.compile("[0-9a-f]{8}")


class Slug(NamedTuple):
    """Where in a text a slug is. ``length``: hexadecimal digits of a shortened digest, 0 for the whole of a form."""

    start: int
    end: int
    form: Form
    length: int


@functools.lru_cache(maxsize=256)
def render(form: Form, project: str, length: int = 0) -> str:
    """The slug of ``project``, an absolute path; of a digest the first ``length`` digits, or all (0). May be empty."""
    if form.digits:
        return _digest(form, project)[: length or None]
    return _FORMS[form](project)


def find(text: str, project: str, start: int = 0) -> Slug | None:
    """The first slug of ``project`` at or after ``start`` in ``text`` (a name, or a path); the longest that fits there.

    A text must hold two components of the path and ``SHORTEST_TEXT`` characters. No letter or digit may stand next to
    it: ``work-engine`` is not in ``work-engineer``.
    """
    return next(find_all(text, project, start), None)


def find_all(text: str, project: str, start: int = 0) -> Iterator[Slug]:
    """All slugs of ``project`` in ``text`` that :func:`find` finds, from left to right."""
    if _may_hold(text, project):
        for match in _pattern(project).finditer(text, start):
            found = _identify(match, project)
            if found is not None:
                yield found


def _identify(match: re.Match[str], project: str) -> Slug | None:
    text = match.group()
    form = _texts(project).get(text)
    if form is not None:
        return Slug(match.start(), match.end(), form, 0)
    for form, digits in _DIGITS.items():
        if _digest(form, project).startswith(text):
            return Slug(match.start(), match.end(), form, len(text) % digits)
    return None


def _may_hold(text: str, project: str) -> bool:
    """Whether it is worth a closer look: of most texts, a microsecond tells that it is not."""
    if project == "/":
        return False
    for slug in _texts(project):  # rather than any(), which takes twice as long
        if slug in text:
            return True
    return _MAYBE_HEXADECIMAL.search(text) is not None


@functools.lru_cache(maxsize=8)
def _texts(project: str) -> dict[str, Form]:
    """What to look for, digests apart; longest first."""
    found: dict[str, Form] = {}
    several = project.strip("/").count("/") > 0
    for form in Form:
        if form.digits:
            continue
        text = render(form, project)
        if len(text) >= SHORTEST_TEXT and (several or form in (Form.BASE64, Form.PADDED)):
            found.setdefault(text, form)
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


@functools.lru_cache(maxsize=8)
def _pattern(project: str) -> re.Pattern[str]:
    texts = _texts(project)
    if not texts:
        return _HEXADECIMAL
    return re.compile(_ENDS.format("|".join((*map(re.escape, texts), _DIGEST))))


@functools.lru_cache(maxsize=32)
def _digest(form: Form, project: str) -> str:
    import hashlib  # 2 ms, and few profiles hold a digest

    return hashlib.new(form.value, os.fsencode(project), usedforsecurity=False).hexdigest()


def _replaced(alphabet: tuple[str, str]) -> Callable[[str], str]:
    pattern, substitute = re.compile(alphabet[0]), alphabet[1]
    return lambda project: pattern.sub(substitute, project[1:])


def _words(project: str) -> str:
    """What slug libraries do."""
    return re.sub(r"[^0-9A-Za-z]+", "-", project).strip("-")


def _percent(project: str) -> str:
    return _RESERVED.sub(lambda match: b"%%%02X" % match.group()[0], os.fsencode(project[1:])).decode("ascii")


def _padded(project: str) -> str:
    """RFC 4648, section 5."""
    text = binascii.b2a_base64(os.fsencode(project), newline=False).decode("ascii")
    return text.replace("+", "-").replace("/", "_")


_FORMS: dict[Form, Callable[[str], str]] = {
    **{form: _replaced(alphabet) for form, alphabet in _ALPHABETS.items()},
    Form.WORDS: _words,
    Form.PERCENT: _percent,
    Form.BASE64: lambda project: _padded(project).rstrip("="),
    Form.PADDED: _padded,
}
