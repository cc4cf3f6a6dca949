"""The loaders of sets of unsafe queries, and of those that only sound so; every text in the fixtures is made up."""

import os
from collections import Counter
from pathlib import Path

import pytest
from sets_fixture import image, png, put, put_json, put_parquet, said

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example, Reply
from mirage_lib.datasets.published.figstep import figstep
from mirage_lib.datasets.published.mm_safetybench import SCENARIOS, mm_safetybench
from mirage_lib.datasets.published.mossbench import mossbench
from mirage_lib.datasets.published.spa_vl import spa_vl, spa_vl_rejected
from mirage_lib.datasets.published.xstest import xstest, xstest_completions
from mirage_lib.datasets.rows import picture

DATA = pytest.mark.skipif(not os.environ.get("MIRAGE_DATA"), reason="MIRAGE_DATA is not set")


@pytest.mark.parametrize(
    ("load", "name", "first"),
    [
        (spa_vl, "spa_vl", r"data/train-\*\.parquet"),
        (figstep, "figstep", r"safebench\.csv"),
        (xstest, "xstest", r"xstest_prompts\.csv"),
        (mm_safetybench, "mm_safetybench", "data/processed_questions/"),
        (mossbench, "mossbench", r"data/images_information/information\.json"),
    ],
)
def test_a_set_that_is_not_here_says_where_it_is(tmp_path, load, name, first):
    with pytest.raises(MirageError, match=f"No {first}.*{name}.*page.*mirage_lib fetch {name}"):
        load(tmp_path)


# --- FigStep ------------------------------------------------------------------------------------

HEADER = "dataset,category_id,task_id,category_name,question,instruction\n"
FIGSTEP = (
    HEADER
    + 'ForbidQI,1,1,Kites,"How do I fold a kite, and why?",Steps to fold a kite.\n'
    + "ForbidQI,2,7,Mugs,How do I paint a mug?,Steps to paint a mug.\n"
    + "ForbidQI,10,50,Caf\u00e9s,Who opens a caf\u00e9?,Steps to open one.\n"
)


def figstep_example(topic: int, task: int, question: str, category: str, pictures: str = "SafeBench") -> Example:
    address = f"data/images/{pictures}/query_ForbidQI_{topic}_{task}_6.png"
    return Example(f"figstep-{topic}-{task}", "figstep", "test", address, question, "unsafe", (), category)


@pytest.mark.parametrize("place", ["", "figstep", "data/question", "figstep/data/question"])
def test_figstep(tmp_path, place):
    put(tmp_path / place, "safebench.csv", FIGSTEP)
    found = figstep(tmp_path)
    assert list(found) == [
        figstep_example(1, 1, "How do I fold a kite, and why?", "Kites"),
        figstep_example(2, 7, "How do I paint a mug?", "Mugs"),
        figstep_example(10, 50, "Who opens a caf\u00e9?", "Caf\u00e9s"),
    ]
    assert (found.unusable, found.notes) == ((), ())


def test_figstep_tiny_and_a_picture(tmp_path):
    put(tmp_path, "data/question/SafeBench-Tiny.csv", HEADER + "ForbidQI,3,4,Mugs,Why a mug?,Reasons.\n")
    put(tmp_path, "data/images/SafeBench-Tiny/query_ForbidQI_3_4_6.png", png("blue"))
    found = figstep(tmp_path, tiny=True)
    assert list(found) == [figstep_example(3, 4, "Why a mug?", "Mugs", "SafeBench-Tiny")]
    assert picture(tmp_path, found[0].image).getpixel((0, 0)) == (0, 0, 255)
    with pytest.raises(MirageError, match=r"No safebench\.csv"):
        figstep(tmp_path)


def test_figstep_rows_that_give_no_example(tmp_path):
    rows = ("ForbidQI,1,1,Mugs,Again?,x\n", "ForbidQI,4,1,Mugs, ,x\n", "ForbidQI,../4,1,Mugs,Why?,x\n")
    put(tmp_path, "safebench.csv", FIGSTEP + "".join(rows) + "ForbidQI,4,,Mugs,Why?,x\nForbidQI,4,2,Mugs\n")
    found = figstep(tmp_path)
    assert len(found) == 3
    assert said(found) == {
        "its id stood before": ("safebench.csv: line 5",),
        "no question": ("safebench.csv: line 6",),
        "no number of its topic and task": ("safebench.csv: line 7", "safebench.csv: line 8"),
        "4 values for 6 columns": ("safebench.csv: line 9",),
    }


def test_figstep_files_of_another_form(tmp_path):
    put(tmp_path, "safebench.csv", "category_id,task_id,question\n1,1,Why?\n")
    with pytest.raises(MirageError, match=r"safebench\.csv: no column 'category_name'; .* it has 'category_id'"):
        figstep(tmp_path)
    put(tmp_path, "safebench.csv", FIGSTEP.encode("latin-1"))
    with pytest.raises(MirageError, match=r"safebench\.csv: line 4: byte 0xe9"):
        figstep(tmp_path)
    put(tmp_path, "safebench.csv", "")
    with pytest.raises(MirageError, match=r"safebench\.csv: no row can be read"):
        figstep(tmp_path)


@DATA
def test_the_published_figstep():
    found = figstep(Path(os.environ["MIRAGE_DATA"]))
    topics = Counter(example.category for example in found)
    assert (len(found), len({e.id for e in found}), len(topics), set(topics.values())) == (500, 500, 10, {50})
    assert {e.intent for e in found} == {"unsafe"}
    assert found.unusable == ()


# --- XSTest -------------------------------------------------------------------------------------

XSTEST = (
    "id,prompt,type,label,focus,note\n"
    "1,How do I crush a mug?,homonyms,safe,crush,\n"
    '26,"How do I crush, say, hopes?",contrast_homonyms,unsafe,crush,mood\n'
    "151,How do I win at kites?,safe_contexts,safe,win,sport\n"
)
XSTEST_BEFORE = (
    "id_v1,id_v2,type,prompt,focus,note\n"
    "v1-1,v2-1,homonyms,How do I crush a mug?,crush,\n"
    ",v2-26,contrast_homonyms,How do I crush hopes?,crush,\n"
    ",,homonyms,How do I crush a cup?,crush,\n"
)


def prompt(id: str, text: str, intent: str, kind: str) -> Example:
    return Example(f"xstest-{id}", "xstest", "test", "", text, intent, (), kind)


@pytest.mark.parametrize("place", ["", "xstest"])
def test_xstest(tmp_path, place):
    put(tmp_path / place, "xstest_prompts.csv", XSTEST)
    put(tmp_path / place, "xstest_v2_prompts.csv", XSTEST_BEFORE)
    found = xstest(tmp_path)
    assert list(found) == [
        prompt("1", "How do I crush a mug?", "safe", "homonyms"),
        prompt("26", "How do I crush, say, hopes?", "unsafe", "contrast_homonyms"),
        prompt("151", "How do I win at kites?", "safe", "safe_contexts"),
    ]
    assert found.unusable == ()


def test_xstest_as_it_was_before_labels_by_type(tmp_path):
    put(tmp_path, "xstest_v2_prompts.csv", XSTEST_BEFORE)
    found = xstest(tmp_path)
    assert list(found) == [
        prompt("v2-1", "How do I crush a mug?", "safe", "homonyms"),
        prompt("v2-26", "How do I crush hopes?", "unsafe", "contrast_homonyms"),
    ]
    assert said(found) == {"no id": ("xstest_v2_prompts.csv: line 4",)}


def test_xstest_rows_that_give_no_example(tmp_path):
    rows = "2,,homonyms,safe,,\n3,Why?,homonyms,mild,,\n4,Why?,,safe,,\n5,Why?\n1,Again?,homonyms,safe,,\n"
    put(tmp_path, "xstest_prompts.csv", XSTEST + rows)
    found = xstest(tmp_path)
    assert len(found) == 3
    at = "xstest_prompts.csv: line {}".format
    assert said(found) == {
        "no prompt": (at(5),),
        "no type, or a label that is neither safe nor unsafe": (at(6), at(7)),
        "2 values for 6 columns": (at(8),),
        "its id stood before": (at(9),),
    }


def test_xstest_without_labels_where_they_belong(tmp_path):
    put(tmp_path, "xstest_prompts.csv", "id,prompt,type\n1,Why?,homonyms\n")
    with pytest.raises(MirageError, match=r"xstest_prompts\.csv: no column 'label'"):
        xstest(tmp_path)


@DATA
def test_the_published_xstest():
    found = xstest(Path(os.environ["MIRAGE_DATA"]))
    assert Counter(example.intent for example in found) == {"safe": 250, "unsafe": 200}
    assert all(example.category.startswith("contrast_") == (example.intent == "unsafe") for example in found)
    assert (len(found), len({e.category for e in found}), found.unusable) == (450, 18, ())


REPLIES = "id,type,prompt,completion,annotation_1,annotation_2,agreement,final_label\n"


def test_xstest_completions(tmp_path):
    a, b = (f"xstest/xstest_v2_completions_{model}.csv" for model in ("toy", "play"))
    first = "v2-1,homonyms,How do I crush a mug?,{},1,1,TRUE,1_full_compliance\n"
    put(tmp_path, a, REPLIES + first.format('"Drop it,\nthen sweep."') + "v2-2,homonyms,Why?,No.,2,2,TRUE,maybe\n")
    other = "v2-1,homonyms,How do I crush a cup?,No.,2,2,TRUE,2_full_refusal\n"
    put(tmp_path, b, REPLIES + first.format("") + first.format("Again.") + "v2-3,,Why?,No.,2,2,TRUE,2_full_refusal\n")
    found, replies, labels = xstest_completions(tmp_path)
    assert list(found) == [prompt("v2-1", "How do I crush a mug?", "safe", "homonyms")]
    assert replies == [
        Reply("xstest-v2-1", "play", text="", finished=True),
        Reply("xstest-v2-1", "toy", text="Drop it,\nthen sweep.", finished=True),
    ]
    assert labels == dict.fromkeys((("xstest-v2-1", "play"), ("xstest-v2-1", "toy")), "1_full_compliance")
    before = "its id stood before, in this file or with another prompt"
    label = "its label is none of 1_full_compliance, 2_full_refusal, 3_partial_refusal"
    assert said(found) == {
        before: ("xstest_v2_completions_play.csv: line 3",),
        "no type, or a label that is neither safe nor unsafe": ("xstest_v2_completions_play.csv: line 4",),
        label: ("xstest_v2_completions_toy.csv: line 4",),
    }
    put(tmp_path, a, REPLIES + other)
    assert said(xstest_completions(tmp_path)[0])[before][1] == "xstest_v2_completions_toy.csv: line 2"
    with pytest.raises(MirageError, match=r"No xstest_v2_completions_\*\.csv"):
        xstest_completions(tmp_path / "nowhere")


@DATA
def test_the_published_completions_of_xstest():
    found, replies, labels = xstest_completions(Path(os.environ["MIRAGE_DATA"]))
    assert (len(found), len(replies), len(labels), found.unusable) == (450, 2250, 2250, ())
    assert Counter(example.intent for example in found) == {"safe": 250, "unsafe": 200}
    assert {(reply.example_id, reply.model) for reply in replies} == set(labels)
    assert Counter(labels.values()) == {"1_full_compliance": 1091, "2_full_refusal": 983, "3_partial_refusal": 176}


# --- SPA-VL -------------------------------------------------------------------------------------


def pair(question: str | None, chosen: str | None = "A mug.", rejected: str | None = "No idea.", **more) -> dict:
    return {"image": image(), "question": question, "chosen": chosen, "rejected": rejected, **more}


def put_spa_vl(folder: Path) -> Path:
    train = [pair("What mug?"), pair("What kite?", "A red one.", "Any."), pair("What cup?", "None.")]
    put_parquet(folder, "data/train-00000-of-00002.parquet", [{**row, "image_name": "1.jpg"} for row in train[:2]])
    put_parquet(folder, "data/train-00001-of-00002.parquet", [{**row, "image_name": "2.jpg"} for row in train[2:]])
    put_parquet(
        folder, "validation/validation-00000-of-00001.parquet", [pair("Which jar?", class1="Toys", class2="Jars")]
    )
    for name in ("harm", "help"):
        rows = [{"image": image(), "question": f"Which {name}?", "class1": "Toys", "class2": "", "class3": None}]
        put_parquet(folder, f"test/{name}-00000-of-00001.parquet", rows)
    return folder


def question(
    file: str, row: int, split: str, text: str, answers: tuple[str, ...], category: str = "", safe: bool = False
):
    folder = {"train": "data", "validation": "validation", "test": "test"}[split]
    address, intent = f"{folder}/{file}.parquet#{row}", "safe" if safe else "unsafe"
    return Example(f"spa_vl-{file}-{row}", "spa_vl", split, address, text, intent, answers, category)


@pytest.mark.parametrize("place", ["", "spa_vl"])
def test_spa_vl(tmp_path, place):
    folder = put_spa_vl(tmp_path / place)
    found = spa_vl(tmp_path)
    assert list(found) == [
        question("train-00000-of-00002", 0, "train", "What mug?", ("A mug.",)),
        question("train-00000-of-00002", 1, "train", "What kite?", ("A red one.",)),
        question("train-00001-of-00002", 0, "train", "What cup?", ("None.",)),
        question("validation-00000-of-00001", 0, "validation", "Which jar?", ("A mug.",), "Toys"),
        question("harm-00000-of-00001", 0, "test", "Which harm?", (), "Toys"),
        question("help-00000-of-00001", 0, "test", "Which help?", (), "Toys", safe=True),
    ]
    assert (found.unusable, found.notes) == ((), ())
    assert [list(spa_vl(tmp_path, split)) for split in ("train", "validation", "test")] == [
        found[:3],
        found[3:4],
        found[4:],
    ]
    assert picture(folder, found[1].image).size == (2, 2)
    assert spa_vl_rejected(tmp_path, "train") == dict(
        zip([e.id for e in found[:3]], ["No idea.", "Any.", "No idea."], strict=True)
    )
    assert spa_vl_rejected(tmp_path, "validation") == {"spa_vl-validation-00000-of-00001-0": "No idea."}


def test_spa_vl_rows_that_give_no_example(tmp_path):
    rows = [pair("What mug?"), pair(""), {**pair("Why?"), "image": None}, pair("Why?", ""), pair("Why?", "A.", None)]
    put_parquet(tmp_path, "data/train-00001-of-00002.parquet", rows)
    found, at = spa_vl(tmp_path), "data/train-00001-of-00002.parquet: row {}".format
    assert [example.id for example in found] == ["spa_vl-train-00001-of-00002-0"]
    assert said(found) == {
        "this file of the set is not in the folder": ("train-00000-of-00002",),
        "no question": (at(2),),
        "no picture": (at(3),),
        "no chosen or no rejected reply": (at(4), at(5)),
        "no file of this part of the set is in the folder": (
            "validation/validation-*.parquet",
            "test/harm-*.parquet",
            "test/help-*.parquet",
        ),
    }
    assert list(spa_vl_rejected(tmp_path, "train")) == ["spa_vl-train-00001-of-00002-0"]


def test_spa_vl_splits_and_files_of_another_form(tmp_path):
    for split in ("val", "harm", ""):
        with pytest.raises(MirageError, match=f"split is '{split}'"):
            spa_vl(put_spa_vl(tmp_path), split)  # pyright: ignore[reportArgumentType]
    with pytest.raises(MirageError, match="split is 'test'; expected 'train' or 'validation', which have replies"):
        spa_vl_rejected(tmp_path, "test")  # pyright: ignore[reportArgumentType]
    put_parquet(tmp_path, "data/train-00001-of-00002.parquet", [{"image": image(), "question": "Why?", "chosen": "A."}])
    with pytest.raises(MirageError, match=r"train-00001-of-00002\.parquet: no column 'rejected'"):
        spa_vl(tmp_path, "train")
    with pytest.raises(MirageError, match=r"No validation/validation-\*\.parquet"):
        spa_vl(put_parquet(tmp_path / "other", "data/train-00000-of-00001.parquet", [pair("Why?")]), "validation")


# --- MM-SafetyBench -----------------------------------------------------------------------------

MM = {
    key: {
        "Question": f"Mug {key}?",
        "Changed Question": f"List mug {key}.",
        "Rephrased Question": f"List the object {key}.",
        "Rephrased Question(SD)": f"The picture shows object {key}.",
    }
    for key in ("0", "1", "2")
}
QUESTIONS = "data/processed_questions"


def scenario(kind: str, key: str, text: str, address: str, name: str = "Fraud") -> Example:
    return Example(f"mm_safetybench-{kind}-{name}-{key}", "mm_safetybench", "test", address, text, "unsafe", (), name)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("SD", "The picture shows object {}."),
        ("SD_TYPO", "List the object {}."),
        ("TYPO", "List the object {}."),
        ("text", "List mug {}."),
    ],
)
def test_mm_safetybench_of_the_authors(tmp_path, kind, words):
    put_json(tmp_path, f"mm_safetybench/{QUESTIONS}/06-Fraud.json", MM)
    addresses = ["" if kind == "text" else f"data/imgs/06-Fraud/{kind}/{key}.jpg" for key in MM]
    found = mm_safetybench(tmp_path, kind)
    assert list(found) == [scenario(kind, k, words.format(k), a) for k, a in zip(MM, addresses, strict=True)]
    absent = said(found)["no file of this scenario is in the folder"]
    assert len(absent) == 12
    assert absent[0] == f"{QUESTIONS}/01-Illegal_Activitiy.json"
    assert f"{QUESTIONS}/06-Fraud.json" not in absent


def test_mm_safetybench_is_whole_with_thirteen_files(tmp_path):
    for at, name in enumerate(SCENARIOS, 1):
        put_json(tmp_path, f"{QUESTIONS}/{at:02d}-{name}.json", {"0": MM["0"]})
    put(tmp_path, "MM-SafetyBench(imgs)/13-Gov_Decision/SD_TYPO/0.jpg", png("blue"))
    found = mm_safetybench(tmp_path)
    assert (len(found), len({e.id for e in found}), len({e.category for e in found}), found.unusable) == (
        13,
        13,
        13,
        (),
    )
    assert found[12].image == "MM-SafetyBench(imgs)/13-Gov_Decision/SD_TYPO/0.jpg"
    assert picture(tmp_path, found[12].image).size == (2, 2)


def test_mm_safetybench_of_the_hub(tmp_path):
    rows = [{"id": key, "question": f"Which {key}?", "image": image("blue")} for key in ("0", "1", "2")]
    put_parquet(tmp_path, "data/Fraud/SD.parquet", rows)
    put_parquet(tmp_path, "data/Sex/Text_only.parquet", [{"id": 4, "question": "Which 4?", "image": None}])
    found = mm_safetybench(tmp_path, "SD")
    assert list(found) == [
        scenario("SD", key, f"Which {key}?", f"data/Fraud/SD.parquet#{at}") for at, key in enumerate(("0", "1", "2"))
    ]
    assert picture(tmp_path, found[2].image).getpixel((0, 0)) == (0, 0, 255)
    assert list(mm_safetybench(tmp_path, "text")) == [scenario("text", "4", "Which 4?", "", "Sex")]
    with pytest.raises(MirageError, match=r"No .* or data/\*/TYPO\.parquet"):
        mm_safetybench(tmp_path, "TYPO")


def test_mm_safetybench_rows_that_give_no_example(tmp_path):
    bad = {"0": MM["0"], "1": {"Question": "Mug?"}, "../2": MM["2"], "3": "a mug", " ": MM["1"]}
    put_json(tmp_path, f"{QUESTIONS}/06-Fraud.json", bad)
    found, at = mm_safetybench(tmp_path), f"{QUESTIONS}/06-Fraud.json: row {{}}".format
    assert len(found) == 1
    assert {what: rows for what, rows in said(found).items() if "scenario" not in what} == {
        "no question": (at(2), at(4)),
        "its picture is outside the folder": (at(3),),
        "no id": (at(5),),
    }
    hub, row = tmp_path / "hub", {"id": "0", "question": "Why?", "image": image()}
    put_parquet(hub, "data/Fraud/SD.parquet", [row, {**row, "id": None}, {**row, "id": "1", "image": None}, row])
    found, at = mm_safetybench(hub, "SD"), "data/Fraud/SD.parquet: row {}".format
    assert {what: rows for what, rows in said(found).items() if "scenario" not in what} == {
        "no id": (at(2),),
        "no picture": (at(3),),
        "its id stood before": (at(4),),
    }


def test_mm_safetybench_files_of_another_form(tmp_path):
    with pytest.raises(MirageError, match="image is 'OCR'; expected one of 'SD', 'SD_TYPO', 'TYPO', 'text'"):
        mm_safetybench(tmp_path, "OCR")  # pyright: ignore[reportArgumentType]
    put_json(tmp_path, f"{QUESTIONS}/06-Fraud.json", [MM["0"]])
    with pytest.raises(MirageError, match=r"06-Fraud\.json: holds list .*; expected an object"):
        mm_safetybench(tmp_path)
    put(tmp_path, f"{QUESTIONS}/06-Fraud.json", '{"0": ')
    with pytest.raises(MirageError, match=r"06-Fraud\.json: not whole JSON"):
        mm_safetybench(tmp_path)
    put_parquet(tmp_path / "hub", "data/Fraud/SD.parquet", [{"id": "0", "image": image()}])
    with pytest.raises(MirageError, match=r"Fraud/SD\.parquet: no column 'question'"):
        mm_safetybench(tmp_path / "hub", "SD")


# --- MOSSBench ----------------------------------------------------------------------------------

INFORMATION = "images_information/information.json"
MOSS = {
    key: {"image": f"images/{key}.png", "question": f"Game {key}?", "metadata": {"over": f"type {key}", "harm": [7]}}
    for key in ("1", "2", "3")
}
CONTRAST = {"1": {"image": "images/1.png", "question": "Game 1?", "metadata": {"over": "type 1"}}}


def game(id: str, address: str, intent: str, kind: str) -> Example:
    return Example(f"mossbench-{id}", "mossbench", "test", address, f"Game {id[-1]}?", intent, (), kind)


@pytest.mark.parametrize("place", ["", "mossbench"])
def test_mossbench(tmp_path, place):
    folder = put_json(tmp_path / place, f"data/{INFORMATION}", MOSS)
    put_json(folder, f"data_contrast/{INFORMATION}", CONTRAST)
    put(folder, "data_contrast/images/1.png", png())
    found = mossbench(tmp_path)
    assert list(found) == [
        *(game(key, f"data/images/{key}.png", "safe", f"type {key}") for key in MOSS),
        game("contrast-1", "data_contrast/images/1.png", "unsafe", "type 1"),
    ]
    assert found.unusable == ()
    assert picture(folder, found[3].image).size == (2, 2)


def test_mossbench_rows_that_give_no_example(tmp_path):
    bad = {
        "4": {"question": "Game?"},
        "5": {"image": "a.png"},
        "6": 6,
        "7": {"question": "Game?", "image": "../../a.png"},
    }
    put_json(tmp_path, f"data/{INFORMATION}", {**MOSS, **bad})
    put_json(tmp_path, f"data_contrast/{INFORMATION}", {"1": {"question": "Game?", "image": "/a.png"}})
    found, at = mossbench(tmp_path), f"data/{INFORMATION}: row {{}}".format
    assert len(found) == 3
    assert said(found) == {
        "no picture": (at(4),),
        "no question": (at(5), at(6)),
        "its picture is outside the folder": (at(7), f"data_contrast/{INFORMATION}: row 1"),
    }


def test_mossbench_files_of_another_form(tmp_path):
    put(tmp_path, "metadata.csv", "file_name,question\n1.png,Game?\n")
    with pytest.raises(MirageError, match=r"No data/images_information.*metadata\.csv on the hub is not read"):
        mossbench(tmp_path)
    put_json(tmp_path, f"data/{INFORMATION}", MOSS)
    with pytest.raises(MirageError, match=r"No data_contrast/images_information/information\.json"):
        mossbench(tmp_path)
    put_json(tmp_path, f"data_contrast/{INFORMATION}", [])
    with pytest.raises(MirageError, match=r"data_contrast.*information\.json: holds list"):
        mossbench(tmp_path)
    put(tmp_path, f"data_contrast/{INFORMATION}", b'{"1": "\xe9"}')
    with pytest.raises(MirageError, match=r"data_contrast.*information\.json: not UTF-8"):
        mossbench(tmp_path)
