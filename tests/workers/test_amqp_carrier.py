"""Messages over RabbitMQ: sent by one thread for all, not heaped up, and nobody waits for a server that is away or hangs."""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
import redis
from uuid_utils.compat import uuid7

from cli.doctor.broker_check import check_broker
from cli.doctor.trust import distrust
from common import amqp_client
from common.settings import WrongSettings, settings
from models.jobs.dispatch import Ring
from scheduler.duties.jobs import ring_due
from tests.conftest import environment
from tests.rabbits import PASSWORD, Rabbit, needs_rabbitmq
from tests.support import account, eventually, model, one, placed
from tests.tls import papers, tls
from tests.workers.test_doorbell import due_now, poll_of
from workers import amqp_carrier, doorbell
from workers.doorbell import LIVE, Doorbell

pytestmark = [pytest.mark.usefixtures("database"), needs_rabbitmq]


def rings(count: int, queue: str = "interactive") -> list[Ring]:
    return [Ring(uuid7(), queue) for _ in range(count)]


@contextmanager
def sender(url: str, redis_url: str | None = None) -> Iterator[Doorbell]:
    made = Doorbell(redis_url or settings().redis_url, url)
    try:
        yield made
    finally:
        made.close()


def seconds_of(bell: Doorbell, *, heard: bool) -> float:
    """How long a ring takes that must be heard, or must not."""
    begun = time.monotonic()
    assert bell.ring(rings(1)) is heard
    return time.monotonic() - begun


def test_messages_are_in_rabbitmqs_queues_and_not_in_redis(rabbit: Rabbit) -> None:
    assert doorbell.ring([*rings(300), *rings(2, "batch")])
    assert (rabbit.depth(), rabbit.depth("batch")) == (300, 2)
    assert rabbit.queues() == {"headrace.interactive", "headrace.batch"}  # none for what is delayed or dead
    with redis.Redis.from_url(settings().redis_url) as client:
        assert client.keys("dramatiq*") == client.keys("headrace:wake*") == []


def test_news_is_redis_s_whatever_becomes_of_rabbitmq(rabbit: Rabbit) -> None:
    who = account()
    with redis.Redis.from_url(settings().redis_url) as client, client.pubsub() as channel:
        channel.subscribe(LIVE)
        assert channel.get_message(timeout=2) is not None

        def news() -> bytes | None:
            message = channel.get_message(timeout=2)
            return message["data"] if message else None

        assert doorbell.ring(rings(1), wake_listeners_of=[who])
        assert news() == f'[["{who}"]]'.encode()
        with sender("amqp://u:p@127.0.0.1:1/v") as bell:
            for _ in range(3):  # and while it rests
                assert not bell.ring(rings(1), wake_listeners_of=[who])
                assert news() == f'[["{who}"]]'.encode()
            assert bell.ring((), wake_listeners_of=[who])


def test_jobs_are_rung_whatever_becomes_of_redis(rabbit: Rabbit) -> None:
    with sender(rabbit.url, "redis://127.0.0.1:1/0") as bell:
        assert bell.ring(rings(1), wake_listeners_of=[account()])
        assert not bell.resting
    assert rabbit.depth() == 1


def test_threads_share_one_connection_and_lose_nothing(rabbit: Rabbit) -> None:
    with sender(rabbit.url) as bell:
        with ThreadPoolExecutor(16) as threads:
            assert all(threads.map(lambda _: all(bell.ring(rings(3)) for _ in range(20)), range(16)))
        assert len(rabbit.connections()) == 1
    assert rabbit.depth() == 16 * 20 * 3


def test_messages_of_a_job_are_not_heaped_up_while_no_worker_runs(rabbit: Rabbit) -> None:
    offer, who = model(), account(amount=9, plan="studio")
    jobs = [placed(who, offer) for _ in range(2)]
    doorbell.ring([Ring(job_id, "interactive") for job_id in jobs])  # as the API did
    poll_of(jobs[1])
    for _ in range(40):
        due_now()
        assert ring_due(10) == 2
    assert 2 <= rabbit.depth() <= 2 * len(jobs) + 1


def test_messages_that_a_restart_lost_are_rung_anew(rabbit: Rabbit) -> None:
    offer, who = model(), account(amount=9, plan="studio")
    for _ in range(3):
        placed(who, offer)
    for _ in range(2):
        due_now()
        ring_due(10)
    with rabbit.channel() as channel:
        channel.queue_purge("headrace.interactive")
    for _ in range(5):
        due_now()
        assert ring_due(10) == 3
    assert rabbit.depth() == 3


def test_one_lost_message_is_rung_anew_though_others_wait(rabbit: Rabbit) -> None:
    offer, who = model(), account(amount=9, plan="studio")
    doorbell.ring([Ring(placed(who, offer), "interactive") for _ in range(3)])
    lost = placed(who, offer)  # its message was
    with environment({"BROKER_URL": rabbit.url}):
        due_now()
        assert ring_due(10) == 4
    with rabbit.channel() as channel:
        bodies = [channel.basic_get("headrace.interactive", auto_ack=True)[2] for _ in range(rabbit.depth())]
    assert sum(str(lost).encode() in body for body in bodies) == 1


def test_an_absent_rabbitmq_is_said_and_not_raised_and_rested_from() -> None:
    with sender("amqp://u:p@127.0.0.1:1/v") as bell:
        begun = time.monotonic()
        assert not bell.ring(rings(3))
        for _ in range(100):
            assert not bell.ring(rings(1))
        assert time.monotonic() - begun < 1.0
        assert bell.lost == 103


def test_the_pause_between_rings_does_not_grow_while_rabbitmq_is_away(rabbit: Rabbit) -> None:
    placed(account(amount=5), model())
    with environment({"BROKER_URL": "amqp://u:p@127.0.0.1:1/v"}):
        for _ in range(6):
            due_now()
            assert ring_due(10) == 0
    rung, seconds = one("select rings, extract(epoch from wake_at - app_now())::float from job_runs")
    assert rung == 0
    assert seconds <= doorbell.REST_SECONDS
    eventually(lambda: ring_due(10) == 1, what="a ring once it is back")
    assert rabbit.depth() == 1


def test_the_first_ring_after_an_idle_connection_was_cut_is_not_lost(rabbit: Rabbit) -> None:
    # Nobody looks at the connection meanwhile.
    with patch.object(amqp_carrier, "LOOK_SECONDS", 60), sender(rabbit.url) as bell:
        assert bell.ring(rings(1))
        for _ in range(3):
            rabbit.cut()
            assert seconds_of(bell, heard=True) < 1
        assert bell.lost == 0
    assert rabbit.depth() == 4


def test_a_connection_stays_while_nobody_has_anything_to_send(rabbit: Rabbit) -> None:
    """A server whose heartbeats nobody answers ends the connection after two of them."""
    with (
        patch.object(amqp_client, "HEARTBEAT_SECONDS", 1),
        patch.object(amqp_carrier, "LOOK_SECONDS", 0.2),
        sender(rabbit.url) as bell,
    ):
        assert bell.ring(rings(1))
        before = rabbit.connections()
        time.sleep(5)
        assert rabbit.connections() == before


def test_one_ring_waits_for_a_server_that_hangs_and_the_others_do_not(rabbit: Rabbit) -> None:
    with sender(rabbit.url) as bell:
        assert bell.ring(rings(1))
        with rabbit.hung():
            assert seconds_of(bell, heard=False) < 1.3
            end = time.monotonic() + 5
            while time.monotonic() < end:  # longer than any rest
                assert seconds_of(bell, heard=False) < 0.5
                time.sleep(0.1)
            assert bell.resting
        eventually(lambda: not bell.resting, what="the end of the rest")
        assert seconds_of(bell, heard=True) < 0.5


def test_a_server_that_hangs_at_the_first_ring_costs_no_more(rabbit: Rabbit) -> None:
    with sender(rabbit.url) as bell, rabbit.hung():
        assert seconds_of(bell, heard=False) < 1.3
        assert seconds_of(bell, heard=False) < 0.5


def test_a_server_short_of_memory_takes_no_messages_and_is_rested_from(rabbit: Rabbit) -> None:
    with sender(rabbit.url) as bell:
        assert bell.ring(rings(1))
        with rabbit.without_memory():
            assert seconds_of(bell, heard=False) < 1.3
            for _ in range(20):
                assert seconds_of(bell, heard=False) < 0.5
                time.sleep(0.2)
            with pytest.raises(RuntimeError, match="takes no message"):
                check_broker()
        eventually(lambda: not bell.resting, what="the end of the rest")
        assert bell.ring(rings(1))


def test_a_queue_that_was_deleted_is_made_anew_with_the_message(rabbit: Rabbit) -> None:
    with sender(rabbit.url) as bell:
        assert bell.ring(rings(5))
        rabbit.forget()
        assert bell.ring(rings(2))
        assert rabbit.depth() == 2


def test_a_password_that_is_refused_is_said_and_not_shown(rabbit: Rabbit, caplog: pytest.LogCaptureFixture) -> None:
    wrong = rabbit.url.replace(PASSWORD, "not-the-password")
    caplog.set_level(logging.DEBUG)
    with sender(wrong) as bell:
        assert not bell.ring(rings(1))
    with environment({"BROKER_URL": wrong}), pytest.raises(RuntimeError, match=r"user, password and rights") as caught:
        check_broker()
    assert "ACCESS_REFUSED" in caplog.text
    assert "not-the-password" not in caplog.text + str(caught.value)
    assert "not-the-password" not in repr(settings())


def test_doctor_tries_what_is_used_of_rabbitmq(rabbit: Rabbit) -> None:
    assert doorbell.ring(rings(3))
    assert check_broker() == (
        "RabbitMQ 3.10.8; interactive: 3 messages wait, 0 workers listen, batch: 0 messages wait, 0 workers listen"
    ).replace("3.10.8", rabbit.version())
    assert rabbit.queues() == {"headrace.interactive", "headrace.batch"}
    with environment({"BROKER_URL": rabbit.url.replace("/ours", "/others")}):
        with pytest.raises(RuntimeError, match="see the vhost"):
            check_broker()
    with environment({"BROKER_URL": "amqp://u:p@127.0.0.1:1/v"}):
        with pytest.raises(RuntimeError, match=r"see BROKER_URL.*ConnectionRefused"):
            check_broker()
    with environment({"BROKER_URL": ""}):
        assert "Redis's" in check_broker()


def test_doctor_says_which_right_is_missing(rabbit: Rabbit) -> None:
    rabbit.control("add_user", "limited", PASSWORD)
    try:
        with environment({"BROKER_URL": rabbit.url.replace("headrace:", "limited:")}):
            with pytest.raises(RuntimeError, match=r"vhost in BROKER_URL, and this user's rights"):
                check_broker()
            rabbit.control("set_permissions", "--vhost", "ours", "limited", "", "", "")
            with pytest.raises(RuntimeError, match=r"cannot be made or looked at.*rights"):
                check_broker()
    finally:
        rabbit.control("delete_user", "limited")


def test_over_tls_the_server_is_asked_who_it_is(rabbit: Rabbit, tmp_path: Path) -> None:
    for name in ("ours", "others"):
        (tmp_path / name).mkdir()
    ours, others = papers(tmp_path / "ours"), papers(tmp_path / "others")
    with tls(rabbit.port, ours.chain) as port:
        address = rabbit.url.replace("amqp://", "amqps://").replace(f"127.0.0.1:{rabbit.port}", f"localhost:{port}")
        with environment({"BROKER_URL": f"{address}?ssl_ca_certs={ours.authority}"}):
            assert doorbell.ring(rings(2))
            assert "interactive: 2 messages wait" in check_broker()
        for given in (f"{address}?ssl_ca_certs={others.authority}", address):
            with environment({"BROKER_URL": given}), pytest.raises(RuntimeError) as caught:
                check_broker()
            said = distrust("broker", caught.value)
            assert said is not None
            assert "ssl_ca_certs in BROKER_URL" in said
            assert PASSWORD not in said + str(caught.value)


def test_without_its_package_no_process_starts() -> None:
    with patch("common.broker_settings.find_spec", return_value=None):
        with environment({"BROKER_URL": "amqp://u:p@127.0.0.1/v"}):
            with pytest.raises(WrongSettings, match=r"BROKER_URL needs pika: install headrace\[rabbitmq\]"):
                settings()
