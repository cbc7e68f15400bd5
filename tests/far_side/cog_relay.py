"""A gateway in front of real Cog servers that misbehaves when told, and keeps a book of what it let through.

Script: `{"*": {"servers": ["http://127.0.0.1:5001", …]}}`. A prediction stays at the server that its id chooses.
"""

import zlib

import httpx

from tests.far_side.queue_server import Answer, Ask, FarSide, as_json, main

TURNED_AWAY = {409, 503}  # busy, or not ready: nothing ran


class CogRelay(FarSide):
    def key_of(self, ask: Ask) -> str:
        return ask.path

    def answer(self, ask: Ask) -> Answer:
        parts = ask.path.strip("/").split("/")
        servers = self.scripted("*")["servers"]
        chosen = servers[zlib.crc32(parts[1].encode()) % len(servers)] if len(parts) > 1 else servers[0]
        kept = ("content-type", "prefer")
        headers = {name: value for name, value in ask.headers.items() if name in kept}
        try:
            answer = httpx.request(ask.method, chosen + ask.path, content=ask.raw, headers=headers, timeout=30)
        except httpx.HTTPError:
            return as_json({"detail": "bad gateway"}, 502)
        if ask.method == "PUT" and answer.status_code not in TURNED_AWAY:
            job, _, number = parts[1].rpartition("-")
            self.book.begin(parts[1], f"{job}:{number}", {})
        made = Answer(answer.status_code, answer.content, answer.headers.get("content-type", "application/json"))
        if ask.method == "PUT" and answer.status_code == 200 and answer.json().get("status") == "succeeded":
            made.delivers = parts[1]
        return made

    def called_back(self, generation_id: str) -> tuple[bytes, dict[str, str]]:
        raise NotImplementedError("the servers call back themselves")


if __name__ == "__main__":
    main(CogRelay)
