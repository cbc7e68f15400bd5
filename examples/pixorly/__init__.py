"""Pixorly, which sells pictures: `python -m examples pixorly`. docs/port-pixorly.md tells of each function.

It needs CLERK_WEBHOOK_SECRET, as the system has it, and OIDC_ISSUERS, whose first is an address of this machine: Clerk is played
here, at that address (`examples/clerk.py`). Each run has a new user, so that it can be run again and again.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import httpx

from examples.clerk import Clerk
from examples.pixorly.keys import Keys
from examples.pixorly.person import Person
from examples.pixorly.pictures import Pictures
from examples.running import Example, Step


def _steps(client: httpx.Client, environment: Mapping[str, str], stack: ExitStack) -> Sequence[Step]:
    issuer = environment["OIDC_ISSUERS"].partition(",")[0].strip()
    clerk = Clerk(issuer, environment["CLERK_WEBHOOK_SECRET"], stack)
    person = Person(client, clerk)
    pictures, keys = Pictures(client, person), Keys(client, person)
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
        # Here come the gallery (B5: public, search, CDN) and collections (B7), once the product has them.
        Step("storage is counted as pictures land, against the plan's quota", pictures.look_at_storage),
        Step("an API key is shown once, and listed by its prefix", keys.make),
        Step("a key does what its scopes say, and nothing else", keys.stay_in_scopes),
        Step("a key that asks too often is told to wait", keys.ask_too_often),
        Step("uses and the last use are counted", keys.count),
        Step("a revoked key is refused", keys.revoke),
        Step("usage of the day says what was made, what failed and what it cost", pictures.look_at_usage),
        Step("user.deleted shuts the user out", person.go),
    )


EXAMPLE = Example("pixorly", "pictures", ("OIDC_ISSUERS", "CLERK_WEBHOOK_SECRET"), _steps)
