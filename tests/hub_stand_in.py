"""A stand-in of the Hugging Face hub on this machine, for the real client: repositories, commits,
LFS, resolve.

Only what publishing and reading a model ask for. Faults are set by the name of a route.
"""

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LFS = (".safetensors", ".onnx", ".png")
TOKENS = {"hf_janesWriteToken0000": "jane", "hf_billsWriteToken0000": "bill"}
JANE, BILL = TOKENS


@dataclass
class Repository:
    """Commits in order, each with all files of its moment."""

    private: bool = False
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    gated: bool = False

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit and return its name."""
        seed = repr((len(self.commits), sorted((p, _sha256(d)) for p, d in files.items())))
        name = hashlib.sha1(seed.encode()).hexdigest()
        self.commits.append((name, dict(files)))
        return name

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Commit and files of a branch or commit."""
        if revision == "main":
            return self.commits[-1]
        return next((found for found in self.commits if found[0] == revision), None)


@dataclass
class Hub:
    """What the stand-in holds, what it was asked, and how it should fail."""

    endpoint: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)  # LFS, by sha256
    asked: list[tuple[str, str]] = field(default_factory=list)  # method and path
    tokens_seen: list[str | None] = field(default_factory=list)
    fail: dict[str, int | str] = field(default_factory=dict)  # route: status, or "hang up"
    ignored: str = ""  # suffix that a .gitignore of the repository names

    def files(self, name: str) -> dict[str, bytes]:
        """Files of a repository's last commit, without what the hub itself adds."""
        files = self.repositories[name].commits[-1][1]
        return {place: data for place, data in files.items() if place != ".gitattributes"}


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve a new, empty hub while the block lasts."""
    hub = Hub()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    body: bytes

    routes = (
        ("create", "POST", r"/api/repos/create"),
        ("validate", "POST", r"/api/validate-yaml"),
        ("preupload", "POST", r"/api/models/(?P<name>[^/]+/[^/]+)/preupload/(?P<revision>.+)"),
        ("commit", "POST", r"/api/models/(?P<name>[^/]+/[^/]+)/commit/(?P<revision>.+)"),
        ("info", "GET", r"/api/models/(?P<name>[^/]+/[^/]+)(/revision/(?P<revision>.+))?"),
        ("batch", "POST", r"/(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch"),
        ("upload", "PUT", r"/lfs/(?P<oid>[0-9a-f]{64})"),
        (
            "resolve",
            "GET|HEAD",
            r"/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<place>.+)",
        ),
    )

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def handle_one_request(self) -> None:
        """Let the other side hang up."""
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def do_GET(self) -> None:
        self._dispatch()

    do_HEAD = do_POST = do_PUT = do_GET

    def _dispatch(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        for route, method, pattern in self.routes:
            match = re.fullmatch(pattern, path)
            if match is None or not re.fullmatch(method, self.command):
                continue
            self.hub.asked.append((self.command, path))
            if route != "upload":  # its address is signed by the real hub, and needs no token
                self.hub.tokens_seen.append(token)
            fault = self.hub.fail.get(route)
            if fault == "hang up":
                self._hang_up()
            elif fault is not None:
                self._json({"error": f"told to, token {token}"}, int(fault))
            elif token is not None and token not in TOKENS:
                message = "Invalid credentials in Authorization header"
                self._json({"error": message}, 401, {"X-Error-Message": message})
            else:
                getattr(self, f"_{route}")(user=TOKENS.get(token or ""), **match.groupdict())
            return
        self._json({"error": "no such route"}, 404)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _json(self, values: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._bytes(json.dumps(values).encode(), status, headers)

    def _bytes(self, data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _missing(self, what: str = "Repo", status: int = 404) -> None:
        self._json({"error": what}, status, {"X-Error-Code": f"{what}NotFound"})

    def _visible(self, name: str, user: str | None) -> Repository | None:
        found = self.hub.repositories.get(name)
        if found is None or (found.private and name.partition("/")[0] != user):
            self._missing(status=404 if user else 401)
            return None
        if found.gated:
            self._json({"error": "gated"}, 403, {"X-Error-Code": "GatedRepo"})
            return None
        return found

    def _may_write(self, name: str, user: str | None) -> bool:
        if name.partition("/")[0] == user:
            return True
        self._json({"error": "no rights"}, 403, {"X-Error-Message": "You don't have the rights"})
        return False

    def _create(self, user: str | None) -> None:
        given = json.loads(self.body)
        name = f"{given['organization'] or user}/{given['name']}"
        if not self._may_write(name, user):
            return
        if name in self.hub.repositories:
            self._json({"error": "You already created this model repo"}, 409)
            return
        made = Repository(private=given.get("visibility") == "private")
        made.commit({".gitattributes": b"*.onnx filter=lfs\n"})
        self.hub.repositories[name] = made
        self._json({"url": f"{self.hub.endpoint}/{name}"})

    def _validate(self, user: str | None) -> None:
        content = json.loads(self.body)["content"]
        errors = [] if content.startswith("---\n") else [{"message": "no metadata"}]
        self._json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def _info(self, name: str, user: str | None, revision: str | None = None) -> None:
        found = self._visible(name, user)
        if found is None:
            return
        at = found.at(revision or "main")
        if at is None:
            self._missing("Revision")
            return
        siblings = []
        for place, data in at[1].items():
            sibling: dict[str, Any] = {"rfilename": place, "size": len(data), "blobId": _blob(data)}
            if place.endswith(LFS):
                sibling["blobId"] = "0" * 40  # of the pointer
                sibling["lfs"] = {"sha256": _sha256(data), "size": len(data), "pointerSize": 130}
            siblings.append(sibling)
        self._json(
            {"id": name, "sha": at[0], "private": found.private, "siblings": siblings, "tags": []}
        )

    def _preupload(self, name: str, user: str | None, revision: str) -> None:
        found = self._visible(name, user)
        if found is None or not self._may_write(name, user):
            return
        there = found.commits[-1][1]
        told = []
        for file in json.loads(self.body)["files"]:
            place = file["path"]
            lfs, data = place.endswith(LFS), there.get(place)
            oid = None if data is None else _sha256(data) if lfs else _blob(data)
            told.append(
                {
                    "path": place,
                    "uploadMode": "lfs" if lfs else "regular",
                    "shouldIgnore": bool(self.hub.ignored) and place.endswith(self.hub.ignored),
                    "oid": oid,
                }
            )
        self._json({"files": told})

    def _batch(self, name: str, user: str | None) -> None:
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            if wanted["oid"] not in self.hub.objects:
                href = f"{self.hub.endpoint}/lfs/{wanted['oid']}"
                wanted["actions"] = {"upload": {"href": href}}
            objects.append(wanted)
        self._json({"transfer": "basic", "objects": objects})

    def _upload(self, user: str | None, oid: str) -> None:
        if _sha256(self.body) != oid:
            self._json({"error": "hash"}, 400)
            return
        self.hub.objects[oid] = self.body
        self._bytes(b"")

    def _commit(self, name: str, user: str | None, revision: str) -> None:
        found = self._visible(name, user)
        if found is None or not self._may_write(name, user):
            return
        lines = [json.loads(line) for line in self.body.splitlines()]
        parent = lines[0]["value"].get("parentCommit")
        if parent is not None and parent != found.commits[-1][0]:
            self._json({"error": "A commit has happened since"}, 412)
            return
        files = dict(found.commits[-1][1])
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        oid = found.commit(files)
        if self.hub.fail.get("answer to commit") == "hang up":
            self._hang_up()
            return
        self._json({"commitUrl": f"{self.hub.endpoint}/{name}/commit/{oid}", "commitOid": oid})

    def _resolve(self, name: str, user: str | None, revision: str, place: str) -> None:
        found = self._visible(name, user)
        if found is None:
            return
        at = found.at(revision)
        if at is None:
            self._missing("Revision")
            return
        headers = {"X-Repo-Commit": at[0]}
        if place not in at[1]:
            self._json({"error": place}, 404, headers | {"X-Error-Code": "EntryNotFound"})
            return
        data = at[1][place]
        etag = _sha256(data) if place.endswith(LFS) else _blob(data)
        if place.endswith(LFS):
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(data))}
        self._bytes(data, 200, headers | {"ETag": f'"{etag}"'})
