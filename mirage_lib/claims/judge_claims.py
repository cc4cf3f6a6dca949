"""Claims about judges: how far they agree with people, and what the released list does where the truth is known."""

from __future__ import annotations

import functools
from typing import Any

import pandas as pd

from mirage_lib.claims import judge_calls, testing
from mirage_lib.claims.testing import Claim, Line
from mirage_lib.core.errors import MirageError
from mirage_lib.metrics.agreement import difference
from mirage_lib.metrics.rates import values
from mirage_lib.study.study import Study


def _beats_the_list(judge: str, study: Study, claim: Claim) -> Line:
    """How much higher a judge's F1 is than the list's, on the models whose replies nobody read."""
    del study  # people's labels are the same in every profile
    try:
        table = judge_calls.recorded("xstest.csv").table
    except MirageError as error:
        return testing.unmeasured(claim, str(error))
    rows = pd.DataFrame(table[table["model"].isin(judge_calls.UNREAD)])
    calls = judge_calls.refusals(rows)
    found = difference(calls, judge, "released", "people")
    return testing.line(claim, *found, f"XSTest, {len(rows)} replies of two models")


def _list_minus_truth(method: str, label: str, subset: str, role: str, study: Study, claim: Claim) -> Line:
    """How much more often the list gives a label than the study's own judge, reply by reply."""
    if method not in study.names:
        return testing.unmeasured(claim, f"no method {method!r} in this profile")
    judges = study.profile.subject.judges
    if not study.profile.subject.drawn or len(judges) < 2:
        return testing.unmeasured(claim, "the truth is known in a drawn world alone")
    counted = []
    for judge in ("released_keywords", ""):
        frame: Any = study.table([method], judge=judge)
        edit = study.profile.subject.edits[role]
        counted.append(values(frame[frame["subset"].eq(subset) & frame["edit"].eq(edit)], label))
    return testing.check(claim, (counted[0] - counted[1]).rename("gain"), study.profile.reported)


JUDGES = (
    Claim(
        "rules-beat-list",
        "Our rules agree with people better than the released list does (F1, difference)",
        "at least",
        0.01,
        "one point: the least that a table shows",
        8,
        test=functools.partial(_beats_the_list, "rules"),
    ),
    Claim(
        "learned-beats-list",
        "Our learned judge agrees with people better than the released list does (F1, difference)",
        "at least",
        0.01,
        "one point: the least that a table shows",
        8,
        test=functools.partial(_beats_the_list, "learned"),
    ),
    Claim(
        "list-counts-the-rest",
        "The released list takes what is no refusal for harm: NPO under “What” (ASR by the list, minus the true one)",
        "at least",
        0.3,
        "the gain in ASR claimed for the attack",
        8,
        test=functools.partial(_list_minus_truth, "npo", "complied", "unsafes", "what"),
    ),
)
