"""JSON as people write it in settings: with ``//`` and ``/* */`` comments and commas after the last item."""

import json
import re
from collections.abc import Iterator

from learner import forms
from learner.errors import InputFileError
from learner.names import to_text

_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/|,(?=(?:\s|//[^\n]*|/\*.*?\*/)*[}\]])', re.DOTALL)
_UNUSABLE = re.compile("[\\0\\ud800-\\udfff]")
_NOT_BLANK = re.compile(r"[^\n]")


def loads(text: str, where: str, remedy: str) -> dict[str, object]:
    """The object that ``text`` holds. Raises InputFileError naming ``where`` and the line if it holds none."""
    plain = _TOKEN.sub(lambda match: match[0] if match[0][0] == '"' else _NOT_BLANK.sub(" ", match[0]), text)
    try:
        found = json.loads(plain, object_pairs_hook=forms.unique_keys)
        unusable = next((one for one in _strings(found) if _UNUSABLE.search(one)), None)
    except json.JSONDecodeError as problem:
        raise InputFileError(f"{where}:{problem.lineno}: not JSON: {problem.msg}", remedy) from None
    except (RecursionError, ValueError) as problem:
        raise InputFileError(f"{where}: not usable JSON: {to_text(str(problem))}", remedy) from None
    if unusable is not None:
        raise InputFileError(f"{where}: {unusable!a} holds half a character, or a NUL", remedy)
    if not isinstance(found, dict):
        raise InputFileError(f"{where}:1: expected an object in braces", remedy)
    return found


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
