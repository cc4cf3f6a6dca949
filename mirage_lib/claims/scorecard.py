"""The scorecard: every claim, tested on a study.

The chapters, the page with all claims and the command line use these functions, so their numbers cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from mirage_lib.claims import measures, testing
from mirage_lib.claims.statements import CLAIMS
from mirage_lib.claims.tables.rates import lacking, tables
from mirage_lib.claims.testing import Claim, Line
from mirage_lib.core.errors import MirageError
from mirage_lib.study.own import own
from mirage_lib.study.study import Study


def scorecard(study: Study, chapter: int | None = None, claims: Sequence[Claim] | None = None) -> pd.DataFrame:
    """The claims of a chapter, or these, or all claims, tested, as a table to show; see ``testing.as_table``."""
    return testing.as_table(lines(study, chapter, claims))


def lines(study: Study, chapter: int | None = None, claims: Sequence[Claim] | None = None) -> list[Line]:
    """Test every claim, or every claim of a chapter: one line each, in their order; then those of the reader's file."""
    known = (*CLAIMS, *own(study.profile, "CLAIMS")) if claims is None else claims
    chosen = [claim for claim in known if chapter in (None, claim.chapter)]
    if not chosen:
        raise MirageError(f"No claim is tested in chapter {chapter}.")
    table = tables(study)
    return [_line(study, claim, table) for claim in chosen]


def tally(lines: Sequence[Line]) -> pd.DataFrame:
    """How many claims of the paper and of the book have each status."""
    table = pd.DataFrame(lines)
    counts = pd.crosstab(table["whose"], table["status"])
    counts = counts.reindex(columns=["reproduced", "differs", "not measured"], fill_value=0)
    counts.loc["all"] = counts.sum()
    return counts.rename_axis(index="claims of the", columns=None)


def _line(study: Study, claim: Claim, table: Callable[[str, str], pd.DataFrame]) -> Line:
    if claim.test:
        return claim.test(study, claim)
    if claim.measure is None:
        raise MirageError(f"Claim {claim.name!r} has neither a measure nor a test.")
    if why := lacking(study, claim.measure):
        return testing.unmeasured(claim, why)
    subject = study.profile.subject
    values = measures.values_of(claim.measure, table, subject.edits, subject.shots)
    return testing.check(claim, values, study.profile.reported)
