"""Programs that people use, in a jail: none of them is told of a proxy."""

import json
import os
import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from capability import require
from children import area_of
from jailed import PYTHON, Hello, files, jailed, jails_work, network_policy, serving

pytestmark = pytest.mark.kernel

API = network_policy(("api.test", 80))


@pytest.fixture(autouse=True, scope="module")
def _jails() -> None:
    require(jails_work(), "user and network namespaces with nftables")


def test_python(user: int) -> None:
    script = "import urllib.request; print(urllib.request.urlopen('http://api.test/').read().decode(), end='')"
    denied = "import urllib.request\ntry: urllib.request.urlopen('http://evil.test/')\nexcept OSError as e: print(e)"
    with serving(Hello) as port:
        internet = {("api.test", 80): port, ("evil.test", 80): port}
        assert jailed((PYTHON, "-c", script), API, internet, user=user).out == "hello from api.test /\n"
        assert "Name or service not known" in jailed((PYTHON, "-c", denied), API, internet, user=user).out


def test_node(user: int) -> None:
    require(shutil.which("node"), "node")
    script = (
        "fetch(process.argv[1]).then(r => r.text()).then(t => process.stdout.write(t), e => console.log(e.cause.code))"
    )
    with serving(Hello) as port:
        internet = {("api.test", 80): port, ("api.test", 81): port, ("evil.test", 80): port}
        for url, says in (
            ("http://api.test/", "hello from api.test /\n"),
            ("http://evil.test/", "ENOTFOUND\n"),
            ("http://api.test:81/", "ECONNRESET\n"),
        ):
            assert (
                jailed(("node", "-e", script, url), API, internet, user=user).out.replace(
                    "UND_ERR_SOCKET", "ECONNRESET"
                )
                == says
            )


def test_https_keeps_the_name_that_was_asked_for(user: int, scratch: Path) -> None:
    require(shutil.which("openssl") and shutil.which("curl"), "openssl and curl")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=api.test",
         "-addext", "subjectAltName=DNS:api.test", "-keyout", "key", "-out", "cert"],
        cwd=scratch, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(scratch / "cert", scratch / "key")
    asked: list[str] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    with area_of(user) as place, ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        shutil.copy(scratch / "cert", place)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        done = jailed(
            ("curl", "-sS", "--cacert", f"{place}/cert", "https://api.test/"),
            network_policy(("api.test", 443)),
            {("api.test", 443): server.server_address[1]},
            user=user,
        )
        server.shutdown()
        thread.join()
    assert done.out == "hello from api.test /\n"
    assert asked == ["api.test"]


def test_git_over_http(user: int) -> None:
    require(shutil.which("git"), "git")
    with area_of(user) as place:
        script = (
            f"cd {place} && git init -q w && cd w"
            " && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m one"
            " && git clone -q --bare . ../served.git && cd ../served.git && git update-server-info"
        )
        env = {"HOME": place, "GIT_CONFIG_GLOBAL": "/dev/null", "PATH": os.environ["PATH"]}
        subprocess.run(["sh", "-c", script], check=True, env=env)
        subprocess.run(["chmod", "-R", "a+rX", place], check=True)
        with serving(files(place)) as port:
            words = f"git clone -q http://git.test/served.git {place}/copy && git -C {place}/copy log --format=%s"
            argv = ("sh", "-c", words)
            done = jailed(argv, network_policy(("git.test", 80)), {("git.test", 80): port}, user=user, env=env)
            assert done.out == "one\n"
            shutil.rmtree(f"{place}/copy")
            denied = jailed(argv, API, {("git.test", 80): port}, user=user, env=env)
            assert "Could not resolve host: git.test" in denied.out
            assert [a.program for a in denied.attempts] == ["git-remote-http"]


class Registry(BaseHTTPRequestHandler):
    """An npm registry with one package, whose tarball is never fetched."""

    def do_GET(self) -> None:
        versions = {"1.2.3": {"name": "tiny", "version": "1.2.3", "dist": {"tarball": "http://files.test/t.tgz"}}}
        body = json.dumps({"name": "tiny", "dist-tags": {"latest": "1.2.3"}, "versions": versions}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Be quiet."""


def test_npm(user: int) -> None:
    require(shutil.which("npm"), "npm")
    with area_of(user) as place, serving(Registry) as port:
        done = jailed(
            ("npm", "view", "tiny", "version", "--registry", "http://registry.npmjs.org/", "--fetch-retries=0"),
            network_policy(("group:npm", 80)),
            {("registry.npmjs.org", 80): port},
            user=user,
            env={"HOME": place, "npm_config_cache": f"{place}/cache", "npm_config_update_notifier": "false"},
            cwd=place,
        )
    assert done.out.strip().endswith("1.2.3"), done.out
    assert ("registry.npmjs.org", 80) in done.dialled


def test_pip(user: int) -> None:
    tried = subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, check=False)
    require(tried.returncode == 0, "pip for the system's Python")
    with area_of(user) as place:
        index = Path(place, "simple", "tiny")
        index.mkdir(parents=True)
        wheel = index / "tiny-1.0-py3-none-any.whl"
        subprocess.run([PYTHON, "-c", _WHEEL, str(wheel)], check=True)
        (index / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>\n')
        subprocess.run(["chmod", "-R", "a+rX", place], check=True)
        with serving(files(place)) as port:
            argv = (PYTHON, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir", "-d", f"{place}/got",
                    "--disable-pip-version-check", "--retries=0",
                    "-i", "http://pypi.org/simple", "--trusted-host", "pypi.org", "tiny")  # fmt: skip
            internet = {("pypi.org", 80): port}
            env = {"HOME": place, "PIP_CONFIG_FILE": "/dev/null"}
            done = jailed(argv, network_policy(("group:pypi", 80)), internet, user=user, env=env)
            assert done.status == 0, done.out
            assert os.listdir(f"{place}/got") == [wheel.name]
            assert jailed(argv, API, internet, user=user, env=env).status == 1


_WHEEL = """
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as z:
    z.writestr("tiny.py", "")
    z.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n")
    wheel = "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    z.writestr("tiny-1.0.dist-info/WHEEL", wheel)
    z.writestr("tiny-1.0.dist-info/RECORD", "")
"""
