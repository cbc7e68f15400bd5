"""Pixorly, which sells pictures: `python -m examples pixorly`. docs/port-pixorly.md tells of each function.

It needs CLERK_WEBHOOK_SECRET, as the system has it, and OIDC_ISSUERS, whose first is an address of this machine: Clerk is played
here, at that address (`examples/clerk.py`); and HEADRACE_ADMIN_KEY, an operator's key, to begin `enterprise` by hand. Each run has
two new users, so that it can be run again and again. Its pages are `web.mjs`, which node runs where the JavaScript client is built
(`make clients`).
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from examples.clerk import Clerk
from examples.photos import photos_of
from examples.pixorly.gallery import Gallery
from examples.pixorly.keys import Keys
from examples.pixorly.pages import Pages
from examples.pixorly.person import Person
from examples.pixorly.pictures import Pictures
from examples.pixorly.sharing import Sharing
from examples.running import Example, Place, Step


def _steps(place: Place, environment: Mapping[str, str], stack: ExitStack) -> Sequence[Step]:
    issuer = environment["OIDC_ISSUERS"].partition(",")[0].strip()
    clerk = Clerk(issuer, environment["CLERK_WEBHOOK_SECRET"], stack)
    admin = place.client(environment["HEADRACE_ADMIN_KEY"])
    person, friend = Person(place, clerk), Person(place, clerk)
    pictures, keys, pages = Pictures(admin, person), Keys(place, admin, person), Pages(place, friend)
    gallery = Gallery(place, person, friend)
    sharing = Sharing(place, admin, gallery, person, friend)
    photos = photos_of(environment)
    return (
        Step("B1 user.created", "a user is made; a forged event is refused", person.come),
        Step("B1 verifyToken", "a session token of Clerk opens the door, and no other does", person.sign_in),
        Step("B1 user.updated", "the profile changes", person.change_name),
        Step("B1 getProfile", "it has plan, credits, storage, customers and preferences", person.look_at_profile),
        Step("B1 updatePreferences", "preferences are kept", person.prefer),
        Step("B2 getPlan", "free, pro and enterprise have their credits, quotas and prices", person.list_plans),
        Step("B3 getModelCost", "models cost 5, 3, 2 and 1 credits", pictures.quote),
        Step(
            "B4 createJob, getJob", "a generation goes from pending to completed, with its timings", pictures.generate
        ),
        Step("B4 retryJob", "a failed one says why, costs nothing and can be tried again", pictures.fail_and_retry),
        Step("B5 insertImage", "pictures are in the gallery once they are made", gallery.fill),
        Step("B5 listImages", "pictures are found by day, model and whether they are public", gallery.find),
        Step("B5 listImages", "a film is in the gallery too, and is no picture", gallery.make_a_film),
        Step("B1 user.created", "another user comes", friend.come),
        Step("B5 searchImages", "pictures are searched by their prompts, each user their own", gallery.search),
        Step(
            "B5 setPublic", "a public picture is in the feed and found by all, a private one by none", gallery.publish
        ),
        Step("B5 like", "a like counts once a user", gallery.like),
        Step(
            "B6 addStorage", "storage is counted as pictures land, against the plan's quota", pictures.look_at_storage
        ),
        Step("B7 createCollection", "a collection is made once, and filled", sharing.make),
        Step("B7 reorderItems, setCover", "a collection is put in order, and has a cover", sharing.put_in_order),
        Step(
            "B7 setCollectionPublic", "others see what is public in a public one, else nothing", sharing.open_and_close
        ),
        Step("B7 createShareLink", "a link shows the collection to who has no key, and counts views", sharing.share),
        Step(
            "B7 sharedPage", "a browser shows it, on a wide screen and on a phone", lambda: sharing.photograph(photos)
        ),
        Step("B7 createShareLink", "one with a password shows nothing before it", sharing.ask_for_password),
        Step("B7 revokeShareLink", "a link that is revoked or has expired shows nothing", sharing.end_links),
        Step("B7 addCollaborator", "it needs enterprise, which an operator begins by hand", sharing.need_a_plan),
        Step("B7 addCollaborator", "who is invited by e-mail accepts, sees all, and adds their own", sharing.let_in),
        Step(
            "B7 removeCollaborator", "a viewer changes nothing, who is removed sees nothing", sharing.demote_and_remove
        ),
        Step("B7 deleteCollection", "a collection goes, and its pictures stay", sharing.delete),
        Step("B4 useQuery(api.jobs.getJob)", "the calls of its pages, in JavaScript", pages.run),
        Step("B6 keepImage", "a picture is kept past its time, or left to it", gallery.keep),
        Step("B6 deleteImage", "a deleted picture is gone everywhere, and its storage is free", gallery.delete),
        Step("B8 createApiKey", "a key is shown once, and found by its prefix", keys.make),
        Step("B8 checkScope", "a key does what its scopes say, and nothing else", keys.stay_in_scopes),
        Step("B8 rateLimit", "a key that asks too often is told to wait", keys.ask_too_often),
        Step("B8 recordUse", "uses and the last use are counted", keys.count),
        Step("B8 revokeApiKey", "a revoked key is refused", keys.revoke),
        Step(
            "B9 getUsage", "usage of the day says what was made, what failed and what it cost", pictures.look_at_usage
        ),
        Step("B2 upgradePlan", "pro is bought, and has its credits and quota", lambda: friend.buy_pro(admin)),
        Step("B1 user.deleted", "the user is shut out", person.go),
    )


EXAMPLE = Example("pixorly", "pictures", ("OIDC_ISSUERS", "CLERK_WEBHOOK_SECRET", "HEADRACE_ADMIN_KEY"), _steps)
