"""Reimaji's playground, and its summaries for editors (D4, D5)."""

from typing import Literal

from headrace_client import Headrace
from headrace_client.models import Session, Summary

from examples.reimaji.learners import Learner, Learners
from examples.running import NotHere, eventually, fulfilled, refused, same

MODEL, A_DAY = "sketch-text", 5
TEXT = (
    "Twelve water wheels in four valleys were measured for two years. Each wheel was stopped once a month and its troughs were "
    "weighed. Silt took a tenth of the power in the first year. In the second year it took a quarter of the power. Wheels with a "
    "grate in the head race lost almost nothing. These results imply that a grate pays for itself within one year. Further "
    "research should ask how fine the grate of a wheel ought to be."
)


class Playground:
    """Texts that a free user has made and keeps; `player` and the session are there once something was saved."""

    player: Learner
    _session: Session

    def __init__(self, learners: Learners) -> None:
        self._learners = learners

    def save(self) -> None:
        self.player = self._learners.open()
        client = self.player.client
        made = client.playground.create_session(model=MODEL, prompt="What is a head race?", title="Head races")
        same(client.jobs.wait(made.job or "").status, "succeeded", "how the text's job ended")
        session = self._session = client.playground.get_session(made.id)
        same((session.title, session.prompt), ("Head races", "What is a head race?"), "title and prompt")
        found = (session.model, session.credits, session.public, session.mine)
        same(found, (MODEL, 1, False, True), "model, credits, public, mine")
        fulfilled(bool(session.response), "it has no response")
        fulfilled((session.tokens.output or 0) > 0, f"its tokens are {session.tokens}")
        again = client.playground.create_session(job=made.job)
        same(again.id, made.id, "the same text saved again")

    def share(self) -> None:
        own, others = self.player.client.playground, self._learners.learner.client.playground
        session_id = self._session.id
        refused(404, "not_found", others.get_session, session_id)
        own.change_session(session_id, public=True, explanation="Short, and right.")
        seen = others.get_session(session_id)
        same((seen.mine, seen.job), (False, None), "mine and job, to another")
        same(seen.response, self._session.response, "the response that others see")
        refused(404, "not_found", others.change_session, session_id, title="Mine")
        own.change_session(session_id, public=False)
        refused(404, "not_found", others.get_session, session_id)

    def use_up_the_day(self) -> None:
        client = self.player.client
        for number in range(2, A_DAY + 1):
            made = client.playground.create_session(model=MODEL, prompt=f"Number {number}?")
            client.jobs.wait(made.job or "")
        create = client.playground.create_session
        no = refused(403, "daily_limit_reached", create, model=MODEL, prompt="One more?")
        same(no.extra["limit"], A_DAY, "how many texts a free user has a day")
        ids = [each.id for each in client.playground.list_sessions(limit=3)]  # page by page, by itself
        same(
            (len(ids), ids[-1] == self._session.id), (A_DAY, True), "how many there are, and whether the first is last"
        )

    def delete(self) -> None:
        client, session = self.player.client, self._session
        client.playground.delete_session(session.id)
        refused(404, "not_found", client.playground.get_session, session.id)
        same(client.jobs.get(session.job or "").status, "succeeded", "its job, still")

    def summarise(self, house: str | None) -> None:
        if not house:
            raise NotHere("the system has no HOUSE_ACCOUNT")
        admin, learner = self._learners.admin, self._learners.learner.client
        article = self._summary(admin, "article")
        fulfilled(0 < len(article.paragraph or "") < len(TEXT), f"the article became {article.paragraph!r}")
        same(article.implications, None, "the implications of an article")
        paper = self._summary(admin, "paper")
        fulfilled(bool(paper.paragraph) and bool(paper.implications), f"the paper became {paper}")
        no = refused(403, "forbidden", learner.summaries.create, kind="article", text=TEXT)
        same(no.extra["needed"], "edit", "what is lacking")

    def _summary(self, admin: Headrace, kind: Literal["article", "paper"]) -> Summary:
        made = admin.summaries.create(kind=kind, text=TEXT, title="Wheels")
        eventually(lambda: admin.summaries.get(made.id).status, "succeeded", "the summary")
        return admin.summaries.get(made.id)
