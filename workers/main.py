"""A worker process: `python -m workers [--threads N] [--queues interactive,batch]`.

One process, its threads, no children: scale by starting more. Dramatiq's own command forks, and a killed master leaves
its children running (research/reliability.md, section 1.6).
"""

import argparse
import logging
import signal
import threading
import time
from uuid import UUID

import dramatiq
from dramatiq.common import iter_queue

from common import process, scratch
from common.settings import settings
from common.telemetry import figures
from common.telemetry.health import Dependency, Health
from models import db, starting
from models.fleet import reaching
from models.jobs.tables import QUEUES
from storage.s3 import reach
from workers import doorbell
from workers.amqp_broker import AmqpBroker, make_amqp_broker
from workers.broker import IDLE_SECONDS, WakeBroker, make_broker
from workers.calls import limits
from workers.calls.resting import RestingProviders
from workers.leases import Keeper
from workers.steps.advance import Advance
from workers.steps.polling import Poller
from workers.watch import dead_threads, until_stopped_or_dead

log = logging.getLogger("workers")

STOP_SECONDS = 20  # for steps under way that can be done again; what is left then is given back


def main(argv: list[str] | None = None) -> None:
    """Run until SIGTERM or SIGINT."""
    starting.run("the worker", lambda: _serve(argv), part="worker", health=health)


def health() -> Health:
    """What a worker needs: without what carries messages it hears of no job. What cannot be stored is tried for a day."""
    return Health(
        reaching.database(reaching.DatabaseLook()),
        reaching.redis(needed=settings().broker_url is None),
        *reaching.broker(needed=True),
        Dependency("storage", reach, needed=False),
    )


def _serve(argv: list[str] | None) -> None:
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("--threads", type=int, default=settings().worker_threads)
    parser.add_argument("--queues", default=",".join(QUEUES), help="queues to serve, separated by commas")
    options = parser.parse_args(argv)
    queues = options.queues.split(",")
    unknown = [queue for queue in queues if queue not in QUEUES]
    if unknown:
        parser.error(f"unknown queue {unknown[0]!r}; there are {', '.join(QUEUES)}")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    run(options.threads, queues, stopping)


def stop(worker: dramatiq.Worker, keeper: Keeper, step: Advance, poller: Poller) -> None:
    """Let the steps under way end. An answer that nobody could ask for again is waited for as long as it may take."""
    begun = time.monotonic()
    for thread in worker.workers:
        thread.stop()  # no step is begun any more
    step.give_back_ahead()
    while any(thread.is_alive() for thread in worker.workers) or not poller.has_ended or step.busy():
        waited = time.monotonic() - begun
        if waited > (settings().worker_stop_seconds if keeper.waits_alone() else STOP_SECONDS):
            break
        time.sleep(0.05)
    worker.stop(timeout=1000 * (IDLE_SECONDS + 1))  # a consumer that has just begun to wait is waited for


def drain(worker: dramatiq.Worker, step: Advance, poller: Poller, stopping: threading.Event) -> None:
    """Take no more jobs, give back what was fetched and not begun, and let the steps under way end, however long they take;
    but a signal hurries it.
    """
    for consumer in worker.consumers.values():
        consumer.pause()
    for thread in worker.workers:
        thread.stop()
    for consumer in worker.consumers.values():
        consumer.paused_event.wait(2 * IDLE_SECONDS)
    fetched: dict[str, list[dramatiq.MessageProxy]] = {}
    for item in iter_queue(worker.work_queue):  # type: ignore[no-untyped-call]  # it has no types
        fetched.setdefault(item.message.queue_name, []).append(item.message)
    step.give_back_ahead()
    for queue, messages in fetched.items():
        try:
            worker.consumers[queue].requeue_messages(messages)
        except Exception:
            log.warning("%d messages are not given back; the scheduler rings again", len(messages), exc_info=True)
    while any(thread.is_alive() for thread in worker.workers) or not poller.has_ended or step.busy():
        if stopping.wait(0.1):
            break


def close(broker: WakeBroker | AmqpBroker, worker: dramatiq.Worker) -> None:
    """Close what the consumers read from, if none still reads: a Redis that hangs would have each end with an error. The
    process ends either way, and its sockets with it.
    """
    if isinstance(broker, WakeBroker) and not any(consumer.is_alive() for consumer in worker.consumers.values()):
        broker.client.close()  # RabbitMQ's consumers have each their own


def run(threads: int, queues: list[str], stopping: threading.Event) -> None:
    """Serve the queues until `stopping` is set. Raises RuntimeError where a thread has died: what is under way is finished,
    and whoever supervises the process starts it again.
    """
    scratch.tidy()
    # A thread, or one that polls, holds one at a time; so do the lease keeper, the poller and the ender.
    db.size_pool(2 * threads + 4)
    worker_id = process.new_name()
    address = settings().broker_url
    broker: WakeBroker | AmqpBroker = make_broker() if address is None else make_amqp_broker(address)
    keeper = Keeper(worker_id, ",".join(queues), threads)
    step = Advance(keeper)
    poller = Poller(step, keeper, queues, threads)

    @dramatiq.actor(actor_name=doorbell.ACTOR, queue_name=queues[0], broker=broker)
    def advance(job_id: str) -> None:
        try:
            step(UUID(job_id))
        except Exception:  # the row says what is next; a message is never tried again
            log.exception("step of job %s failed; the scheduler will ring again", job_id)

    broker.hear = step.claim_ahead
    for queue in queues:
        broker.declare_queue(queue)
    worker = dramatiq.Worker(broker, queues=set(queues), worker_threads=threads)
    worker.queue_prefetch = threads  # what one process holds back is what it is working on
    keeper.threads_alive = lambda: sum(thread.is_alive() for thread in worker.workers)
    figures.THREADS.read_by(
        lambda: [
            (("alive",), float(keeper.threads_alive())),
            (("busy",), float(keeper.busy())),
            (("wanted",), float(threads)),
        ]
    )
    figures.RESTING.read_by(RestingProviders())
    keeper.start()
    worker.start()
    poller.start()
    log.info("worker %s serves %s with %d threads", worker_id, ", ".join(queues), threads)
    died = until_stopped_or_dead(
        stopping,
        lambda: [*dead_threads(worker), *poller.dead, *([] if keeper.alive else ["lease keeper"])],
        keeper.drained,
    )
    if keeper.drained.is_set() and not stopping.is_set() and not died:
        log.info("worker %s is drained", worker_id)
        drain(worker, step, poller, stopping)
    log.info("worker %s stops", worker_id)
    keeper.stopping.set()  # no call is begun any more
    stop(worker, keeper, step, poller)
    keeper.stop()
    doorbell.close()
    limits.close()
    close(broker, worker)
    db.close()
    if died:
        raise RuntimeError(f"the {died} has died; the process ends, to be started again")
