"""Static pages: files below web/, as they are, with headers that let them load and ask nothing but this server.

    GET /agent/    the live card and form of an agent (web/agent; docs/screenpop.md)

Decides which files there are, once, at start: nothing else of the disk can be asked for. Whoever opens a page
is nobody until he logs in; what he may see, the methods decide.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from twisted.web.resource import NoResource, Resource
from twisted.web.server import Request
from twisted.web.util import Redirect

from kalibri.config import PROJECT_ROOT

WEB = PROJECT_ROOT / "web"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


class Page(Resource):
    """One file."""

    isLeaf = True

    def __init__(self, path: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._body = path.read_bytes()
        self._type = TYPES[path.suffix]
        self._tag = f'"{hashlib.sha256(self._body).hexdigest()[:32]}"'.encode()

    def render_GET(self, request: Request) -> bytes:
        """Send it, or say that the browser has it already."""
        for name, value in HEADERS.items():
            request.setHeader(name, value)
        request.setHeader("content-type", self._type)
        # CACHED: the answer has no body (RFC 9110 section 15.4.5).
        return b"" if request.setETag(self._tag) else self._body


class Pages(Resource):
    """A folder of web/: its files by name, index.html for the folder itself; without a slash it is redirected."""

    def __init__(self, folder: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._folder = folder
        self._pages = {
            path.name.encode(): Page(path)
            for path in sorted((WEB / folder).iterdir())
            if path.suffix in TYPES
        }

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Find a file."""
        found = self._pages.get(path or b"index.html")
        return found if found is not None else NoResource()

    def render_GET(self, request: Request) -> bytes:
        """Send whoever left out the slash to where the names of the files are right."""
        answer: bytes = Redirect(f"/{self._folder}/".encode()).render(request)
        return answer
