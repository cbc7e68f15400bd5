"""What an API process has while it runs, and every route may use: made when the app starts, ended when it stops."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette

from api.auth.keyring import KeyRing
from api.catalogue import Catalogue
from api.counting import Views
from api.edge.rate_limits import Rates
from api.intake.inputs import Inputs
from api.intake.repeats import Repeats
from api.intake.rooms import Rooms
from api.intake.starts import StartTimes
from api.intake.submits import Intake
from api.live.hub import Live
from api.live.redis_wakes import follow
from api.readiness import Readiness
from api.reading import Balances, JobPolls, Jobs, balances_together, jobs_together
from api.tasks import end, keep
from api.turns.lately import Lately
from api.turns.places import Places
from api.turns.walls import Wall
from common.telemetry import figures
from models.catalogue.entries import Offer
from models.content.reading import add_views
from models.gallery.links import record_views

KEPT_SECONDS = 4.0  # that an overview of the console is shown again


@dataclass(frozen=True, slots=True)
class Services:
    """One of each for one event loop."""

    rates: Rates  # how often each caller and address has asked
    keys: KeyRing  # who asks
    wall: Wall  # turns at the accounts' locks
    places: Places  # threads for each kind of slow work
    rooms: Rooms  # uploads under way
    inputs: Inputs  # files in what is ordered
    intake: Intake  # orders
    repeats: Repeats  # orders that libraries send again
    jobs: Jobs  # looks at jobs
    polls: JobPolls  # the same, by who asks again and again
    starts: StartTimes  # jobs that must begin by a time
    balances: Balances  # looks at balances
    live: Live  # streams of events
    catalogue: Catalogue  # what can be ordered
    views: Views  # how often shared pages are seen
    readiness: Readiness  # whether this process can serve
    reads: Views  # how often articles are read
    figures: Lately  # of the console's overview


def services(app: Starlette) -> Services:
    """Those of an app that runs."""
    found: Services = app.state["services"]  # a microsecond less than its attribute, several times in a request
    return found


def places_now(places: Places) -> figures.Readings:
    """How each place stands."""
    return [
        reading
        for each in vars(places).values()
        for reading in (((each.name, "busy"), float(each.busy)), ((each.name, "waiting"), float(each.waiting)))
    ]


@asynccontextmanager
async def running(app: Starlette, write: Callable[[Offer], bytes]) -> AsyncIterator[Services]:
    """Make the services of an app for as long as it runs. `write`: as a model is listed."""
    rates, wall, places = Rates(), Wall(), Places()
    rooms, jobs = Rooms(places.ordinary.run), jobs_together()
    made = Services(
        rates=rates, keys=KeyRing(rates), wall=wall, places=places, rooms=rooms, inputs=Inputs(wall, places, rooms),
        intake=Intake(), repeats=Repeats(places), jobs=jobs, polls=JobPolls(jobs), starts=StartTimes(wall, places), balances=balances_together(), live=Live(), catalogue=Catalogue(write),
        readiness=Readiness(), reads=Views("articles", add_views), views=Views("shared pages", record_views),
        figures=Lately(KEPT_SECONDS),
    )  # fmt: skip
    app.state.services = made
    figures.STREAMS.read_by(lambda: [((), float(len(made.live)))])
    figures.PLACES.read_by(lambda: places_now(places))
    made.keys.start()
    made.reads.start()
    made.views.start()
    following = [
        asyncio.create_task(keep("looking for events", made.live.run)),
        asyncio.create_task(keep("hearing of events", lambda: follow(made.live))),
    ]
    made.catalogue.load()
    made.catalogue.start()
    yield made
    made.live.stop()
    await end(following)
    await made.catalogue.stop()
    await made.starts.close()
    for each in (made.intake, made.jobs, made.balances, made.live, made.readiness):
        each.close()
    await made.reads.close()
    await made.views.close()
    await made.keys.close()
