"""Who may do what with a collection, and who sees which item in it. Pure: every check is here, and every verb asks for one."""

from enum import StrEnum
from typing import Literal

from common.errors import Forbidden, NotFound

MemberRole = Literal["viewer", "editor"]
ROLES: tuple[MemberRole, ...] = ("viewer", "editor")


class Footing(StrEnum):
    """What somebody is to a collection."""

    OWNER = "owner"
    EDITOR = "editor"
    VIEWER = "viewer"
    LINK = "link"  # has its address, and its password where it has one
    PUBLIC = "public"  # is anybody, and the collection is public
    NOBODY = "nobody"


class Deed(StrEnum):
    """What can be done with a collection."""

    LOOK = "look at it"
    DESCRIBE = "rename or describe it"
    FILL = "add, remove or order what is in it"
    PUBLISH = "make it public or private"
    SHARE = "share it by link"
    INVITE = "invite others to it"
    DELETE = "delete it"
    LEAVE = "leave it"


_MAY: dict[Footing, frozenset[Deed]] = {
    Footing.OWNER: frozenset(Deed) - {Deed.LEAVE},
    Footing.EDITOR: frozenset({Deed.LOOK, Deed.DESCRIBE, Deed.FILL, Deed.LEAVE}),
    Footing.VIEWER: frozenset({Deed.LOOK, Deed.LEAVE}),
    Footing.LINK: frozenset({Deed.LOOK}),
    Footing.PUBLIC: frozenset({Deed.LOOK}),
    Footing.NOBODY: frozenset(),
}
# Who was let in by name or by address; they see what was put in for them, though it is not public.
_LET_IN = frozenset({Footing.OWNER, Footing.EDITOR, Footing.VIEWER, Footing.LINK})


def standing_of(*, owns: bool, role: MemberRole | None, public: bool, shut: bool) -> Footing:
    """What somebody is to a collection. `shut`: its owner was deleted, banned or suspended, and nobody else sees it."""
    if owns:
        return Footing.OWNER
    if shut:
        return Footing.NOBODY
    if role is not None:
        return Footing(role)
    return Footing.PUBLIC if public else Footing.NOBODY


def may(standing: Footing, deed: Deed) -> bool:
    """Whether who stands so may do this."""
    return deed in _MAY[standing]


def check(standing: Footing, deed: Deed, what: str) -> None:
    """Raises NotFound to whoever may not even look, and Forbidden to the others who may not do this."""
    if not may(standing, Deed.LOOK):
        raise NotFound(f"no collection {what}", param="id")
    if not may(standing, deed):
        raise Forbidden(f"who is {standing.value} of this collection may not {deed.value}", standing=standing.value)


def sees(standing: Footing, *, own: bool, public: bool | None, added_by_owner: bool) -> bool:
    """Whether somebody who may look at a collection sees an item in it. What its owner has made private nobody else sees; what
    they put in themselves, and never said so of, those see who were let in. The query of a collection's items says the same.
    """
    if own or public:
        return True
    return public is None and added_by_owner and standing in _LET_IN


def let_in(standing: Footing) -> bool:
    """Whether somebody was let in by name or by address, and is not just anybody."""
    return standing in _LET_IN
