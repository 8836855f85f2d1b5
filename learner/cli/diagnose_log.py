"""``sbx diagnose --log``: causes from a log, without running anything."""

import sys
from typing import BinaryIO

import click

from learner.cli.options import emit_json
from learner.diagnosis.logs.reader import Log, read_log
from learner.errors import InputFileError
from learner.names import to_text
from learner.variables import Variables

_FOUND, _NOTHING = 0, 1


def show_log(where: str, json_file: str | None, sarif_file: str | None) -> int:
    """Read the log (``-``: standard input), print what it says, and return the exit status."""
    from reports.diagnosis_log import document, lines

    if where == "-":
        log = read_log(sys.stdin.buffer)
    else:
        try:
            with open(where, "rb") as stream:
                log = _read(stream, where)
        except OSError as problem:
            raise InputFileError(f"{to_text(where)}: {problem.strerror}", "name a log, or - for the input") from None
    variables = Variables.here()
    if json_file:
        emit_json(json_file, document(log, variables))
    if sarif_file:
        from reports.diagnosis_sarif import of_log

        emit_json(sarif_file, of_log(log, "stdin" if where == "-" else where, variables))
    for line in lines(log, variables):
        click.echo(line, err=True)
    return _FOUND if log.entries else _NOTHING


def _read(stream: BinaryIO, where: str) -> Log:
    try:
        return read_log(stream)
    except IsADirectoryError:
        raise InputFileError(f"{to_text(where)} is a directory", "name a log, or - for the input") from None
