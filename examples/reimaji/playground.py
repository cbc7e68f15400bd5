"""Reimaji's playground, and its summaries for editors (D4, D5)."""

from typing import Any

from examples.callers import Caller
from examples.reimaji.learners import Learner, Learners
from examples.running import NotHere, eventually, fulfilled, same

SESSIONS = "/v1/playground/sessions"
MODEL, A_DAY = "sketch-text", 5
WAIT = {"Prefer": "wait=20"}
TEXT = (
    "Twelve water wheels in four valleys were measured for two years. Each wheel was stopped once a month and its troughs were "
    "weighed. Silt took a tenth of the power in the first year. In the second year it took a quarter of the power. Wheels with a "
    "grate in the head race lost almost nothing. These results imply that a grate pays for itself within one year. Further "
    "research should ask how fine the grate of a wheel ought to be."
)


class Playground:
    """Texts that a free user has made and keeps; `player` is there once something was saved."""

    player: Learner

    def __init__(self, learners: Learners) -> None:
        self._learners = learners
        self._session: dict[str, Any] = {}

    def _run(self, prompt: str, **more: Any) -> dict[str, Any]:
        """A session whose text is to be made."""
        wanted = {"model": MODEL, "prompt": prompt, **more}
        made: dict[str, Any] = self.player.caller.ask("POST", SESSIONS, status=201, headers=WAIT, json=wanted)
        return made

    def save(self) -> None:
        self.player = self._learners.open()
        caller = self.player.caller
        made = self._run("What is a head race?", title="Head races")
        same(caller.ended(made["job"])["status"], "succeeded", "how the text's job ended")
        session = caller.ask("GET", f"{SESSIONS}/{made['id']}")
        found = tuple(session[name] for name in ("title", "prompt", "model", "credits", "public", "mine"))
        same(found, ("Head races", "What is a head race?", MODEL, 1, False, True), "the session")
        fulfilled(bool(session["response"]), "it has no response")
        fulfilled(session["tokens"]["output"] > 0, f"its tokens are {session['tokens']}")
        same(
            caller.ask("POST", SESSIONS, status=201, json={"job": made["job"]})["id"],
            made["id"],
            "the same text saved again",
        )
        self._session = session

    def share(self) -> None:
        reader, path = self._learners.learner.caller, f"{SESSIONS}/{self._session['id']}"
        reader.refused("GET", path, 404, "not_found")
        self.player.caller.ask("PATCH", path, json={"public": True, "explanation": "Short, and right."})
        seen = reader.ask("GET", path)
        same((seen["response"], seen["mine"], seen["job"]), (self._session["response"], False, None), "what others see")
        reader.refused("PATCH", path, 404, "not_found", json={"title": "Mine"})
        self.player.caller.ask("PATCH", path, json={"public": False})
        reader.refused("GET", path, 404, "not_found")

    def use_up_the_day(self) -> None:
        caller = self.player.caller
        for number in range(2, A_DAY + 1):
            self._run(f"Number {number}?")
        wanted = {"model": MODEL, "prompt": "One more?"}
        no = caller.refused("POST", SESSIONS, 403, "daily_limit_reached", json=wanted)
        same(no["limit"], A_DAY, "how many texts a free user has a day")
        first = caller.ask("GET", SESSIONS, params={"limit": 3})
        rest = caller.ask("GET", SESSIONS, params={"limit": 3, "cursor": first["next"]})
        ids = [each["id"] for each in first["data"] + rest["data"]]
        same((len(ids), ids[-1], rest["next"]), (A_DAY, self._session["id"], None), "all sessions, newest first")

    def delete(self) -> None:
        caller, path = self.player.caller, f"{SESSIONS}/{self._session['id']}"
        caller.ask("DELETE", path, status=204)
        caller.refused("GET", path, 404, "not_found")
        caller.ask("GET", f"/v1/jobs/{self._session['job']}")

    def summarise(self, house: str | None) -> None:
        if not house:
            raise NotHere("the system has no HOUSE_ACCOUNT")
        admin, learner = self._learners.admin, self._learners.learner.caller
        article = self._summary(admin, {"kind": "article", "text": TEXT, "title": "Wheels"})
        fulfilled(0 < len(article["paragraph"]) < len(TEXT), f"the article became {article['paragraph']!r}")
        same(article["implications"], None, "the implications of an article")
        paper = self._summary(admin, {"kind": "paper", "text": TEXT})
        fulfilled(bool(paper["paragraph"]) and bool(paper["implications"]), f"the paper became {paper}")
        order = {"kind": "article", "text": TEXT}
        same(
            learner.refused("POST", "/v1/summaries", 403, "forbidden", json=order)["needed"], "edit", "what is lacking"
        )

    def _summary(self, admin: Caller, wanted: dict[str, str]) -> dict[str, Any]:
        made = admin.ask("POST", "/v1/summaries", status=201, headers=WAIT, json=wanted)
        path = f"/v1/summaries/{made['id']}"
        eventually(lambda: admin.ask("GET", path)["status"], "succeeded", "the summary")
        found: dict[str, Any] = admin.ask("GET", path)
        return found
