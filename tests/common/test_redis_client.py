"""Redis behind TLS, behind Sentinel, at a Unix socket, and for users who may do little."""

import asyncio
import socket
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_socket
import redis

from api.edge.rate_limits import Rates
from cli.doctor.redis_check import check_redis
from cli.embedded.servers import Addresses, free_ports
from common.places import redis_place
from common.redis_client import async_redis_client, redis_client
from models.jobs.dispatch import Ring
from tests.conftest import environment
from tests.sentinels import valkey
from tests.support import eventually
from tests.tls import papers, tls
from workers import doorbell
from workers.calls import limits

PASSWORD = "p@ss/word:%"
QUOTED = "p%40ss%2Fword%3A%25"


def works(url: str) -> None:
    """All that is done with Redis is done there."""
    with environment({"REDIS_URL": url}):
        check_redis()
        assert limits.pressure().states({}) == {}

        async def counted() -> None:
            limiter = Rates()._shared
            async with asyncio.timeout(60):
                while not await limiter.storage.check():  # counting waits for no slow handshake
                    pass
            client = async_redis_client(url)
            channel = client.pubsub()
            await channel.subscribe(doorbell.LIVE)
            assert await channel.get_message(timeout=5)
            await channel.aclose()
            await client.aclose()
            await _closed(limiter.storage.bridge.storage)

        asyncio.run(counted())


async def _closed(client: redis.asyncio.Redis) -> None:
    pool = client.connection_pool
    await pool.disconnect()
    for each in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
        await each.aclose()


def test_a_redis_behind_tls_is_used_where_its_certificate_is_trusted(
    stack: Addresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = redis_place(stack.redis_url)
    found = papers(tmp_path)
    with tls(place.port, found.chain) as port:
        url = f"rediss://:{place.password}@localhost:{port}/0"
        with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
            redis_client(url, timeout_seconds=2).ping()
        works(f"{url}?ssl_ca_certs={found.authority}")
        monkeypatch.setenv("SSL_CERT_FILE", str(found.authority))
        works(url)


def test_a_redis_is_followed_by_its_sentinels_to_a_new_master(tmp_path: Path) -> None:
    one, two, watch = free_ports(3)
    own = (f'requirepass "{PASSWORD}"', f'masterauth "{PASSWORD}"')
    rules = (
        f"sentinel monitor ours 127.0.0.1 {one} 1", f'sentinel auth-pass ours "{PASSWORD}"',
        "sentinel down-after-milliseconds ours 1000", "requirepass watching",
    )  # fmt: skip
    url = f"redis+sentinel://:{QUOTED}@127.0.0.1:1,127.0.0.1:{watch}/ours/1?sentinel_password=watching"
    with (
        valkey(tmp_path, one, *own, "maxmemory-policy noeviction"),
        valkey(tmp_path, two, *own, "maxmemory-policy noeviction", f"replicaof 127.0.0.1 {one}"),
        valkey(tmp_path, watch, *rules, sentinel=True),
        redis.Redis(port=watch, password="watching") as sentinel,
        redis_client(url, timeout_seconds=2) as client,
    ):
        eventually(lambda: _replicas(sentinel) == 1, seconds=60, what="a replica")
        works(url)
        client.set("kept", "x")
        client.wait(1, 5000)
        assert client.info("server")["tcp_port"] == one

        def moved() -> bool:
            try:
                return bool(client.info("server")["tcp_port"] == two and client.set("new", "y"))
            except redis.RedisError:  # as while it is away: nobody tries again behind our back
                return False

        sentinel.execute_command("SENTINEL", "FAILOVER", "ours")
        eventually(moved, seconds=60, what="the failover")
        assert client.get("kept") == b"x"
        works(url)


def _replicas(sentinel: redis.Redis) -> int:
    try:
        found = sentinel.execute_command("SENTINEL", "REPLICAS", "ours")
    except redis.RedisError:
        return 0
    return sum(str(each).replace("_", "-").count("master-link-status") and "'ok'" in str(each) for each in found)


def test_a_redis_is_reached_by_its_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", pytest_socket._true_connect)  # which knows no Unix sockets
    port = free_ports(1)[0]
    lines = (f"unixsocket {tmp_path}/redis.sock", f'requirepass "{PASSWORD}"', "maxmemory-policy noeviction")
    with valkey(tmp_path, port, *lines):
        eventually((tmp_path / "redis.sock").exists, what="the socket")
        works(f"unix://:{QUOTED}@{tmp_path}/redis.sock?db=1")


@pytest.mark.parametrize("rule", ["-config", "-info", "-config -info -client"])
def test_who_may_not_look_at_a_redis_may_use_it(stack: Addresses, rule: str) -> None:
    place = redis_place(stack.redis_url)
    with redis_client(stack.redis_url, timeout_seconds=2) as admin:
        admin.execute_command("ACL", "SETUSER", "little", "on", f">{PASSWORD}", "~*", "&*", "+@all", *rule.split())
        try:
            url = f"redis://little:{QUOTED}@127.0.0.1:{place.port}/0"
            works(url)
            with environment({"REDIS_URL": url}):
                said = check_redis()
            assert ("it must be noeviction" in said) is ("-config" in rule)
        finally:
            admin.execute_command("ACL", "DELUSER", "little")


def test_who_may_not_publish_rings_all_the_same_and_is_told(stack: Addresses) -> None:
    place = redis_place(stack.redis_url)
    with redis_client(stack.redis_url, timeout_seconds=2) as admin:
        admin.execute_command("ACL", "SETUSER", "mute", "on", f">{PASSWORD}", "~*", "+@all", "-config", "-@pubsub")
        try:
            url = f"redis://mute:{QUOTED}@127.0.0.1:{place.port}/0"
            with environment({"REDIS_URL": url}), pytest.raises(RuntimeError, match="does not let us publish"):
                check_redis()
            sender = doorbell.Doorbell(url)

            assert sender.ring([Ring(uuid4(), "interactive")], wake_listeners_of=[uuid4()])
            assert (sender.lost, sender.unpublished) == (0, 1)
            sender.close()
            assert admin.llen(f"{doorbell.NAMESPACE}:interactive") >= 1
        finally:
            admin.execute_command("ACL", "DELUSER", "mute")
            admin.flushall()
