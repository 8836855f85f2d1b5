"""The stub model: its answers over HTTP, and that it really drives an agent."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent import find_python, install_vibe, lay_out, run_agent, stub_model

SCRIPT = [{"read": "a"}, {"write": "b", "content": "text"}, {"run": "true"}, {"say": "enough"}]


def tool(name: str, *required: str, **properties: str) -> dict[str, Any]:
    parameters = {
        "properties": {key: {"type": kind} for key, kind in properties.items()},
        "required": required,
    }
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [
    tool("read_file", "path", path="string", offset="integer"),
    tool("write_file", "path", "content", "overwrite", path="string", content="string", overwrite="boolean"),
    tool("bash", "command", command="string"),
    tool("read_mail", "folder", folder="string"),
]


@pytest.fixture
def url(scratch: Path) -> Iterator[str]:
    with stub_model(scratch, SCRIPT) as address:
        yield address


def post(url: str, body: object, path: str = "/v1/chat/completions") -> str:
    request = urllib.request.Request(url + path, json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(answer.read(), "utf-8")


def ask(url: str, results: int, tools: list[dict[str, Any]] = TOOLS) -> dict[str, Any]:
    messages = [{"role": "user", "content": "go"}] + [{"role": "tool", "content": "x"}] * results
    answer = json.loads(post(url, {"model": "m", "messages": messages, "tools": tools}))
    message: dict[str, Any] = answer["choices"][0]["message"]
    return message


@pytest.mark.parametrize(
    ("step", "name", "arguments"),
    [
        (0, "read_file", {"path": "a"}),
        (1, "write_file", {"path": "b", "content": "text", "overwrite": False}),
        (2, "bash", {"command": "true"}),
    ],
)
def test_plays_the_step_after_the_results(url: str, step: int, name: str, arguments: dict[str, Any]) -> None:
    (call,) = ask(url, step)["tool_calls"]
    assert call["function"]["name"] == name
    assert json.loads(call["function"]["arguments"]) == arguments


def test_says_the_last_words_and_then_that_it_is_over(url: str) -> None:
    assert ask(url, 3)["content"] == "enough"
    assert "over" in ask(url, 4)["content"]


def test_says_what_no_tool_does(url: str) -> None:
    assert "read_mail" in ask(url, 1, [TOOLS[3]])["content"]


def test_request_without_tools_is_no_step(url: str) -> None:
    assert "tool_calls" not in ask(url, 0, [])


def test_streams(url: str) -> None:
    body = post(url, {"model": "m", "stream": True, "messages": [], "tools": TOOLS})
    events = [event.removeprefix("data: ") for event in body.split("\n\n") if event]
    assert events.pop() == "[DONE]"
    choices = [choice for event in events for choice in json.loads(event)["choices"]]
    assert choices[0]["delta"]["tool_calls"][0]["function"]["name"] == "read_file"
    assert [choice["finish_reason"] for choice in choices] == [None, "tool_calls"]


def test_other_paths_are_not_found(url: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        post(url, {}, "/v1/telemetry")


@pytest.mark.agent
def test_drives_vibe(scratch: Path, cache_directory: Path) -> None:
    given = os.environ.get("SBX_TEST_VIBE")
    vibe = Path(given) if given else install_vibe(cache_directory / "vibe", find_python())
    with stub_model(scratch) as url:
        run = lay_out(scratch, vibe, url)
        done = run_agent(run)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("done")
    assert (run.project / "hello.txt").read_text() == "hello from the stub model\n"
    log = (scratch / "stub.log").read_text()
    assert "?? hello.txt" in log  # git status ran, and its output came back
