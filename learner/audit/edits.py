"""Making the edits of findings: the least change of the text, everything else kept, checked before it is written.

After an edit the file is read again, and must say exactly what it said before, with the change: else nothing is
written.
"""

import copy
import difflib
import os
import re
import stat
from collections.abc import Iterable
from typing import Any, NamedTuple

from learner.audit import json_text, toml_text
from learner.audit.document import Document, Format, at, parse
from learner.audit.finding import Action, Edit
from learner.audit.secret_values import masked
from learner.errors import InputFileError, MachineError, SbxError
from learner.names import to_text
from learner.store import write_atomically


class Change(NamedTuple):
    """What becomes of one file, which need not exist yet. ``mode`` is None where it stays.

    ``refused``: a sentence for each edit that could not be made safely; the others are in it all the same.
    """

    path: str
    before: str
    after: str
    mode: int | None = None
    refused: tuple[str, ...] = ()


def changes(edits: Iterable[Edit]) -> tuple[Change, ...]:
    """The files that ``edits`` change, by path, and how. Raises MachineError for a file that cannot be read."""
    files: dict[str, list[Edit]] = {}
    for edit in edits:
        files.setdefault(edit.path, [])
        if edit not in files[edit.path]:
            files[edit.path].append(edit)
    return tuple(sorted(_change(path, todo) for path, todo in files.items()))


def difference(change: Change) -> str:
    """What is to happen, as a unified diff in which values that look like secrets are masked; "" for a mode alone."""
    name = to_text(change.path)
    before, after = masked(change.before).splitlines(keepends=True), masked(change.after).splitlines(keepends=True)
    lines = difflib.unified_diff(before, after, name, name, n=2)
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def apply(change: Change) -> None:
    """Write it: the file a link leads to, whole or not at all. Raises MachineError where it may not be written."""
    target = os.path.realpath(change.path)
    if change.after != change.before:
        if os.path.lexists(target) and not _writable(target):
            _read_only(change.path)
        write_atomically(change.path, change.after.encode())
    if change.mode is not None:
        try:
            os.chmod(target, change.mode)
        except OSError as problem:
            raise MachineError(f"cannot chmod {to_text(target)}: {problem.strerror}", "do it as its owner") from None


def _writable(target: str) -> bool:
    # Root may write to it all the same, but whoever made it read-only meant that.
    meant = os.stat(target).st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
    return bool(meant) and os.access(target, os.W_OK)


def _read_only(path: str) -> None:
    target = os.path.realpath(path)
    through = f" (behind {to_text(path)})" if target != path else ""
    raise MachineError(f"{to_text(target)}{through} is read-only", f"chmod u+w {to_text(target)}, or edit its source")


def _change(path: str, edits: list[Edit]) -> Change:
    mode: int | None = None
    refused: list[str] = []
    form = _format(path)
    before = text = "" if all(edit.action is Action.MODE for edit in edits) else _text(path)
    for edit in edits:
        if edit.action is Action.MODE:
            assert isinstance(edit.value, int)
            mode = edit.value
        elif edit.action is Action.LINES:
            text = _with_lines(text, _strings(edit.value))
        else:
            try:
                text = edited(parse(path, text, form), edit)
            except SbxError as problem:
                refused.append(f"{problem}: {problem.remedy}")
    return Change(path, before, text, mode, tuple(refused))


def edited(document: Document, edit: Edit) -> str:
    """The text of ``document`` with one edit. Raises SbxError where that would change more than was meant."""
    wanted = copy.deepcopy(document.data)
    try:
        _plain(wanted, edit)
        text = _toml(document.text, edit) if document.format is Format.TOML else _json(document.text, edit)
        done = parse(document.path, text, document.format).data
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, InputFileError):
        done = {}
    if done != wanted:
        key = ".".join(str(each) for each in edit.keys)
        raise SbxError(f"{to_text(document.path)}: {to_text(key)} cannot be edited safely", "change it by hand")
    return text


def _plain(data: dict[str, Any], edit: Edit) -> None:
    """The edit on parsed data: what the text must say afterwards."""
    holder: Any = data
    for key in edit.keys[:-1]:
        holder = holder.setdefault(key, {}) if isinstance(key, str) else holder[key]
    last = edit.keys[-1]
    if edit.action is Action.SET:
        holder[last] = _value(edit)
        return
    items = _strings(edit.value)
    old = holder.get(last, []) if isinstance(holder, dict) else holder[last]
    kept = [each for each in old if each not in items]
    holder[last] = kept if edit.action is Action.REMOVE else [*old, *(i for i in items if i not in old)]


def _json(text: str, edit: Edit) -> str:
    if edit.action is Action.SET:
        return json_text.with_value(text or "{}\n", edit.keys, _value(edit))
    if edit.action is Action.REMOVE:
        return json_text.without_items(text, edit.keys, _strings(edit.value))
    old = at(parse("", text, Format.JSON).data, edit.keys) or []
    return json_text.with_items(text, edit.keys, tuple(i for i in _strings(edit.value) if i not in old))


def _toml(text: str, edit: Edit) -> str:
    if edit.action is Action.SET:
        return toml_text.with_value(text, edit.keys, _value(edit))
    if edit.action is Action.REMOVE:
        return toml_text.without_items(text, edit.keys, _strings(edit.value))
    return toml_text.with_items(text, edit.keys, _strings(edit.value))


def _with_lines(text: str, lines: tuple[str, ...]) -> str:
    known = set(text.splitlines())
    new = "".join(f"{line}\n" for line in lines if line not in known)
    return text + ("\n" if text and not text.endswith("\n") and new else "") + new


def _value(edit: Edit) -> object:
    return list(edit.value) if isinstance(edit.value, tuple) else edit.value


def _strings(value: object) -> tuple[str, ...]:
    assert isinstance(value, tuple)
    return value


def _format(path: str) -> Format:
    return {".toml": Format.TOML, ".json": Format.JSON}.get(os.path.splitext(path)[1], Format.TEXT)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            return re.sub("\\A\ufeff", "", stream.read())
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as problem:
        raise MachineError(f"cannot read {to_text(path)}: {problem}", "mend its permissions") from None
