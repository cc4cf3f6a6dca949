"""The loaders of sets of safe questions about pictures; every text in the fixtures is made up."""

import pytest
from sets_fixture import image, png, put, put_json, put_parquet, said

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.datasets.published.scienceqa import scienceqa
from mirage_lib.datasets.published.vqa import textvqa, vizwiz, vqav2
from mirage_lib.datasets.rows import picture

LOADERS = {"vqav2": vqav2, "textvqa": textvqa, "vizwiz": vizwiz, "scienceqa": scienceqa}


@pytest.mark.parametrize("name", LOADERS)
def test_a_set_that_is_not_here_says_where_it_is(tmp_path, name):
    with pytest.raises(MirageError, match=rf"No .*\.json or .*parquet in .*{name}.*page.*mirage_lib fetch {name}"):
        LOADERS[name](tmp_path)


@pytest.mark.parametrize("name", LOADERS)
def test_a_split_that_is_none_is_named(tmp_path, name):
    for split in ("validation", "", "dev"):
        with pytest.raises(MirageError, match=f"{name}: split is '{split}'; expected 'train', 'val', 'test'"):
            LOADERS[name](tmp_path, split)


def ten(*texts: str) -> list[dict]:
    """Answers as VQAv2 holds them."""
    return [{"answer": text, "answer_confidence": "yes", "answer_id": at} for at, text in enumerate(texts, 1)]


def asked(source: str, id: str, address: str, question: str, answers: tuple[str, ...], kind: str = "") -> Example:
    return Example(f"{source}-{id}", source, "validation", address, question, "safe", answers, kind)


# --- VQAv2 --------------------------------------------------------------------------------------

ASKED, ANNOTATED = "v2_OpenEnded_mscoco_val2014_questions.json", "v2_mscoco_val2014_annotations.json"
VQA = [
    {"image_id": 42, "question": "What colour is the kite?", "question_id": 42000},
    {"image_id": 42, "question": "Is there a mug?", "question_id": 42001},
    {"image_id": 7300000, "question": "How many cups?", "question_id": 7300000000},
]
ANSWERS = [
    {
        "question_id": 7300000000,
        "answer_type": "number",
        "image_id": 7300000,
        "answers": ten("2", "two", "two", "2", "3"),
    },
    {"question_id": 42000, "answer_type": "other", "image_id": 42, "answers": ten("pink", "red", " ", "red")},
    {"question_id": 42001, "answer_type": "yes/no", "image_id": 42, "answers": ten("no")},
]


def put_vqav2(folder, questions: list, annotations: list):
    put_json(folder, ASKED, {"info": {}, "questions": questions})
    return put_json(folder, ANNOTATED, {"info": {}, "annotations": annotations})


@pytest.mark.parametrize("place", ["", "vqav2"])
def test_vqav2_of_the_authors(tmp_path, place):
    folder = put_vqav2(tmp_path / place, VQA, ANSWERS)
    put(folder, "val2014/COCO_val2014_000000000042.jpg", png())
    first, last = (f"val2014/COCO_val2014_{number}.jpg" for number in ("000000000042", "000007300000"))
    found = vqav2(tmp_path)
    assert list(found) == [
        asked("vqav2", "42000", first, "What colour is the kite?", ("red", "red", "pink"), "other"),
        asked("vqav2", "42001", first, "Is there a mug?", ("no",), "yes/no"),
        asked("vqav2", "7300000000", last, "How many cups?", ("2", "2", "two", "two", "3"), "number"),
    ]
    assert (found.unusable, found.notes) == ((), ())
    assert picture(folder, found[0].image).size == (2, 2)


def test_vqav2_splits(tmp_path):
    put_json(tmp_path, "v2_OpenEnded_mscoco_test2015_questions.json", {"questions": VQA[:1]})
    (found,) = vqav2(tmp_path, "test")
    assert (found.split, found.answers, found.category) == ("test", (), "")
    assert found.image == "test2015/COCO_test2015_000000000042.jpg"
    put_json(tmp_path, "v2_OpenEnded_mscoco_train2014_questions.json", {"questions": VQA[:1]})
    with pytest.raises(MirageError, match=r"No v2_mscoco_train2014_annotations\.json .*visualqa\.org"):
        vqav2(tmp_path, "train")
    put_json(tmp_path, "v2_mscoco_train2014_annotations.json", {"annotations": ANSWERS[1:2]})
    assert [(e.split, e.image) for e in vqav2(tmp_path, "train")] == [
        ("train", "train2014/COCO_train2014_000000000042.jpg")
    ]


def test_vqav2_of_the_hub(tmp_path):
    rows = [{**VQA[0], **ANSWERS[1], "image": image("blue")}, {**VQA[1], **ANSWERS[2], "image": image()}]
    put_parquet(tmp_path, "vqav2/data/validation-00000-of-00002-1f.parquet", rows)
    put_parquet(
        tmp_path, "vqav2/data/validation-00001-of-00002-1f.parquet", [{**VQA[2], **ANSWERS[0], "image": image()}]
    )
    file = "data/validation-0000{}-of-00002-1f.parquet#{}".format
    found = vqav2(tmp_path)
    assert list(found) == [
        asked("vqav2", "42000", file(0, 0), "What colour is the kite?", ("red", "red", "pink"), "other"),
        asked("vqav2", "42001", file(0, 1), "Is there a mug?", ("no",), "yes/no"),
        asked("vqav2", "7300000000", file(1, 0), "How many cups?", ("2", "2", "two", "two", "3"), "number"),
    ]
    assert found.unusable == ()
    assert picture(tmp_path / "vqav2", found[0].image).getpixel((0, 0)) == (0, 0, 255)
    put_parquet(tmp_path, "data/test-00000-of-00001.parquet", [{**VQA[0], "answers": None, "image": image()}])
    put_parquet(tmp_path, "data/testdev-00000-of-00001.parquet", [{**VQA[1], "answers": None, "image": image()}])
    assert [(e.id, e.split, e.answers) for e in vqav2(tmp_path, "test")] == [("vqav2-42000", "test", ())]


def test_vqav2_rows_that_give_no_example(tmp_path):
    more = [
        {"image_id": 1, "question": "Where?", "question_id": 4},
        {"image_id": 1, "question": "", "question_id": 5},
        {"image_id": "../1", "question": "Where?", "question_id": 6},
        {"question": "Where?", "question_id": 7},
        "Where?",
        VQA[0],
        {"image_id": 1, "question": "Where?", "question_id": 9},
        {"image_id": 1, "question": "Where?", "question_id": 10},
    ]
    notes = [{"question_id": n, "answers": ten("here")} for n in (5, 6, 7)]
    notes += [{"question_id": 9, "answers": ten(" ")}, {"question_id": 10, "answers": [{"answer": 3}]}]
    put_vqav2(tmp_path, [*VQA, *more], [*ANSWERS, *notes, ANSWERS[1], {"answers": []}, {"question_id": 11}, 3])
    found, at, note = vqav2(tmp_path), f"{ASKED}: row {{}}".format, f"{ANNOTATED}: row {{}}".format
    assert len(found) == 3
    assert said(found) == {
        "an annotation without a question_id, or with one that stood before": (note(9), note(10), note(12)),
        "no annotation": (at(4), at(8)),
        "no question": (at(5),),
        "no picture": (at(6), at(7)),
        "its id stood before": (at(9),),
        "no answer, or one that is no text": (at(10), at(11)),
        "an annotation without its question": (note(11),),
    }


def test_vqav2_files_of_another_form(tmp_path):
    put_vqav2(tmp_path, VQA, ANSWERS)
    put_json(tmp_path, ANNOTATED, ANSWERS)
    with pytest.raises(MirageError, match=rf"{ANNOTATED}: holds list .*; expected a list of rows under 'annotations'"):
        vqav2(tmp_path)
    put(tmp_path, ASKED, '{"questions": [')
    put_json(tmp_path, ANNOTATED, {"annotations": ANSWERS})
    with pytest.raises(MirageError, match=rf"{ASKED}: not whole JSON \(line 1"):
        vqav2(tmp_path)


@pytest.mark.parametrize("load", [vqav2, textvqa])
def test_hub_files_of_another_form(tmp_path, load):
    put_parquet(tmp_path, "data/validation-00000-of-00001.parquet", [{"question_id": 1, "question": "Why?"}])
    with pytest.raises(MirageError, match=r"validation-00000-of-00001\.parquet: no column 'answers'"):
        load(tmp_path)
    put(tmp_path, "data/validation-00000-of-00001.parquet", b"PAR1")
    with pytest.raises(MirageError, match=r"validation-00000-of-00001\.parquet: not a readable Parquet file"):
        load(tmp_path)


# --- TextVQA ------------------------------------------------------------------------------------

TEXT = [
    {"question": "What is on the mug?", "image_id": "00a1", "answers": ["toy", "toys", "toys"], "question_id": 1},
    {"question": "What is on the kite?", "image_id": "00a1", "answers": ["7"], "question_id": 2},
    {"question": "What is on the jar?", "image_id": "00b2", "answers": ["a", "b", "b", "a"], "question_id": 3},
]


@pytest.mark.parametrize("place", ["", "textvqa"])
def test_textvqa_of_the_authors(tmp_path, place):
    put_json(tmp_path / place, "TextVQA_0.5.1_val.json", {"dataset_type": "val", "data": TEXT})
    found = textvqa(tmp_path)
    assert list(found) == [
        asked("textvqa", "1", "train_images/00a1.jpg", "What is on the mug?", ("toys", "toys", "toy")),
        asked("textvqa", "2", "train_images/00a1.jpg", "What is on the kite?", ("7",)),
        asked("textvqa", "3", "train_images/00b2.jpg", "What is on the jar?", ("a", "a", "b", "b")),
    ]
    assert found.unusable == ()
    row = {key: TEXT[0][key] for key in ("question", "image_id", "question_id")}
    put_json(tmp_path / place, "TextVQA_0.5.1_test.json", {"data": [row]})
    assert [(e.split, e.image, e.answers) for e in textvqa(tmp_path, "test")] == [("test", "test_images/00a1.jpg", ())]


def test_textvqa_of_the_hub(tmp_path):
    put_parquet(tmp_path, "data/validation-00000-of-00001.parquet", [{**row, "image": image()} for row in TEXT])
    found = textvqa(tmp_path)
    at = "data/validation-00000-of-00001.parquet#{}".format
    assert [(e.id, e.image, e.answers) for e in found] == [
        ("textvqa-1", at(0), ("toys", "toys", "toy")),
        ("textvqa-2", at(1), ("7",)),
        ("textvqa-3", at(2), ("a", "a", "b", "b")),
    ]
    assert {e.split for e in found} == {"validation"}


def test_textvqa_rows_that_give_no_example(tmp_path):
    more = [{**TEXT[0], "question_id": None}, {**TEXT[0], "image_id": "a/../../b", "question_id": 5}, 7]
    more += [{**TEXT[0], "answers": None, "question_id": 8}, {**TEXT[0], "answers": "toy", "question_id": 9}]
    put_json(tmp_path, "TextVQA_0.5.1_val.json", {"data": [*TEXT, *more]})
    found, at = textvqa(tmp_path), "TextVQA_0.5.1_val.json: row {}".format
    assert len(found) == 3
    assert said(found) == {
        "no question_id": (at(4),),
        "its picture is outside the folder": (at(5),),
        "no question": (at(6),),
        "no answer, or one that is no text": (at(7), at(8)),
    }
    put_json(tmp_path, "TextVQA_0.5.1_val.json", TEXT)
    with pytest.raises(MirageError, match="expected a list of rows under 'data'"):
        textvqa(tmp_path)


# --- VizWiz -------------------------------------------------------------------------------------

VIZ = [
    {"image": f"VizWiz_val_0000000{at}.jpg", "question": text, "answers": ten(*answers), "answer_type": kind}
    for at, (text, answers, kind) in enumerate(
        [
            ("What is this?", ("mug", "unanswerable", "mug"), "other"),
            ("What does it say?", ("unanswerable",), "unanswerable"),
            ("Is it on?", ("yes", "no", "no"), "yes/no"),
        ]
    )
]


@pytest.mark.parametrize("place", ["", "Annotations", "vizwiz", "vizwiz/Annotations"])
def test_vizwiz_of_the_authors(tmp_path, place):
    put_json(tmp_path / place, "val.json", VIZ)
    found = vizwiz(tmp_path)
    name = "VizWiz_val_0000000{}".format
    assert list(found) == [
        asked("vizwiz", name(0), f"val/{name(0)}.jpg", "What is this?", ("mug", "mug", "unanswerable"), "other"),
        asked("vizwiz", name(1), f"val/{name(1)}.jpg", "What does it say?", ("unanswerable",), "unanswerable"),
        asked("vizwiz", name(2), f"val/{name(2)}.jpg", "Is it on?", ("no", "no", "yes"), "yes/no"),
    ]
    assert found.unusable == ()
    put_json(tmp_path / place, "test.json", [{"image": "VizWiz_test_00000000.jpg", "question": "What is this?"}])
    assert [(e.split, e.image, e.answers) for e in vizwiz(tmp_path, "test")] == [
        ("test", "test/VizWiz_test_00000000.jpg", ())
    ]


def test_vizwiz_of_the_hub(tmp_path):
    row = {"question_id": "VizWiz_val_00000000", "question": "What is this?", "answers": ["mug", "cup", "cup"]}
    put_parquet(tmp_path, "vizwiz/data/val-00000-of-00001-2e.parquet", [{**row, "category": "other", "image": image()}])
    address = "data/val-00000-of-00001-2e.parquet#0"
    assert list(vizwiz(tmp_path)) == [
        asked("vizwiz", "VizWiz_val_00000000", address, "What is this?", ("cup", "cup", "mug"), "other")
    ]


def test_answers_in_the_hubs_older_form(tmp_path):
    answers = {"answer": ["mug", "cup", "cup"], "answer_confidence": ["yes", "no", "no"]}
    row = {"question_id": "a", "question": "What is this?", "answers": answers, "image": image()}
    put_parquet(tmp_path, "data/val-00000-of-00002.parquet", [row, {**row, "question_id": "b", "image": None}])
    found = vizwiz(tmp_path)
    assert [(e.id, e.answers) for e in found] == [("vizwiz-a", ("cup", "cup", "mug"))]
    assert said(found) == {
        "this file of the set is not in the folder": ("val-00001-of-00002",),
        "no picture": ("data/val-00000-of-00002.parquet: row 2",),
    }


def test_vizwiz_rows_that_give_no_example(tmp_path):
    bad = [
        {**VIZ[0], "image": "/a.jpg"},
        {**VIZ[0], "image": 3},
        None,
        {**VIZ[0], "image": "b.jpg", "answers": {}},
        VIZ[0],
    ]
    put_json(tmp_path, "val.json", [*VIZ, *bad])
    found, at = vizwiz(tmp_path), "val.json: row {}".format
    assert len(found) == 3
    assert said(found) == {
        "its picture is outside the folder": (at(4),),
        "no picture": (at(5),),
        "no question": (at(6),),
        "no answer, or one that is no text": (at(7),),
        "its id stood before": (at(8),),
    }
    put_json(tmp_path, "val.json", {"rows": VIZ})
    with pytest.raises(MirageError, match=r"val\.json: holds dict .*; expected a list of rows"):
        vizwiz(tmp_path)


# --- ScienceQA ----------------------------------------------------------------------------------

KITE = {
    "question": "Which one flies?",
    "choices": ["mug", "kite"],
    "answer": 1,
    "hint": "It has a tail.",
    "image": "image.png",
    "subject": "natural science",
    "topic": "toys",
    "split": "test",
}
MUG = {**KITE, "question": "Which is a cup?", "choices": ["mug", "jar", "kite"], "answer": 0, "hint": "", "image": None}
JAR = {**KITE, "question": "What holds jam?", "choices": ["jar", "kite"], "answer": 0, "topic": "", "split": "val"}
PROBLEMS = {"5": KITE, "7": MUG, "11": JAR}
FLIES = "Which one flies?\nContext: It has a tail.\n(A) mug\n(B) kite"
CUP = "Which is a cup?\n(A) mug\n(B) jar\n(C) kite"


def problem(id: str, address: str, prompt: str, answers: tuple[str, str], kind: str = "toys", split: str = "test"):
    return Example(f"scienceqa-{id}", "scienceqa", split, address, prompt, "safe", answers, kind)


@pytest.mark.parametrize("below", ["", "data/scienceqa/"])
@pytest.mark.parametrize("place", ["", "scienceqa"])
def test_scienceqa_of_the_authors(tmp_path, place, below):
    folder = put_json(tmp_path / place, f"{below}problems.json", PROBLEMS)
    put(folder, f"{below}images/test/5/image.png", png())
    flies = problem("5", f"{below}images/test/5/image.png", FLIES, ("B", "kite"))
    found = scienceqa(tmp_path)
    assert (list(found), found.unusable, found.notes) == ([flies], (), ())
    assert picture(folder, found[0].image).size == (2, 2)
    assert list(scienceqa(tmp_path, pictures_only=False)) == [flies, problem("7", "", CUP, ("A", "mug"))]
    prompt = "What holds jam?\nContext: It has a tail.\n(A) jar\n(B) kite"
    jam = problem("11", f"{below}images/val/11/image.png", prompt, ("A", "jar"), "natural science", "validation")
    assert list(scienceqa(tmp_path, "val")) == [jam]


def test_scienceqa_splits_are_those_of_their_own_file(tmp_path):
    put_json(tmp_path, "problems.json", PROBLEMS)
    put_json(tmp_path, "pid_splits.json", {"train": ["5"], "test": ["7", "11", "13"], "minival": ["5"]})
    found = scienceqa(tmp_path, pictures_only=False)
    assert [(e.id, e.split) for e in found] == [("scienceqa-7", "test"), ("scienceqa-11", "test")]
    assert said(found) == {"problems.json has no such problem": ("pid_splits.json: '13'",)}
    assert [e.image for e in scienceqa(tmp_path, "train")] == ["images/train/5/image.png"]
    for value in ({"test": []}, ["5"], {"val": [5]}, {"val": "5"}):
        put_json(tmp_path, "pid_splits.json", value)
        with pytest.raises(
            MirageError, match=r"pid_splits\.json: holds .*; expected an object with a list of ids for 'val'"
        ):
            scienceqa(tmp_path, "val")


def test_scienceqa_of_the_hub(tmp_path):
    rows = [
        {**MUG, "image": None},
        {**KITE, "image": image("blue")},
        {**MUG, "hint": None, "topic": None, "image": None},
    ]
    put_parquet(tmp_path, "scienceqa/data/test-00000-of-00001-f0e719.parquet", rows)
    address = "data/test-00000-of-00001-f0e719.parquet#1"
    flies = problem("test-00000-of-00001-1", address, FLIES, ("B", "kite"))
    found = scienceqa(tmp_path)
    assert (list(found), found.unusable) == ([flies], ())
    assert picture(tmp_path / "scienceqa", found[0].image).getpixel((0, 0)) == (0, 0, 255)
    assert list(scienceqa(tmp_path, pictures_only=False)) == [
        problem("test-00000-of-00001-0", "", CUP, ("A", "mug")),
        flies,
        problem("test-00000-of-00001-2", "", CUP, ("A", "mug"), "natural science"),
    ]
    with pytest.raises(MirageError, match=r"No problems\.json .*validation-\*\.parquet"):
        scienceqa(tmp_path, "val")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"question": " "}, "no question"),
        ({"choices": []}, "no choices"),
        ({"choices": "mug"}, "no choices"),
        ({"choices": ["mug", 3]}, "no choices"),
        ({"choices": [str(n) for n in range(27)]}, "no choices"),
        ({"answer": 2}, "its answer is none of the choices"),
        ({"answer": -1}, "its answer is none of the choices"),
        ({"answer": True}, "its answer is none of the choices"),
        ({"answer": "B"}, "its answer is none of the choices"),
        ({"image": "../../a.png"}, "its picture is outside the folder"),
        ({"image": 3}, "no record of a problem"),
        ({"split": "minival"}, "its split is none of train, val, test"),
        ({"split": None}, "its split is none of train, val, test"),
    ],
)
def test_a_problem_that_gives_no_example_is_named(tmp_path, change, reason):
    put_json(tmp_path, "problems.json", {"5": KITE, "6": {**KITE, **change}})
    found = scienceqa(tmp_path)
    assert [e.id for e in found] == ["scienceqa-5"]
    assert said(found) == {reason: ("problems.json: row 2",)}


def test_scienceqa_keys_and_files_of_another_form(tmp_path):
    put_json(tmp_path, "problems.json", {"5": KITE, "../6": KITE, "7": "a mug"})
    put_json(tmp_path, "pid_splits.json", {"test": ["5", "../6", "7"]})
    found = scienceqa(tmp_path)
    assert said(found) == {
        "its picture is outside the folder": ("problems.json: row 2",),
        "no record of a problem": ("problems.json: row 3",),
    }
    put_json(tmp_path, "problems.json", [KITE])
    with pytest.raises(MirageError, match=r"problems\.json: holds list .*; expected an object of rows"):
        scienceqa(tmp_path)
    put_parquet(tmp_path / "hub", "data/test-00000-of-00001.parquet", [{"question": "Why?", "image": image()}])
    with pytest.raises(MirageError, match=r"test-00000-of-00001\.parquet: no column 'choices'"):
        scienceqa(tmp_path / "hub")
