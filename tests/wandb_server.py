"""A loopback stand-in for the W&B server: what `wandb sweep`, `wandb agent` and an online run ask of it, no more.

It hands out the cells of a grid one by one, keeps the summaries and histories that runs send, and remembers every
operation's name. Only the standard library and yaml.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

PROJECT = {"id": "cHJvamVjdA==", "name": "mdl", "entity": {"id": "ZW50", "name": "me"}}


class Server(ThreadingHTTPServer):
    """One project `me/mdl`, one sweep."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.sweep: dict[str, Any] = {}
        self.waiting: list[dict[str, Any]] = []
        self.handed_out: list[dict[str, Any]] = []
        self.agents = 0
        self.operations: list[str] = []
        self.files: dict[str, dict[str, list[str]]] = {}  # run id → file name → lines sent
        self.configs: dict[str, dict[str, Any]] = {}  # run id → config
        self.buckets: list[dict[str, Any]] = []  # the variables of every run that was opened
        self.uploads: dict[str, bytes] = {}
        self.artifacts: list[dict[str, Any]] = []  # what each was created with
        self.used: list[tuple[str, str]] = []  # run and the name of an artifact that it used

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any] | None:
        """The least reply that the clients accept, by operation name; None: an error."""
        with self.lock:
            self.operations.append(operation)
            handler = getattr(self, f"_{operation.lower()}", None)
            reply: dict[str, Any] | None = handler(variables) if handler else None
            return reply

    def _viewer(self, _: dict[str, Any]) -> dict[str, Any]:
        user = {
            "id": "dXNlcg==",
            "username": "me",
            "entity": "me",
            "flags": "{}",
            "email": "me@example.org",
            "admin": False,
        }
        return {"viewer": {**user, "teams": {"edges": []}}}

    def _upsertsweep(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.sweep = yaml.safe_load(variables["config"])
        keys = list(self.sweep["parameters"])
        values = [spec.get("values", [spec.get("value")]) for spec in self.sweep["parameters"].values()]
        self.waiting = [dict(zip(keys, cell, strict=True)) for cell in itertools.product(*values)]
        return {"upsertSweep": {"sweep": {"name": "abcd1234", "project": PROJECT}, "configValidationWarnings": []}}

    def _sweepwithruns(self, _: dict[str, Any]) -> dict[str, Any]:
        sweep = {
            "id": "c3dlZXA=", "name": "abcd1234", "method": "grid", "state": "RUNNING", "description": None,
            "config": yaml.safe_dump(self.sweep), "createdAt": "2026-01-01T00:00:00", "heartbeatAt": None,
            "updatedAt": None, "earlyStopJobRunning": False, "bestLoss": None, "controller": None,
            "scheduler": None, "runs": {"edges": []},
        }  # fmt: skip
        return {"project": {"sweep": sweep}}

    def _createagent(self, _: dict[str, Any]) -> dict[str, Any]:
        self.agents += 1
        return {"createAgent": {"agent": {"id": f"agent-{self.agents}"}}}

    def _heartbeat(self, variables: dict[str, Any]) -> dict[str, Any]:
        states = json.loads(variables.get("runState") or "{}")
        commands: list[dict[str, Any]] = []
        if not any(states.values()):
            if self.waiting:
                cell = self.waiting.pop(0)
                self.handed_out.append(cell)
                run_id = f"run{len(self.handed_out):04d}"
                args = {key: {"value": value} for key, value in cell.items()}
                commands = [{"type": "run", "run_id": run_id, "program": None, "args": args}]
            else:
                commands = [{"type": "exit"}]
        return {"agentHeartbeat": {"agent": {"id": variables["id"]}, "commands": json.dumps(commands)}}

    def _upsertbucket(self, variables: dict[str, Any]) -> dict[str, Any]:
        run_id = variables.get("name") or variables.get("id")
        config = json.loads(variables.get("config") or "{}")
        self.configs.setdefault(str(run_id), {}).update(config)
        self.buckets.append(variables)
        bucket = {
            "id": "YnVja2V0", "name": run_id, "displayName": variables.get("displayName"), "description": None,
            "config": None, "sweepName": variables.get("sweep"), "historyLineCount": 0, "project": PROJECT,
        }  # fmt: skip
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}

    def _runresumestatus(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"model": {"id": PROJECT["id"], "name": "mdl", "entity": PROJECT["entity"], "bucket": None}}

    def _createrunfiles(self, variables: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": "YnVja2V0", "uploadHeaders": [], "files": files}}

    def _createartifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.artifacts.append(_input(variables))
        artifact = {"id": f"artifact-{len(self.artifacts)}", "state": "PENDING"}
        return {"createArtifact": {"artifact": artifact | {"artifactSequence": {"id": "c2Vx", "latestArtifact": None}}}}

    def _createartifactmanifest(self, variables: dict[str, Any]) -> dict[str, Any]:
        file = self._upload("manifest", _input(variables)["artifactID"])
        return {"createArtifactManifest": {"artifactManifest": {"id": "bWFuaWZlc3Q=", "file": file}}}

    def _createartifactfiles(self, variables: dict[str, Any]) -> dict[str, Any]:
        asked = _input(variables)["artifactFiles"]
        edges = [{"node": self._upload(spec["name"], spec["artifactID"])} for spec in asked]
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _upload(self, name: str, artifact: str) -> dict[str, Any]:
        url = f"{self.url}/upload/{artifact}/{name}"
        file = {"id": f"{artifact}/{name}", "name": name, "displayName": name, "storagePath": name}
        return {
            **file,
            "uploadUrl": url,
            "uploadHeaders": [],
            "uploadMultipartUrls": None,
            "artifact": {"id": artifact},
        }

    def _commitartifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"commitArtifact": {"artifact": {"id": _input(variables)["artifactID"], "digest": "0"}}}

    def _useartifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        asked = _input(variables)
        made = self.artifacts[int(asked["artifactID"].removeprefix("artifact-")) - 1]
        self.used.append((asked["runName"], made["artifactCollectionName"]))
        return {"useArtifact": {"artifact": {"id": asked["artifactID"]}}}

    def summaries(self) -> list[dict[str, Any]]:
        """The last summary that every run sent."""
        with self.lock:
            lines = [files.get("wandb-summary.json", []) for files in self.files.values()]
        return [json.loads(sent[-1]) for sent in lines if sent]


def _input(variables: dict[str, Any]) -> dict[str, Any]:
    """What a mutation was given, which some wrap."""
    given: dict[str, Any] = variables.get("input", variables)
    return given


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        stream = re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path)
        if stream:
            self._keep(stream[1], json.loads(body))
            self._reply({})
            return
        if self.path != "/graphql":  # measurements of the client's own, which are of no interest
            self._reply({})
            return
        query = json.loads(body)
        name = re.search(r"(?:query|mutation)\s+(\w+)", query["query"])
        answer = self.server.answer(name[1] if name else "", query.get("variables") or {})
        if answer is None:
            self._reply({"errors": [{"message": "not answered by this stand-in"}]})
        else:
            self._reply({"data": answer})

    def _keep(self, run_id: str, sent: dict[str, Any]) -> None:
        with self.server.lock:
            files = self.server.files.setdefault(run_id, {})
            for name, part in (sent.get("files") or {}).items():
                files.setdefault(name, []).extend(part["content"])

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            self.server.uploads[self.path.removeprefix("/upload/")] = content
        self._reply({})

    def do_GET(self) -> None:
        self._reply({})

    def _reply(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve() -> Iterator[Server]:
    """A server on a free port of this machine, until the block ends."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
