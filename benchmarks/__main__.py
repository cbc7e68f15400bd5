"""`python -m benchmarks [PART ...]`: all parts, or some of submits, batches, auth, reads, jobs, latency, waiting, events, sweep, files, growth, growth-5m (an hour; only when it is named), articles, gallery, fair, pooler, watched, night, dialects."""

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
    lone,
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

PARTS: dict[str, Callable[[Stand, Report], None]] = {
    "submits": submits.measure,
    "batches": batches.measure,
    "auth": auth.measure,
    "reads": reads.measure,
    "jobs": queues.measure,
    "latency": lone.measure,
    "waiting": waiting.measure,
    "events": events.measure,
    "sweep": sweep.measure,
    "files": hostile_files.measure,
    "growth": growth.measure,
    "growth-5m": growth.measure_millions,
    "articles": articles.measure,
    "gallery": gallery.measure,
    "fair": fair.measure,
    "pooler": pooler.measure,
    "watched": watched.measure,
    "night": night.measure,
    "dialects": dialects.measure,
}


def main() -> None:
    chosen = sys.argv[1:] or [name for name in PARTS if name != "growth-5m"]
    report = Report()
    # When something was committed is known to the servers only if they are told to keep it, from their start.
    with stand({"track_commit_timestamp": "on"} if {"events", "latency"} & set(chosen) else {}) as place:
        for name in chosen:
            print(f"\n{name}", flush=True)
            PARTS[name](place, report)
    report.tell_missed()
    report.save()
    draw(report)
    print(f"\nwritten to {RESULTS}/results.json and {RESULTS}/ratios.png")


if __name__ == "__main__":
    main()
