"""Pixorly, which sells pictures: `python -m examples pixorly`. docs/port-pixorly.md tells of each function.

It needs CLERK_WEBHOOK_SECRET, as the system has it, and OIDC_ISSUERS, whose first is an address of this machine: Clerk is played
here, at that address (`examples/clerk.py`); and HEADRACE_ADMIN_KEY, an operator's key, to begin `enterprise` by hand. Each run has
two new users, so that it can be run again and again.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import httpx

from examples.callers import Caller
from examples.clerk import Clerk
from examples.photos import photos_of
from examples.pixorly.gallery import Gallery
from examples.pixorly.keys import Keys
from examples.pixorly.person import Person
from examples.pixorly.pictures import Pictures
from examples.pixorly.sharing import Sharing
from examples.running import Example, Step


def _steps(client: httpx.Client, environment: Mapping[str, str], stack: ExitStack) -> Sequence[Step]:
    issuer = environment["OIDC_ISSUERS"].partition(",")[0].strip()
    clerk = Clerk(issuer, environment["CLERK_WEBHOOK_SECRET"], stack)
    person, friend = Person(client, clerk), Person(client, clerk)
    pictures, keys = Pictures(client, person), Keys(client, person)
    gallery = Gallery(client, person, friend)
    sharing = Sharing(client, Caller(client, environment["HEADRACE_ADMIN_KEY"]), gallery, person, friend)
    photos = photos_of(environment)
    return (
        Step("user.created makes a user; a forged event is refused", person.come),
        Step("a session token of Clerk opens the door, and no other does", person.sign_in),
        Step("user.updated changes the profile", person.change_name),
        Step("the profile has plan, credits, storage, customers and preferences", person.look_at_profile),
        Step("preferences are kept", person.prefer),
        Step("free, pro and enterprise have their credits, quotas and prices", person.list_plans),
        Step("models cost 5, 3, 2 and 1 credits", pictures.quote),
        Step("a generation goes from pending to completed, with its timings", pictures.generate),
        Step("a failed generation says why, costs nothing and can be tried again", pictures.fail_and_retry),
        Step("pictures are in the gallery once they are made, with prompt, model and seed", gallery.fill),
        Step("pictures are found by day, model and whether they are public", gallery.find),
        Step("a film is in the gallery too, and is no picture", gallery.make_a_film),
        Step("another user comes", friend.come),
        Step("pictures are searched by their prompts, each user their own", gallery.search),
        Step("a public picture is in the feed and found by all, a private one by none", gallery.publish),
        Step("a like counts once a user", gallery.like),
        Step("storage is counted as pictures land, against the plan's quota", pictures.look_at_storage),
        Step("a collection is made once, and filled", sharing.make),
        Step("a collection is put in order, and has a cover", sharing.put_in_order),
        Step("of a public collection others see what is public, of another nothing", sharing.open_and_close),
        Step("a share link shows the collection to who has no key, and counts views", sharing.share),
        Step(f"a browser shows the shared page, as it is in {photos.folder}", lambda: sharing.photograph(photos)),
        Step("a link with a password shows nothing before it", sharing.ask_for_password),
        Step("a link that is revoked or has expired shows nothing", sharing.end_links),
        Step("collaborators need enterprise, which an operator begins by hand", sharing.need_a_plan),
        Step("who is invited by e-mail accepts, sees all of it, and adds their own", sharing.let_in),
        Step("a viewer changes nothing, and who is removed sees nothing", sharing.demote_and_remove),
        Step("a collection goes, and its pictures stay", sharing.delete),
        Step("a picture is kept past its time, or left to it", gallery.keep),
        Step("a deleted picture is gone everywhere, and its storage is free", gallery.delete),
        Step("an API key is shown once, and listed by its prefix", keys.make),
        Step("a key does what its scopes say, and nothing else", keys.stay_in_scopes),
        Step("a key that asks too often is told to wait", keys.ask_too_often),
        Step("uses and the last use are counted", keys.count),
        Step("a revoked key is refused", keys.revoke),
        Step("usage of the day says what was made, what failed and what it cost", pictures.look_at_usage),
        Step("user.deleted shuts the user out", person.go),
    )


EXAMPLE = Example("pixorly", "pictures", ("OIDC_ISSUERS", "CLERK_WEBHOOK_SECRET", "HEADRACE_ADMIN_KEY"), _steps)
