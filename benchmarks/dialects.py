"""What the words of others cost: a submit and a look at a job by each dialect, beside the native route. Interleaved, on one API."""

import json
from statistics import median

from benchmarks.stand import Report, Stand
from models.db import transaction

ROUNDS, SECONDS, CLIENTS = 7, 2.0, 16  # as many accounts as clients: equal orders of one would wait for each other
AIM = "0.85"
INPUT = {"prompt": "a harbour at dawn", "seed": 7}
NATIVE = ("/v1/jobs", {"model": "bench", "input": INPUT})
ORDERS = {
    "Replicate": ("/compat/replicate/v1/models/headrace/bench/predictions", {"input": INPUT}),
    "OpenAI (videos)": ("/compat/openai/v1/videos", {"model": "bench-film", **INPUT}),
    "fal": ("/compat/fal/queue/headrace/bench", INPUT),
}
LOOKS = {
    "Replicate": "/compat/replicate/v1/predictions/{}",
    "OpenAI (videos)": "/compat/openai/v1/videos/{}",
    "fal": "/compat/fal/queue/headrace/bench/requests/{}/status",
}


def measure(stand: Stand, report: Report) -> None:
    """Medians of the ratios of neighbours: each dialect right after the native route, or before it."""
    keys = stand.fresh()[:CLIENTS]
    stand.start("api")
    stand.load(keys, clients=CLIENTS, seconds=1, body=json.dumps({"model": "bench-film", "input": INPUT}))
    stand.analyze()
    with transaction() as conn:
        rows = conn.execute(
            "select distinct on (account_id) account_id, id from jobs order by account_id, id"
        ).fetchall()
    jobs = [(key, str(job)) for key, (_, job) in zip(keys, rows, strict=False)]  # keys are in the order of accounts

    def submits(name: str) -> float:
        path, body = ORDERS.get(name, NATIVE)
        return stand.load(keys, clients=CLIENTS, seconds=SECONDS, path=path, body=json.dumps(body))["rate"]

    def looks(name: str) -> float:
        paths = [LOOKS.get(name, "/v1/jobs/{}").format(job) for _, job in jobs]
        callers = [key for key, _ in jobs]
        return stand.load(callers, clients=len(jobs), seconds=SECONDS, method="GET", path=paths)["rate"]

    for what, rate in (("submits", submits), ("looks at a job", looks)):
        for name in ORDERS:
            pairs = []
            for turn in range(ROUNDS):
                found = {each: rate(each) for each in (("native", name) if turn % 2 else (name, "native"))}
                pairs.append((found[name], found["native"]))
            report.add(
                f"{what} as {name}, {CLIENTS} clients", median(each for each, _ in pairs), "1/s",
                ratio=median(each / bare for each, bare in pairs), to=f"native {median(bare for _, bare in pairs):,.0f}", aim=AIM,
            )  # fmt: skip
    stand.stop()
