"""Two strangers upload files that are much work, again and again; a well-behaved tenant submits and uploads meanwhile.

Reading files takes a core, and on a virtual machine of two a core that is taken costs everybody latency, whoever has it. So
the tenant is also measured beside a process of the lowest priority that only counts, and each attack is compared with both.
"""

import importlib
import io
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from benchmarks.stand import Report, Stand, memory_mb
from common.scratch import scratch_file
from storage import media
from storage.media import pictures
from storage.media.anatomy import anatomy

# Not imported by name: the tests are not typed as strictly as what is measured.
hostile: Any = importlib.import_module("tests.storage.hostile")
samples: Any = importlib.import_module("tests.storage.samples")

SECONDS = 15.0
PAUSE_SECONDS = 0.02  # between two requests of the tenant's
ATTACKERS, EACH = 2, 4  # accounts, and uploads of each at once
ATTACKS: dict[str, Callable[[], bytes]] = {
    "a good picture, for comparison": lambda: hostile.flat("PNG", 64),
    "a JPEG of 3000 scans": lambda: hostile.jpeg_of_scans(3000),
    "an MP4 of 268 million samples": hostile.film_of_samples,
    "an MP3 of 500,000 frames": lambda: hostile.mp3_of_frames(500_000),
    "a WAV of a million chunks": lambda: hostile.wave_of_chunks(1_000_000),
    "an MP4 of a million boxes": lambda: hostile.film_of_boxes(1_000_000),
    "a WebP of 49 million pixels": lambda: hostile.flat("WEBP"),
}
Times = dict[str, list[float]]


def measure(stand: Stand, report: Report) -> None:
    """What the tenant and `/healthz` see, with and without the attacks."""
    _quick(report)
    tenant, *strangers = stand.fresh()
    stand.start("api", "worker", "scheduler", arguments="--threads 8")
    base = f"http://127.0.0.1:{stand.port}"
    pid = stand.processes.pid("api")
    _tenant(base, tenant, 3.0)  # whatever is loaded when it is first used
    with httpx.Client(headers={"authorization": f"Bearer {tenant}"}) as client:
        _sent(client, base, samples.wave_file(bytes(8000)))
    before = memory_mb(pid, "VmRSS")
    idle = _tenant(base, tenant, SECONDS)
    _tell(report, "idle", idle, {})
    with _counting():
        busy = _tenant(base, tenant, SECONDS)
    _tell(report, "a process of the lowest priority that counts", busy, idle)
    for name, make in ATTACKS.items():
        path = stand.folder / "hostile"
        path.write_bytes(make())
        attacks: list[subprocess.Popen[str]] = []
        with ExitStack() as stack, _Peak(pid) as peak:
            for key in strangers[:ATTACKERS]:
                # A stranger's machine is not this one: its own work goes behind ours.
                command = ["nice", "-n", "19", sys.executable, "-m", "benchmarks.hostile_files", base, key, str(path)]
                attack = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                attacks.append(stack.enter_context(attack))
                stack.callback(attack.kill)
            for attack in attacks:
                _begun(attack)
            found = _tenant(base, tenant, SECONDS)
            answered = sum(_ended(attack) for attack in attacks)
        _tell(report, name, found, idle)
        ratios = [_p99(found["submits"]) / _p99(each["submits"]) for each in (idle, busy)]
        report.add("  submits' p99, compared with the idle one", ratios[0], "times", aim="< 2")
        report.add("  submits' p99, compared with that beside the counting process", ratios[1], "times")
        report.add("  the strangers' uploads meanwhile", answered, "answers")
        report.add("  API process, above idle", peak.own - before, "MB", aim="< 200")
        report.add("  its children, at most", peak.children, "MB")
    stand.stop()


def _quick(report: Report) -> None:
    """What reading a small picture costs, and what of it is looking whether it may be read here."""
    out = io.BytesIO()
    Image.effect_noise((512, 512), 40).save(out, "JPEG")
    data = out.getvalue()
    with scratch_file() as file:
        file.write(samples.wave_file(bytes(8000)))
        file.flush()
        path = Path(file.name)
        media.measure(path)
        works: dict[str, Callable[[], object]] = {
            f"a picture of 512 x 512 and {len(data)} bytes, read here": lambda: media.measure_picture(data),
            "  of it, looking at its parts first": lambda: anatomy(io.BytesIO(data), "JPEG", pictures.QUICK_STEPS),
            "a small sound, read in the sandbox": lambda: media.measure(path),
        }
        for name, work in works.items():
            took = []
            for _ in range(200):
                begin = time.perf_counter()
                work()
                took.append(time.perf_counter() - begin)
            report.add(name, 1000 * statistics.median(took), "ms", aim="< 0.36" if name.startswith(" ") else "")


def _tenant(base: str, key: str, seconds: float) -> Times:
    """Submits, uploads and asks after the API's health, in three threads. Returns how long each took, in ms."""
    out = io.BytesIO()
    Image.effect_noise((256, 256), 40).save(out, "PNG")
    picture, end = out.getvalue(), time.monotonic() + seconds
    order = {"model": "bench", "input": {"prompt": "a harbour at dawn", "seed": 7}}
    kinds: dict[str, Callable[[httpx.Client], httpx.Response]] = {
        "healthz": lambda client: client.get(f"{base}/healthz"),
        "submits": lambda client: client.post(f"{base}/v1/jobs", json=order),
        "uploads": lambda client: _sent(client, base, picture),
    }
    times: Times = {name: [] for name in (*kinds, "refused")}

    def go(name: str) -> None:
        with httpx.Client(headers={"authorization": f"Bearer {key}"}, timeout=60) as client:
            while time.monotonic() < end:
                begin = time.perf_counter()
                answer = kinds[name](client)
                times[name if answer.status_code < 300 else "refused"].append(1000 * (time.perf_counter() - begin))
                time.sleep(PAUSE_SECONDS)

    threads = [threading.Thread(target=go, args=(name,)) for name in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def _sent(client: httpx.Client, base: str, data: bytes) -> httpx.Response:
    return client.post(f"{base}/v1/files", files={"file": ("a", data, "application/octet-stream")})


@contextmanager
def _counting() -> Iterator[None]:
    """A core is taken, by nothing of ours."""
    with subprocess.Popen(["nice", "-n", "19", sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


def _tell(report: Report, name: str, found: Times, idle: Times) -> None:
    print(f"  {name}", flush=True)
    for kind in ("healthz", "submits", "uploads"):
        p50, p99 = statistics.median(found[kind]), _p99(found[kind])
        aim = f"< {2 * _p99(idle[kind]):.0f}" if idle else ""
        report.add(f"  {name}: {kind}, p99 (p50 {p50:.1f}, {len(found[kind])} of them)", p99, "ms", aim=aim)
    report.add(f"  {name}: of them refused", len(found["refused"]), "requests", aim="< 0")


def _begun(attack: "subprocess.Popen[str]") -> None:
    """Wait for its first answer."""
    assert attack.stdout is not None
    print(f"    its first answer: {attack.stdout.readline().strip()}", flush=True)


def _ended(attack: "subprocess.Popen[str]") -> int:
    """End it. Returns how many answers it has had."""
    assert attack.stdout is not None
    attack.kill()
    return len(attack.stdout.readlines())


class _Peak:
    """The largest memory of a process and of all below it, while it is looked at."""

    def __init__(self, pid: int) -> None:
        self._pid, self._over = pid, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.own = self.children = 0.0

    def __enter__(self) -> "_Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self.own = max(self.own, memory_mb(self._pid, "VmRSS"))
            self.children = max(self.children, sum(_own_mb(pid) for pid in _below(self._pid)))


def _own_mb(pid: int) -> float:
    """What a process shares with no other, for children are copies of their nursery."""
    try:
        return memory_mb(pid, "RssAnon")
    except (OSError, RuntimeError):
        return 0.0


def _below(pid: int) -> list[int]:
    found = []
    with suppress(OSError):  # it has ended meanwhile
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in [int(each) for each in path.read_text().split()]:
                found += [child, *_below(child)]
    return found


def _attack(base: str, key: str, path: Path) -> None:
    """Send a file again and again, several at once, whatever is answered. It ends by being killed."""
    data = path.read_bytes()

    def go() -> None:
        with httpx.Client(headers={"authorization": f"Bearer {key}"}, timeout=120) as client:
            while True:
                answer = _sent(client, base, data)
                print(answer.status_code, flush=True)
                time.sleep(float(answer.headers.get("retry-after", 0)))

    for _ in range(EACH):
        threading.Thread(target=go).start()


if __name__ == "__main__":
    _attack(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
