"""How well bag-of-words classifiers do on published data that cannot be shipped, for chapter 1.

The numbers are recorded in this package, one per row of a table. If MIRAGE_DATA holds the data, they are measured
again. Only counts and rates are recorded, no text. ``python -m mirage_lib count --rates`` measures and compares them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mirage_lib.attacks import OneWord, rewrites
from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.datasets.folder import DATA, data_folder
from mirage_lib.datasets.loaded import same
from mirage_lib.datasets.published.figstep import figstep
from mirage_lib.datasets.published.mossbench import mossbench
from mirage_lib.datasets.published.vlguard import REWRITES, vlguard, vlguard_rewrites
from mirage_lib.datasets.published.xstest import xstest
from mirage_lib.metrics.intervals import wilson
from mirage_lib.text import bag_of_words
from mirage_lib.text.bag_of_words import CLASSIFIERS, Classifier

KEYS = ["part", "data", "classifier", "edit", "measure"]
COLUMNS = [*KEYS, "value", "low", "high", "n"]
FILE = "classifier_rates.csv"
CLOSE = 0.005  # versions of scikit-learn differ in the last digits of a fit
# Literal edits, unlike the paper's rewrites, put the word before the query and lower the query's first letter.
LITERAL = {"unsafes": ("What",), "safe_safes": ("Share",)}
Line = tuple[Any, ...]


def remeasured(folder: Path) -> pd.DataFrame:
    """Measure every number again, in the columns ``COLUMNS``; data that are not in the folder are left out.

    Parts: "transfer", the accuracy of a classifier fitted on VLGuard's training queries and tested on its test
    queries, with Wilson's interval; "folds", its mean accuracy in five-fold cross-validation, from the worst to the
    best fold; "forecast", the share of attacked queries to which it gives the other label, of "each" query and of
    "any" shot; "refused", the share of other sets' prompts that a classifier fitted on VLGuard would refuse. Raises
    MirageError if VLGuard is not there.
    """
    train, test = list(vlguard(folder, "train")), list(vlguard(folder, "test"))
    lines = [*_transfer(train, test), *_folds(test, "VLGuard test"), *_forecast(folder, train, test)]
    for name, load in (("XSTest", xstest), ("MOSSBench", mossbench), ("FigStep", figstep)):
        if not (folder / name.lower()).is_dir():
            continue  # it is not in the folder; the table shows which sets are
        other = list(load(folder))
        lines += _refused(train, other, name)
        if len({one.intent for one in other}) == 2:
            lines += _folds(other, name)
    return pd.DataFrame(lines, columns=COLUMNS)


def _labelled(examples: Sequence[Example]) -> tuple[list[str], list[bool]]:
    return [one.prompt for one in examples], [one.intent == "unsafe" for one in examples]


def _line(part: str, data: str, classifier: str, edit: str, measure: str, value: float, n: int) -> Line:
    return part, data, classifier, edit, measure, value, *wilson(round(value * n), n), n


def _transfer(train: list[Example], test: list[Example]) -> Iterator[Line]:
    for data, classes in (("VLGuard", ("safe_unsafes",)), ("VLGuard, unsafe pictures", ())):
        parts = [[e for e in rows if e.category != "safe_unsafes" or classes] for rows in (train, test)]
        table = bag_of_words.transferred(*_labelled(parts[0]), *_labelled(parts[1]))
        for row in table.to_dict("records"):
            yield _line("transfer", data, row["classifier"], "", "accuracy", row["accuracy"], row["n"])
        commoner = float(table["majority"].iloc[0])
        yield _line("transfer", data, "the commoner label", "", "accuracy", commoner, len(parts[1]))


def _folds(rows: list[Example], name: str) -> Iterator[Line]:
    texts, unsafe = _labelled(rows)
    for data, groups in ((name, None), (f"{name}, equal queries together", [same(text) for text in texts])):
        table = bag_of_words.cross_validated(texts, unsafe, groups=groups)
        for classifier in CLASSIFIERS:
            part = table.loc[table["classifier"] == classifier, "accuracy"].to_numpy()
            worst, best = float(part.min()), float(part.max())
            yield "folds", data, classifier, "", "accuracy", float(part.mean()), worst, best, len(rows)
        commoner = max(sum(unsafe), len(rows) - sum(unsafe)) / len(rows)
        yield "folds", data, "the commoner label", "", "accuracy", commoner, commoner, commoner, len(rows)


def _forecast(folder: Path, train: list[Example], test: list[Example]) -> Iterator[Line]:
    attacked = [one for one in test if one.category in LITERAL]
    attacked += [OneWord(word, "prefix")(one) for one in test for word in LITERAL.get(one.category, ())]
    for edit in REWRITES:
        if not any((folder / part / REWRITES[edit][0]).is_file() for part in ("", "vlguard")):
            continue  # the paper's file, not VLGuard's: it may be missing
        texts = vlguard_rewrites(folder, edit)  # type: ignore[arg-type]
        attacked += [shot for one in test for shot in rewrites(one, texts.get(one.id, []), edit)]
    for classifier in CLASSIFIERS:
        model = bag_of_words.fit_words(*_labelled(train), classifier)
        for row in bag_of_words.forecast(model, attacked).to_dict("records"):
            for measure, n in (("each", row["queries"]), ("any", row["roots"])):
                yield _line("forecast", row["intent"], classifier, row["edit"], measure, float(row[measure]), int(n))


def _refused(train: list[Example], other: list[Example], name: str) -> Iterator[Line]:
    for classifier in CLASSIFIERS:
        model = bag_of_words.fit_words(*_labelled(train), classifier)
        for intent in ("unsafe", "safe"):
            texts = [one.prompt for one in other if one.intent == intent]
            if texts:
                share = float(model.unsafe(texts).mean())
                yield _line("refused", f"{name}, {intent}", classifier, "", "refused", share, len(texts))


@functools.cache
def _recorded() -> pd.DataFrame:
    return pd.read_csv(Path(__file__).with_name(FILE), comment="#", keep_default_na=False)


def recorded() -> pd.DataFrame:
    """The table as recorded with this version."""
    return _recorded().copy()


def classifier_rates() -> tuple[pd.DataFrame, str]:
    """The table and its source: measured again for the data in MIRAGE_DATA, the rest as recorded."""
    folder = data_folder()
    if folder is None:
        return recorded(), "as recorded with this version; MIRAGE_DATA is not set"
    try:
        anew = _remeasured(folder)
    except MirageError as error:
        why = str(error).partition(". ")[0].replace(str(folder), DATA)  # pages show this text, but no machine's folders
        return recorded(), f"as recorded with this version ({why})"
    whole = pd.concat([anew, recorded()]).drop_duplicates(KEYS, ignore_index=True)
    rest = len(whole) - len(anew)
    return whole, f"measured anew from MIRAGE_DATA{f', but for {rest} numbers as recorded' if rest else ''}"


@functools.lru_cache(maxsize=2)
def _remeasured(folder: Path) -> pd.DataFrame:
    return remeasured(folder)


def differences(anew: pd.DataFrame) -> list[str]:
    """The numbers of a newly measured table that differ from the recorded ones, one sentence each."""
    both = anew.merge(recorded(), on=KEYS, how="left", suffixes=("", "_recorded"), validate="one_to_one")
    found = []
    for row in both.to_dict("records"):
        name = ", ".join(str(row[key]) for key in KEYS if row[key])
        if np.isnan(row["n_recorded"]):
            continue  # its data were missing when the others were recorded
        if row["n"] != row["n_recorded"]:
            found.append(f"{name}: n is {row['n']}, recorded {row['n_recorded']}")
        elif abs(row["value"] - row["value_recorded"]) > CLOSE:
            found.append(f"{name}: {row['value']:.3f}, recorded {row['value_recorded']:.3f}")
    return found


def record(anew: pd.DataFrame, path: Path) -> Path:
    """Write a table in the form in which this package keeps it."""
    head = "# Rates of classifiers that read words, measured on published data sets that are not shipped: rates only.\n"
    path.write_text(head + anew.to_csv(index=False, float_format="%.6g"), "utf-8")
    return path


def lookup(
    table: pd.DataFrame, part: str, classifier: Classifier, data: str = "", edit: str = "", measure: str = ""
) -> Any:
    """The one row of a table with these values. Raises MirageError if there are none or several."""
    wanted = {"part": part, "classifier": classifier, "edit": edit, **({"data": data} if data else {})}
    wanted |= {"measure": measure} if measure else {}
    rows: Any = table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    if len(rows) != 1:
        raise MirageError(f"{len(rows)} numbers for {wanted}; expected one.")
    return rows.iloc[0]
