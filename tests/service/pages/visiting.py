"""A browser without scripts: follows pages, fills in forms, keeps cookies."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

import httpx

_PERSON = re.compile(
    r'<a href="([^"]+/people/[^"]+)"[^>]*>(?:<span[^>]*>[^<]*</span>)?'
    r'<span class="person-name">([^<]*)<'
)
ACCEPT = "text/html,application/xhtml+xml,*/*;q=0.8"


class Page(HTMLParser):
    """A page's tags with attributes, and its text."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.status = response.status_code
        self.headers = response.headers
        self.html = response.text
        self.path = response.url.path
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._texts: list[str] = []
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self._texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self._texts))

    def links(self) -> list[str]:
        return [attrs["href"] or "" for tag, attrs in self.tags if tag == "a" and "href" in attrs]

    def forms(self) -> list[str]:
        return [attrs.get("action") or "" for tag, attrs in self.tags if tag == "form"]

    def value(self, name: str) -> str:
        """Return the value of the first field of a name."""
        return next(
            a["value"] or "" for t, a in self.tags if t == "input" and a.get("name") == name
        )


class Visitor:
    """Someone who uses the pages of a client."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.at: Page | None = None

    def get(self, path: str, **headers: str) -> Page:
        response = self.client.get(path, headers={"accept": ACCEPT} | headers)
        self.at = Page(response)
        return self.at

    def post(
        self,
        path: str,
        data: dict[str, Any] | None = None,
        files: list[tuple[str, bytes]] | None = None,
        *,
        token: str | None = None,
        follow: bool = True,
        **headers: str,
    ) -> Page:
        """Post a form with the token of the page that was seen last, or another one."""
        if token is None:
            assert self.at is not None, "look at a page first"
            token = self.at.value("csrf")
        fields = {"csrf": token} | (data or {})
        sent = [(name, (name, content, "image/jpeg")) for name, content in files or []]
        response = self.client.post(
            path,
            data=fields,
            files=sent or None,
            headers={"accept": ACCEPT} | headers,
            follow_redirects=follow,
        )
        page = Page(response)
        if page.status == 200:
            self.at = page
        return page

    def enrol(self, gallery: str, person: str, *pictures: bytes) -> Page:
        self.get(f"/galleries/{gallery}")
        return self.post(
            f"/galleries/{gallery}/faces", {"person": person}, [("file", p) for p in pictures]
        )

    def person(self, gallery: str, name: str) -> str:
        """Return the path of a person's page, found by its link."""
        page = self.get(f"/galleries/{gallery}")
        found = {unescape(text): link for link, text in _PERSON.findall(page.html)}
        return found[name]
