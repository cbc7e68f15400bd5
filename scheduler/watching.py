"""What the scheduler tells who watches: how the business stands, which it alone reads, so that it is read once for all."""

from common.telemetry import figures
from models.usage.business import Business


def watch(business: Business) -> None:
    """Have the figures of the business read from here. Each scrape asks at most once, and mostly nothing is read."""
    figures.QUEUE.read_by(
        lambda: [
            ((row.queue, state), float(count))
            for row in business.now().queues
            for state, count in (
                ("depth", row.depth),
                ("in_flight", row.in_flight),
                ("waiting", row.waiting),
                ("delayed", row.delayed),
                ("reconciling", row.reconciling),
            )
        ]
    )
    figures.QUEUE_AGE.read_by(lambda: [((row.queue,), row.oldest_seconds) for row in business.now().queues])
    figures.DUTY_LATE.read_by(lambda: [((name,), late) for name, late, _ in business.now().duties])
    figures.DUTY_FAILED.read_by(lambda: [((name,), float(failed)) for name, _, failed in business.now().duties])
    figures.DELIVERIES_LATE.read_by(lambda: _known(business.now().receivers_late_seconds))
    figures.WORKERS.read_by(lambda: [((state,), float(count)) for state, count in business.now().threads])
    figures.CREDITS_RESERVED.read_by(lambda: _known(business.now().reserved))
    figures.ACTIVE_USERS.read_by(lambda: [((plan,), float(count)) for plan, count in business.today().active])
    figures.PAYMENTS.read_by(lambda: [((money,), float(count)) for money, count in business.today().payments])
    figures.READ_SECONDS.read_by(lambda: [((), business.seconds)])


def _known(figure: float | None) -> figures.Readings:
    return [] if figure is None else [((), float(figure))]
