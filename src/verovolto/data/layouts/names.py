"""Names of videos in the form of a known collection: they tell the people of a fake wherever the files lie."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable

from verovolto.data.layouts import celebdf, ffpp, uadfv
from verovolto.data.layouts.base import People

Form = Callable[[str, bool], People | None]
"""From a name and whether it is a fake's to its people; None for a name of another form."""


def _uadfv(name: str, fake: bool) -> People | None:
    source = uadfv.parse_name(name, fake=fake)
    return People(source_video=source) if source else None


def _celebdf(name: str, fake: bool) -> People | None:
    people = celebdf.parse_name(name)
    return people if people and people.target and fake == (people.donor is not None) else None


FORMS: tuple[Form, ...] = (
    lambda name, fake: ffpp.parse_name(name, dfd=False, fake=fake),
    lambda name, fake: ffpp.parse_name(name, dfd=True, fake=fake),
    _celebdf,
    _uadfv,
)
"""`519_515`, `01_02__walking__A1B2C3D4`, `id0_id16_0000` and `0000_fake`, with the names of their originals."""


def forms_of(fakes: Iterable[str]) -> Collection[Form]:
    """The forms that a set follows, by the names of its fakes: those of reals, such as `519`, are anybody's.

    >>> len(forms_of(["519_515", "a"])), len(forms_of(["519", "a"]))
    (1, 0)
    """
    left, found = list(FORMS), []
    for name in fakes:
        matching = [form for form in left if form(name, True) or form(_without_frame(name), True)]
        found += matching
        left = [form for form in left if form not in matching]
        if not left:
            break
    return found


def people_of(name: str, forms: Collection[Form], *, fake: bool, photograph: bool = False) -> People | None:
    """The people of a video or photograph by its name; None where it tells none.

    Args:
        name: of a video's file or folder, or of a photograph, without suffix.
        forms: those that the set follows.
        fake: whether it is a fake's.
        photograph: whether its name may end in a frame's number.

    >>> people_of("519_515", FORMS, fake=True)
    People(source_video='519', target='519', donor='515')
    >>> people_of("519_0012", FORMS, fake=False, photograph=True)
    People(source_video='519', target='519', donor=None)
    """
    names = (name, _without_frame(name)) if photograph else (name,)
    return next((people for each in names for form in forms if (people := form(each, fake))), None)


def _without_frame(name: str) -> str:
    return re.sub(r"_[0-9]+$", "", name)
