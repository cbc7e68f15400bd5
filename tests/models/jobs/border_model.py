"""The border between Headrace and a provider as an explicit-state model, which follows the code (the classes of workers
and models/jobs/facts.py). `python -m tests.models.jobs.border_model` checks all of it in some minutes; `-v` adds the shortest trace
of each fault found; `deep` takes more faults at a time. test_border_model.py runs the part that takes seconds.

The code is NEW: with its own ways `fast` (bytes end at once), `lean` (no `delivered` while it can be asked) and `letgo`
(a decision that could not be written is not held: its fact is written, the job is let go, and the next claim decides).

Modelled: one job (then two) of at most two attempts; two worker threads; rescue; a canceller; the reaper of objects,
which looks and deletes in two steps; a provider with its own book; callbacks; the job's time limit and the last limit.
A write is a transaction that is committed; or committed with its answer lost; or not committed; or still on its way
when the worker goes on, and committed (or not) at any time after. A worker can be killed, or paused past its lease,
before every step; a request can outlive its sender. Faults are rationed, so the space is finite; all else happens in
every order. Breadth first: traces are shortest. Tokens are compared for equality only and never come back, so a worker
carries just whether its token is still the row's (`mine`); a claim, a rescue or a late fact makes that false for all
others. Workers are alike: they are kept sorted.
"""

import sys
from collections import deque
from multiprocessing import Pool
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """A class of provider. Without `at_once` a start answers with an id; without `inline` results lie at addresses."""

    at_once: bool = False
    inline: bool = False
    idempotent: bool = False  # a repeated start with the same key is the same generation
    lookup: bool = False  # can be asked by our key
    poll: bool = False  # can be asked by its own id
    calls: bool = False  # calls back: progress and the result, in any order


KINDS = {
    "once": Kind(at_once=True, inline=True),  # answers with bytes, cannot be asked (openai)
    "once-url": Kind(at_once=True),  # answers with addresses, cannot be asked
    "idempotent": Kind(at_once=True, inline=True, idempotent=True),  # (http)
    "lookup": Kind(lookup=True, poll=True),  # (sketch)
    "lookup-once": Kind(at_once=True, inline=True, lookup=True, poll=True),
    "poll": Kind(poll=True),  # its own id is all there is (replicate, fal, cog)
    "call": Kind(calls=True),  # never polled
    "poll+call": Kind(poll=True, calls=True),
}
FAULTS = ("kill", "pause", "db", "s3", "fetch", "answer", "deleted")
RULES = {  # of the new design; the current one has only `token`
    "token": "a decision names the claim's token",
    "hold": "an answer is held, and its write repeated after any fault of ours",
    "deliver": "`delivered` is written before anything is collected",
    "late": "a fact may be written by its attempt's number after the lease is lost",
    "bump": "a late fact raises the token: what others have decided meanwhile is void",
    "check": "the lease's age is looked at in the line before the call",
    "quiet": "`never began` is believed only once no request can be on its way",
    "look": "no end for want of an answer before one more question after the limit; what is done is taken",
    "terminal": "of the calls back one with a result counts, however old",
    "unread": "no end for want of an answer while a call lies unread",
    "fetch": "an address that does not answer is fetched again, never generated again",
    "keep": "no worker deletes an object; the reaper does",
    "number": "objects are named by attempt; the reaper spares those of a live attempt",
    "verify": "a put is believed once what lies there has been compared",
    "final": "an attempt that is over stays over; a later word on it only books its cost",
    "progress": "rescues are counted afresh once a fact is written",
    "never": "a worker that finds its lease lost before its call writes that it never called",
    "own": "a process gives back claims in its name that no thread of its holds",
    "fast": "bytes that are stored end the job at once; `delivered` is written only if that is not acknowledged",
    "lean": "what can be asked for by its id is not written down as delivered before fetching it fails",
    "letgo": "a decision that could not be written is let go, after its fact; the next claim decides again",
}
NEW, CURRENT = frozenset(RULES), frozenset({"token"})
# What is told of an attempt: the phases in which it is news, and the phase that follows.
FACTS = {"accepted": ("IU", "A"), "delivered": ("IUA", "D"), "failed": ("IUA", ""), "never": ("IU", "")}
W3, W4, W7 = "W3 paused between check and send", "W4 deleted there", "W7 not to be asked until the last limit"


class W(NamedTuple):
    """A busy worker thread. `saw`: the attempt's phase as it knows it. `unsure`: a write of it may have happened."""

    mine: bool
    pc: str  # what it does next; "!x" writes x
    k: int
    saw: str
    unsure: bool = False


class S(NamedTuple):
    """The world."""

    left: int  # faults that may still happen
    end: str = ""  # ok, cancel, cancel$ (charged), fail:why
    leased: bool = False
    cancel: bool = False  # requested
    t: int = 0  # 1: past the time limit; 2: past the last one (of reconciling, asking and collecting)
    n: int = 0  # the attempt, and its phase: '' over, I intent, U unknown, A accepted, D delivered
    phase: str = ""
    calls: str = ""  # stored callbacks, oldest first: p progress, r result
    gen: tuple = (0, 0)  # the provider's book, by attempt: 0 nothing, 1 running, 2 done, 3 failed, stopped, 4 rubbish
    obj: frozenset = frozenset()  # objects in the bucket
    asset: Any = None  # the object that the end's row names
    doomed: Any = None  # what the reaper has found to be a stray and is about to delete
    late: tuple | None = None  # a commit on its way: (mine, k, saw, what)
    orphan: int = 0  # a request on its way whose sender is dead, by attempt
    rescues: int = 0
    ws: tuple = ()
    had: frozenset = frozenset()  # ghost: attempts whose result has reached us
    why: frozenset = frozenset()  # ghost: the named windows that an attempt went through
    bad: str = ""  # ghost: what must never be


class Model:
    """The transitions: (label, which fault it is or '', next state)."""

    def __init__(self, kind, rules, cancel=None, max_rescues=None, faults=2, only=FAULTS, threads=2):
        self.kind, self.r, self.on_cancel, self.max_rescues = KINDS[kind], rules, cancel, max_rescues
        self.first, self.only, self.threads = S(faults), only, threads
        self.askable = self.kind.idempotent or self.kind.lookup

    def may(self, s, fault):
        return s.left > 0 and fault in self.only

    def fence(self, s):
        """Another token: nobody's claim is the row's any more, and objects named by it are of an old one."""
        old = {"now": "old"}
        return s._replace(
            ws=tuple(w._replace(mine=False) for w in s.ws), late=(False, *s.late[1:]) if s.late else None,
            doomed=old.get(s.doomed, s.doomed), obj=frozenset(old.get(o, o) for o in s.obj),
        )  # fmt: skip

    def become(self, s, i, **what):
        """Worker i goes on (or, with nothing said, is done)."""
        return s._replace(ws=(*s.ws[:i], *([s.ws[i]._replace(**what)] if what else []), *s.ws[i + 1 :]))

    def name(self, w):
        return w.k if "number" in self.r else "now" if w.mine else "old"

    def hit(self, s, k, window):
        return s._replace(why=s.why | {(k, window)})

    def at_risk(self, s, w):
        """Whether this worker alone knows something, which cannot be found out again were it to die now."""
        told = s.n == w.k and s.phase != "" and (s.phase in "AD" or "r" in s.calls)
        alone = w.pc in ("calling", "called", "got", "got id", "staged", "put", "!ok", "!delivered, lets go")
        return alone and not (self.askable or told or w.saw in "AD")

    # The database: each write's guard and effect

    def apply(self, s, mine, k, saw, what):
        """The new state; None where the guard finds no row."""
        if s.end:
            return None  # a job that has ended has no run
        alive = s.n == k and s.phase != ""
        news = what in FACTS and alive and s.phase in FACTS[what][0]
        if not mine and "token" in self.r:
            if "final" not in self.r and what == "delivered" and s.n == k and s.phase == "":
                return self.fence(s)._replace(phase="D", leased=False)  # an attempt that was over comes back
            if not news or "late" not in self.r:
                return None
            return self.told(self.fence(s)._replace(leased=False) if "bump" in self.r else s, what)
        if not alive or (what in FACTS and not news) or ("cas" in self.r and s.phase != saw):
            return None
        if not mine:
            s = s._replace(bad="fence: a worker without the claim has changed the job")
        if what in FACTS:
            return self.told(s, what)._replace(leased=s.leased and what == "delivered")
        s = s._replace(leased=False)
        blind = what in ("cancel", "fail:late", "fail:unknown", "fail:blind", "cancel:blind")
        if what == "wait" or (blind and "unread" in self.r and "r" in s.calls and s.phase in "IUA"):
            return s
        if what == "unknown":
            return s._replace(phase="U", bad=s.bad or ("undone: a fact was overwritten" if s.phase in "AD" else ""))
        if what == "undo":  # the call was not made: the attempt is taken off the record, its number is used again
            return s._replace(phase="", n=s.n - 1)
        if what == "again":  # it is over; another may follow
            return self.finish(s, "cancel:failed") if s.cancel else s._replace(phase="")
        return self.finish(s, what)

    def told(self, s, what):
        return s._replace(phase=FACTS[what][1], rescues=0 if "progress" in self.r else s.rescues)

    def finish(self, s, what):
        """The job ends: ok, cancel or fail:why. Whether it may is checked here."""
        end = "cancel" if s.cancel and not (what == "ok" and self.on_cancel == "keep") else what
        if end == "cancel" and self.on_cancel == "charge" and what in ("ok", "cancel"):
            end = "cancel$"
        asset = (s.n if "number" in self.r else "now") if end == "ok" else None
        s2 = s._replace(end=end, phase="", leased=False, rescues=0, asset=asset)
        if end in ("ok", "cancel$") or (s.cancel and self.on_cancel == "refund"):
            return s2
        lost = {k for k in s.had if s.gen[k - 1] == 2}  # it had reached us
        if s.cancel:  # what nobody has written down may be dropped by a cancel
            lost &= {s.n} if s.phase == "D" or ("r" in s.calls and s.phase) else set()
        if s.n and s.gen[s.n - 1] == 2 and what in ("fail:unknown", "fail:blind", "fail:lost", "cancel:blind"):
            lost.add(s.n)  # it was there, and we did not know
        if what in ("fail:unknown", "fail:gave up") and any(self.at_risk(s, w) for w in s.ws) and "late" in self.r:
            s2 = self.hit(s2, s.n, "W5 paused past the last limit with the answer in hand")
        if what == "fail:late" and lost and self.kind.poll:
            s2 = self.hit(s2, s.n, "W8 done after the last question")
        if lost - {k for k, window in s2.why if not window.startswith("W0")}:
            s2 = s2._replace(bad=s.bad or f"lost: a paid result that was delivered, or could be asked for ({what})")
        return s2

    def write(self, s, i, what, then=None):
        """Worker i writes; `then` is where it goes on (None: it is done). With its outcomes."""
        w = s.ws[i]
        done = self.apply(s, w.mine, w.k, w.saw, what)
        if done is not None:
            on = {"pc": then, "saw": done.phase, "unsure": False} if then and done.ws[i].mine and done.leased else {}
            yield f"writes {what}", "", self.become(done, i, **on)
        else:
            s2 = self.become(s, i)
            own = w.unsure and "reread" in self.r and s.end  # a variant: it looks whether it was itself that wrote
            if what == "ok" and "keep" not in self.r and not own:
                s2 = s2._replace(obj=s.obj - {self.name(w)})  # its objects have become nothing: they go
            yield f"finds {what} stale", "", s2
        if self.may(s, "db"):
            on_its_way = s._replace(late=(w.mine, w.k, w.saw, what)) if s.late is None else None
            for label, s2 in (("committed, answer lost", done), ("not committed", s), ("on its way", on_its_way)):
                if s2 is not None:  # without `hold` the step raises: the lease lapses, and what was known is gone
                    on = {"unsure": True} if "hold" in self.r else {}
                    if on and "letgo" in self.r and what not in FACTS and what not in ("wait", "unknown", "undo"):
                        facts = {"ok": "!delivered, lets go", "again": "!wait" if w.saw == "D" else "!failed"}
                        on["pc"] = facts.get(what, "!wait")
                    s2 = self.become(s2._replace(left=s.left - 1), i, **on)
                    yield f"writes {what}: {label}", "db", s2

    # The provider

    def begin(self, s, k):
        """A request to start arrives."""
        if s.gen[k - 1]:
            return s if self.kind.idempotent else s._replace(bad=s.bad or "twice: one key began two generations")
        s = self.turn(s, k, 1)
        twice = 0 not in s.gen and s.gen[0] < 3 and not (self.kind.lookup and (1, W3) in s.why)
        return s._replace(bad=s.bad or "paid twice: a generation beside one not known to have failed") if twice else s

    def turn(self, s, k, to):
        return s._replace(gen=tuple(to if j == k else g for j, g in enumerate(s.gen, 1)))

    def provider(self, s):
        for k in (1, 2):
            if s.gen[k - 1] == 1:
                yield f"generation {k} is done", "", self.turn(s, k, 2)
                if k == 1:
                    yield "generation 1 fails", "", self.turn(s, k, 3)
                    yield "generation 1 is done, rubbish", "", self.turn(s, k, 4)
        g = s.gen[s.n - 1] if s.n else 0
        if self.kind.calls and not s.end and s.phase in ("I", "U", "A"):
            if g in (2, 4) and "r" not in s.calls:
                yield "the result is called back", "", s._replace(calls=s.calls + "r", had=s.had | {s.n})
            if g in (1, 2, 4) and "p" not in s.calls:
                yield "progress is called back", "", s._replace(calls=s.calls + "p")
        if s.orphan:
            yield "a dead worker's request arrives", "", self.begin(s._replace(orphan=0), s.orphan)
            yield "a dead worker's request dies", "", s._replace(orphan=0)
        if not self.kind.inline and self.may(s, "deleted") and g == 2 and (s.n, W4) not in s.why:
            yield "the provider deletes the outputs", "deleted", self.hit(s._replace(left=s.left - 1), s.n, W4)

    # Everybody else

    def others(self, s):
        if s.late:
            mine, k, saw, what = s.late
            s2 = s._replace(late=None)
            yield f"the commit of {what} arrives after all", "", self.apply(s2, mine, k, saw, what) or s2
            yield f"the commit of {what} is never made", "", s2
        if s.doomed is not None:
            yield "the reaper deletes", "", s._replace(obj=s.obj - {s.doomed}, doomed=None)
        for o in s.obj:
            if s.doomed is None and self.stray(s, o):
                yield "the reaper finds a stray", "", s._replace(doomed=o)
        if s.end:
            return
        paused = any(w.mine for w in s.ws)
        if s.leased and (not paused or self.may(s, "pause")):
            s2 = self.fence(s)._replace(leased=False, left=s.left - paused)
            if self.max_rescues is not None and s.rescues >= self.max_rescues:
                kills = "progress" in self.r and s.phase == "D"
                s2 = self.finish(self.hit(s2, s.n, "W6 collecting it kills workers") if kills else s2, "fail:gave up")
            elif self.max_rescues is not None:
                s2 = s2._replace(rescues=s.rescues + 1)
            yield f"the lease lapses ({'paused' if paused else 'dead'}), rescue", "pause" if paused else "", s2
        if self.on_cancel and not s.cancel:
            s2 = s._replace(cancel=True)
            yield "cancel", "", s2 if s.phase else self.finish(s2, "cancel:unbegun")
        if s.n and s.t < 2:
            yield ("the time limit passes", "the last limit passes")[s.t], "", s._replace(t=s.t + 1)
        if not s.leased and len(s.ws) < self.threads:
            yield from self.claim(s)

    def stray(self, s, o):
        """What the reaper takes for nobody's."""
        live = o == s.n and s.phase != ""
        if "by row" in self.r:  # a variant: spared is what `delivered` names, or what the lease's holder works on
            live = live and (s.phase == "D" or s.leased)
        return o != s.asset and not (live if "number" in self.r else o == "now" and s.leased)

    def claim(self, s):
        s2 = self.fence(s)._replace(leased=True)
        begins = s.phase == ""
        if begins and (s.t or s.n == 2 or s.cancel):
            what = "cancel:unbegun" if s.cancel else "fail:timeout" if s.t else "fail:refused"
            yield f"claim: {what} instead of another attempt", "", self.finish(s2, what)
            return
        if begins:
            s2 = s2._replace(n=s.n + 1, phase="I", calls="")
        pc = "ready" if begins else "collect" if s.phase == "D" else "ask"
        w = W(True, pc, s2.n, s2.phase)
        yield f"claim: {pc}", "", s2._replace(ws=(*s2.ws, w))
        if self.may(s, "db"):
            s2 = s2._replace(left=s.left - 1)
            if "own" in self.r:
                s2 = s2._replace(ws=(*s2.ws, w._replace(pc="!undo" if begins else "!wait")))
            elif begins and not self.askable:
                s2 = self.hit(s2, s2.n, "W0 the claim's answer was lost")
            yield "claim: committed, answer lost", "db", s2

    def kills(self, s):
        for i, w in enumerate(s.ws):
            s2 = self.become(s._replace(left=s.left - 1), i)
            if self.at_risk(s, w):
                s2 = self.hit(s2, w.k, f"W1 killed at '{w.pc}'")
            elif w.pc in ("ready", "go") and not self.askable:
                s2 = self.hit(s2, w.k, "W0 killed before the call")
            if w.pc == "calling":
                yield "killed, its request arrives", "kill", self.begin(s2, w.k)
                if not s.orphan:
                    yield "killed, its request on its way", "kill", s2._replace(orphan=w.k)
            yield f"killed at '{w.pc}'", "kill", s2

    # A worker's steps

    def step(self, s, i):
        w, r, kind = s.ws[i], self.r, self.kind
        g = s.gen[w.k - 1]
        got = s._replace(had=s.had | {w.k})
        usable = "!ok" if g != 4 else "!again" if w.k == 1 else "!fail:refused"  # rubbish: by another route, perhaps

        def go(pc, label="", s2=s, fault=""):
            return label or pc, fault, self.become(s2._replace(left=s2.left - bool(fault)), i, pc=pc)

        match w.pc:
            case "ready" | "redo":
                if w.pc == "ready":
                    yield go("!undo", "no route has room")
                if w.mine or "check" not in r:
                    yield go("go", "the lease is fresh" if "check" in r else "goes on")
                elif w.pc == "ready" and "never" in r and not kind.idempotent:
                    yield go("!never", "its lease is too old")
                else:
                    s2 = self.hit(s, w.k, "W0 paused before the call") if w.pc == "ready" and not self.askable else s
                    yield "its lease is too old, lets go", "", self.become(s2, i)
            case "go":
                s2 = s
                if not w.mine and not (kind.idempotent and g):
                    zombie = s._replace(bad=s.bad or "zombie: a call for a job that was taken over")
                    s2 = self.hit(s, w.k, W3) if "check" in r else zombie
                yield go("calling", "sends the request", s2)
            case "calling":
                yield go("called", "the request arrives", self.begin(s, w.k))
            case "called":
                if kind.at_once and g in (2, 4):
                    yield go("got", "the answer: done", got)
                elif g == 3:
                    yield go("!failed", "the answer: failed")
                elif not kind.at_once and g:
                    yield go("got id", "the answer: an id")
                if self.may(s, "answer"):
                    asks = w.saw == "U"  # an idempotent start that is repeated is a question
                    s2 = self.hit(s, w.k, W7) if asks and s.t == 2 and "look" in r else s
                    s2 = self.hit(s, w.k, "W2 the answer was lost on its way") if self.at_risk(s, w) else s2
                    yield go(self.unknown(s, w, asked=asks), "the answer is lost", s2, "answer")
            case "ask":
                yield from self.ask(s, w, g, got, go)
            case "got" if "deliver" not in r or ("lean" in r and w.saw == "A" and not kind.inline and not s.t):
                yield from self.collect(s, w, go)
            case "got" if kind.inline:
                yield from self.put(s, w, go, "staged")
            case "got" | "staged":
                yield from self.write(s, i, "delivered", "collect")
                if w.pc == "staged" and "fast" in r and w.mine and not w.unsure and g != 4:  # a variant: ends at once
                    yield from self.write(s, i, "ok")
            case "collect" if s.cancel and self.on_cancel == "refund":
                yield go("!cancel", "nobody wants it any more")
            case "collect" if kind.inline:
                yield go(usable, "the bytes are here already")
            case "collect":
                yield from self.collect(s, w, go)
            case "put":
                yield from self.put(s, w, go, usable)
            case "got id":
                yield from self.write(s, i, "accepted")
            case "!delivered, lets go":
                yield from self.write(s, i, "delivered", "!wait")
            case _:
                yield from self.write(s, i, w.pc[1:])

    def put(self, s, w, go, to):
        yield go(to, "puts the object", s._replace(obj=s.obj | {self.name(w)}))
        if self.may(s, "s3"):
            if "verify" not in self.r:
                yield go(to, "S3 takes the object and drops it", s, "s3")
            lost = "!fail:lost" if s.t else self.unknown(s, w, asked=True)
            yield go(w.pc if "hold" in self.r else lost, "S3 is away", s, "s3")

    def unknown(self, s, w, *, asked):
        """What is written where an answer was lost. `look`: an end needs a question of its own, after the limit."""
        if w.saw in "AD":
            return "!wait"
        return "!fail:unknown" if s.t == 2 and (asked or "look" not in self.r) else "!unknown"

    def collect(self, s, w, go):
        """Fetch what the answer names. With `fetch` what fails is fetched again, by whoever claims next."""
        deleted = (w.k, W4) in s.why
        if not deleted:
            yield go("put", "fetches")
        if deleted or (not self.kind.inline and self.may(s, "fetch")):
            fault = "" if deleted else "fetch"
            if w.saw in "AD" and ("fetch" in self.r or not s.t):
                yield go("!fail:lost" if deleted and s.t == 2 else "!wait", "cannot fetch", s, fault)
            else:
                yield go("!again" if w.k == 1 and not s.t else "!fail:lost", "cannot fetch", s, fault)

    def ask(self, s, w, g, got, go):
        """A claim that finds an attempt under way: what became of it?"""
        r, kind, begun = self.r, self.kind, w.saw == "A"
        calls = s.calls if s.n == w.k else ""
        stops = begun and (s.cancel or (s.t and "look" not in r))
        deaf = self.hit(s, w.k, W7) if s.t == 2 and "look" in r else s  # a question that is lost after the last limit
        if ("r" in calls if "terminal" in r else calls[-1:] == "r") and (not stops or "look" in r):
            yield go("got", "reads the call back: done", got)
        elif calls and not begun:
            yield go("got id", "reads the call back: an id")
        elif stops:  # what is done all the same is taken, or not
            over = "!cancel" if s.cancel else "!fail:late"
            if g == 1:
                yield go(over, "is stopped", self.turn(s, w.k, 3))
                yield go(over, "cannot be stopped")
            elif g in (2, 4) and kind.poll:
                yield go("got" if s.cancel else "!fail:timeout", "asked to stop: is done", got)
            else:
                yield go(over)
            if kind.poll and self.may(s, "answer"):
                to = "!wait" if "look" in r and s.t < 2 else "!cancel:blind" if s.cancel else "!fail:blind"
                yield go(to, "the question is lost", deaf, "answer")
        elif not begun and not kind.lookup and s.cancel and self.on_cancel == "refund" and "deliver" in r:
            yield go("!cancel", "nobody wants the answer any more")
        elif not begun and kind.idempotent:
            yield go("redo", "repeats the start under its key")
        elif not (kind.poll if begun else kind.lookup):
            to = self.unknown(s, w, asked=True) if not begun else "!fail:late" if s.t else "!wait"
            yield go(to, "cannot be asked")
        else:
            sent = s.orphan == w.k or any(z.pc in ("calling", "called") and z.k == w.k for z in s.ws)
            if g in (2, 4):
                yield go("got", "asks: done", got)
            elif g == 3:
                yield go("!failed", "asks: failed")
            elif g == 1:
                yield go(("!fail:late" if s.t else "!wait") if begun else "got id", "asks: running")
            elif "quiet" in r and sent:
                yield go("!unknown", "asks: never began, too early to believe")
            else:
                yield go("!again", "asks: never began")
            if self.may(s, "answer"):
                to = "!fail:blind" if s.t == 2 and begun else self.unknown(s, w, asked=True)
                yield go(to, "the question is lost", deaf, "answer")

    def next(self, s):
        yield from self.others(s)
        yield from self.provider(s)
        for i, w in enumerate(s.ws):
            for label, fault, s2 in self.step(s, i):
                yield f"worker at '{w.pc}': {label}", fault, s2
        if self.may(s, "kill"):
            yield from self.kills(s)

    def canonical(self, s):
        """States that can do nothing different from now on are one."""
        if s.end:
            why = frozenset(y for y in s.why if y[1] == W3 or s.end.startswith("fail"))
            s = s._replace(t=2, calls="", had=frozenset(), cancel=False, why=why)
        elif not s.phase and s.calls:
            s = s._replace(calls="")
        return s._replace(ws=tuple(sorted(s.ws))) if len(s.ws) > 1 else s

    def wrong(self, s):
        if not s.bad and s.end == "ok" and s.asset not in s.obj:
            return "dangling: a result's object was deleted"
        if not s.bad and s.phase == "D" and self.kind.inline and s.n not in s.obj:
            return "dangling: the object of a delivered attempt was deleted"
        return s.bad

    def over(self, s):
        return bool(s.end) and not s.ws and s.late is None and not s.orphan and s.obj <= {s.asset}


class Two:
    """Two jobs of one account with one slot, and two worker threads for both."""

    def __init__(self, model):
        self.m, self.first = model, (model.first.left, S(0), S(0))

    def next(self, both):
        for j in (0, 1):
            mine, other = both[1 + j]._replace(left=both[0]), both[2 - j]
            taken = len(other.ws) + len(mine.ws) > 1 or (mine.phase == "" and (other.leased or other.phase != ""))
            for label, fault, s in self.m.next(mine):
                if not (taken and label.startswith("claim")):
                    pair = (s._replace(left=0), other)
                    yield f"job {j + 1}: {label}", fault, (s.left, pair[j], pair[1 - j])

    def canonical(self, both):
        return (both[0], *sorted((self.m.canonical(s) for s in both[1:]), key=repr))

    def wrong(self, both):
        held = sum(s.leased or s.phase != "" for s in both[1:])
        return self.m.wrong(both[1]) or self.m.wrong(both[2]) or ("slots: two jobs hold one" if held > 1 else "")

    def over(self, both):
        return self.m.over(both[1]) and self.m.over(both[2])


def explore(model, stop=False):
    """Breadth first over all states; then backwards: is there a way to an end from everywhere, without further faults?

    Returns states, edges, {what is wrong: its shortest trace}, {windows that an end without the result went through}.
    """
    first = model.canonical(model.first)
    at, order, back, into, ends = {first: 0}, [first], [None], [[]], []
    wrong, windows, edges, queue = {}, set(), 0, deque([0])

    def trace(j):
        steps = []
        while back[j]:
            j, label = back[j]
            steps.append(label)
        return steps[::-1]

    while queue:
        j = queue.popleft()
        s = order[j]
        problem = model.wrong(s)
        if problem or model.over(s):
            ends.append(j)
        if problem:
            wrong.setdefault(problem, trace(j))
            if stop:
                return len(order), edges, wrong, windows
            continue
        if isinstance(s, S) and s.why and s.end.startswith("fail") and (2 in s.gen or s.gen[s.n - 1] == 0):
            windows.add(" + ".join(sorted(window for _, window in s.why)))
        for label, fault, s2 in model.next(s):
            s2, edges = model.canonical(s2), edges + 1
            to = at.setdefault(s2, len(order))
            if to == len(order):
                order.append(s2)
                back.append((j, label))
                into.append([])
                queue.append(to)
            if not fault:
                into[to].append(j)
    good, stack = set(ends), list(ends)
    while stack:
        new = [j for j in into[stack.pop()] if j not in good]
        good.update(new)
        stack += new
    for j in range(len(order)):
        if j not in good:
            wrong.setdefault("stuck: no way to an end", trace(j))
    return len(order), edges, wrong, windows


def task(name, kind, rules, faults, expected="holds", how="", **more):
    return f"{name} {kind}, faults {faults}", {"kind": kind, "rules": rules, "faults": faults, **more}, how, expected


def run(job):
    """One exploration, in a process of its own."""
    model = Model(**job[1])
    return job, explore(Two(model) if job[2] == "two" else model, job[2] == "stop")


def table(pool, title, jobs):
    """Print what each exploration finds. Returns how many came out other than expected, and the windows by provider."""
    print(f"\n{title}")
    surprises, left = 0, {}
    for (name, arguments, _, expected), (states, edges, wrong, windows) in pool.imap(run, jobs):
        said = "; ".join(sorted(wrong)) or "holds"
        print(f"  {name.strip():60} {states:9,} states {edges:10,} edges  {said}", flush=True)
        for problem, trace in wrong.items() if "-v" in sys.argv else ():
            print(f"      {problem}:\n        " + "\n        ".join(trace))
        surprises += bool(wrong) != (expected == "breaks")
        for window in windows:
            left.setdefault(window, []).append(arguments["kind"])
    return surprises, left


DEFECTS = (  # of the current design, seen on real servers, each with the fault that shows it
    ("a fault at the settle throws the result away:", "once", CURRENT, 1, ("db",)),
    ("a fault at writing the id throws the id away:", "poll", CURRENT | {"look"}, 1, ("db",)),
    ("a paused worker calls for a job taken over:", "once", CURRENT, 1, ("pause",)),
    ("`never began` is believed too early:", "lookup", CURRENT | {"look"}, 1, ("kill",)),
    ("done at the time limit, thrown away:", "poll", CURRENT, 0, ()),
    ("progress hides the result:", "call", CURRENT | {"look"}, 0, ()),
    ("a first 404 generates again:", "once-url", CURRENT, 1, ("fetch",)),
    ("S3 is away, the answer is dropped:", "once", CURRENT, 1, ("s3",)),
)
WITHOUT = """token once 1, hold once 1, hold poll 1, deliver once-url 1, deliver once 2, late once 1, late poll 1,
    bump once 1, check once 1, check lookup 1, quiet lookup 2, look idempotent 1, look poll 1, terminal call 0,
    unread call 1, fetch once-url 1, fetch poll 1, keep once-url 1, number once 1, verify once 1, final lookup-once 1"""


def main():
    deep = "deep" in sys.argv
    large = {kind for kind in KINDS if KINDS[kind].calls}  # those that call back have the most states
    faults = {kind: 2 if deep or kind not in large else 1 for kind in KINDS}
    few = {kind: 2 if deep and kind not in large else 1 for kind in KINDS}
    new = [task("", kind, NEW, faults[kind]) for kind in KINDS]
    for cancel in ("keep", "charge", "refund"):
        new += [task(f"on_cancel={cancel},", kind, NEW, few[kind], cancel=cancel) for kind in KINDS]
    new += [task("given up after one rescue,", kind, NEW, 2, max_rescues=1) for kind in ("once", "once-url")]
    new += [task("three threads,", kind, NEW, 2, threads=3) for kind in ("once", "poll")[: 1 + deep]]
    new += [task("", kind, NEW, 3) for kind in ("once", "once-url", "idempotent") if deep]
    new += [task("two jobs,", kind, NEW, 1, how="two") for kind in ("once", "lookup")[: 1 + deep]]
    less = []
    for rule, kind, n in (each.split() for each in WITHOUT.split(",")):
        less.append(task(f"without {rule}:", kind, NEW - {rule}, int(n), "breaks", "stop" if n > "0" else ""))
    less.append(task("without progress:", "once-url", NEW - {"progress"}, 2, "breaks", "stop", max_rescues=1))
    less.append(task("the reaper goes by the row:", "once", NEW | {"by row"}, 1, "breaks", "stop"))
    less.append(task("workers delete, after reading again:", "once", NEW - {"keep"} | {"reread"}, 1, "breaks", "stop"))
    own = frozenset({"fast", "lean", "letgo"})
    other = [task("without the code's own ways:", kind, NEW - own, faults[kind]) for kind in KINDS]
    other += [task("cas: the phase is named, no bump:", kind, NEW - {"bump"} | {"cas"}, 1) for kind in KINDS]
    idle = [task(f"without {rule}:", "once", NEW - {rule}, 1) for rule in ("never", "own")]
    with Pool(2) as pool:
        print("The current design, one fault of one kind: which promises break")
        for only in ((), *((fault,) for fault in FAULTS)):
            cells = pool.map(run, [task("", kind, CURRENT, 1, only=only) for kind in KINDS])
            broken = {job[1]["kind"]: sorted({problem.split(":")[0] for problem in found[2]}) for job, found in cells}
            said = ", ".join(f"{kind}: {'/'.join(what)}" for kind, what in broken.items() if what)
            print(f"  {only[0] if only else 'none':8} {said}", flush=True)
        bad = table(pool, "Known defects of the current design", [task(*d[:4], "breaks", only=d[4]) for d in DEFECTS])[
            0
        ]
        bad += table(pool, "The new design", new)[0]
        more, left = table(pool, "The new design, one fault", [task("", kind, NEW, 1) for kind in KINDS])
        print("  What is left: the windows through which an end without a result was reached")
        print("\n".join(f"    {window:90} {', '.join(left[window])}" for window in sorted(left)))
        bad += more + table(pool, "The new design less one rule", less)[0] + table(pool, "Variants of it", other)[0]
        more, left = table(
            pool, "Without these nothing is lost, but more jobs wait for the last limit for nothing", idle
        )
        print("\n".join(f"    {window}" for window in sorted(left) if window.startswith("W0")))
    print(f"\n{bad + more} surprises")
    return bad + more


if __name__ == "__main__":
    sys.exit(main())
