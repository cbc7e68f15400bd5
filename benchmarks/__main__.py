"""`python -m benchmarks [PART ...]`: all parts, or some of submits, batches, auth, reads, jobs, latency, waiting, events, sweep, files, growth, articles, gallery, fair, pooler, watched, night, dialects."""

import sys
from collections.abc import Callable

from benchmarks import (
    articles,
    auth,
    batches,
    dialects,
    events,
    fair,
    gallery,
    growth,
    hostile_files,
    night,
    pooler,
    queues,
    reads,
    submits,
    sweep,
    waiting,
    watched,
)
from benchmarks.plot import draw
from benchmarks.stand import RESULTS, Report, Stand, stand


def jobs(place: Stand, report: Report) -> None:
    """Throughput and its peers."""
    place.fresh()
    own = sorted(queues.throughput(place, None) for _ in range(3))[1]
    report.add("jobs from submit to settled, S3 put included", own, "1/s")
    queues.peers(report, own)


PARTS: dict[str, Callable[[Stand, Report], None]] = {
    "submits": submits.measure,
    "batches": batches.measure,
    "auth": auth.measure,
    "reads": reads.measure,
    "jobs": jobs,
    "latency": queues.latency,
    "waiting": waiting.measure,
    "events": events.measure,
    "sweep": sweep.measure,
    "files": hostile_files.measure,
    "growth": growth.measure,
    "articles": articles.measure,
    "gallery": gallery.measure,
    "fair": fair.measure,
    "pooler": pooler.measure,
    "watched": watched.measure,
    "night": night.measure,
    "dialects": dialects.measure,
}


def main() -> None:
    chosen = sys.argv[1:] or list(PARTS)
    report = Report()
    # When an event was committed is known to the servers only if they are told to keep it, from their start.
    with stand({"track_commit_timestamp": "on"} if "events" in chosen else {}) as place:
        for name in chosen:
            print(f"\n{name}", flush=True)
            PARTS[name](place, report)
    report.save()
    draw(report)
    print(f"\nwritten to {RESULTS}/results.json and {RESULTS}/ratios.png")


if __name__ == "__main__":
    main()
