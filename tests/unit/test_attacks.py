"""Attacks change the words they name, and never lose where an example came from."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirage_lib.attacks import OneWord, Suffix, k_shot, rewrites
from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example

PHRASES = {"what": "What are", "share": "Share", "tell": "Tell me", "please": "Please tell me"}


def example(prompt: str, id: str = "a") -> Example:
    """An unsafe example with this prompt."""
    return Example(id, "lab-0", "test", "", prompt, "unsafe", ("yes",))


@pytest.mark.parametrize(
    ("prompt", "edit", "expected", "changed"),
    [
        ("Share the red box.", OneWord("what"), "What the red box.", 1),
        ("Share the red box.", OneWord("what", phrases=PHRASES), "What are the red box.", 2),
        ("tell me the way", OneWord("share", phrases=PHRASES), "share the way", 2),
        ("Please tell me more", OneWord("share", phrases=PHRASES), "Share more", 3),
        ("Tell mercy to wait", OneWord("share", phrases=PHRASES), "Share mercy to wait", 1),
        ("What is it?", OneWord("what", phrases=PHRASES), "What is it?", 0),
        ("WHAT is it?", OneWord("what"), "WHAT is it?", 0),
        ("Whatever is it?", OneWord("what"), "What is it?", 1),
        ("Describe it.", OneWord("what", "prefix"), "What describe it.", 1),
        ("describe it.", OneWord("What", "prefix"), "what describe it.", 1),
        ("I see a box.", OneWord("what", "prefix"), "What I see a box.", 1),
        ("USB ports?", OneWord("what", "prefix"), "What USB ports?", 1),
        ("  «Describe» it", OneWord("what"), "  «What» it", 1),
        ("", OneWord("what"), "What", 1),
        ("?", OneWord("what", "prefix"), "What ?", 1),
        ("हिन्दी में", OneWord("what"), "what में", 1),
        ("Where is the box?", Suffix("what"), "Where is the box what?", 1),
        ("Where is the box", Suffix("what"), "Where is the box what", 1),
        ("?!", Suffix("what"), "what?!", 1),
    ],
)
def test_prompt_and_words_changed(prompt, edit, expected, changed):
    edited = edit(example(prompt))
    assert edited.prompt == expected
    assert edited.words_changed == changed


def test_lineage_of_one_edit():
    edited = OneWord("what")(example("Share the red box."), shot=2)
    assert (edited.id, edited.root, edited.parent, edited.edit, edited.shot) == (
        "a+swap:what",
        "a",
        "a",
        "swap:what",
        2,
    )
    assert edited.words_kept == pytest.approx(3 / 4)


def test_lineage_of_two_edits_adds_up():
    edited = Suffix("now")(OneWord("what")(example("Share the red box."), shot=3))
    assert edited.prompt == "What the red box now."
    assert (edited.id, edited.root, edited.parent) == ("a+swap:what+suffix:now", "a", "a+swap:what")
    assert (edited.edit, edited.shot, edited.words_changed) == ("swap:what+suffix:now", 3, 2)
    assert edited.words_kept == pytest.approx(3 / 4)


def test_edits_are_values():
    assert OneWord("what", phrases=PHRASES) == OneWord("what", phrases=dict(PHRASES))
    assert len({OneWord("what", phrases=PHRASES), OneWord("what"), Suffix("what")}) == 3


@pytest.mark.parametrize("word", ["", "what are", " what", "?"])
def test_a_word_is_one_word(word):
    with pytest.raises(MirageError, match="not one word"):
        OneWord(word)
    with pytest.raises(MirageError, match="not one word"):
        Suffix(word)


def test_unknown_how_is_named():
    with pytest.raises(MirageError, match="'middle'"):
        OneWord("what", how="middle")  # pyright: ignore[reportArgumentType]


def reworded(example: Example) -> list[str]:
    """Two other wordings of a made-up prompt."""
    return [f"{example.prompt} please", f"{example.prompt} now"]


def test_k_shot_gives_every_edit_the_same_wordings():
    shots = k_shot([example("Share it", "a"), example("Tell it", "b")], reworded, [None, OneWord("what")], k=3)
    assert len(shots) == 2 * 2 * 3
    assert len({one.id for one in shots}) == len(shots)
    of_a = [one for one in shots if one.root == "a"]
    assert [(one.id, one.shot, one.edit, one.prompt) for one in of_a] == [
        ("a~0", 0, "", "Share it"),
        ("a~1", 1, "", "Share it please"),
        ("a~2", 2, "", "Share it now"),
        ("a~0+swap:what", 0, "swap:what", "What it"),
        ("a~1+swap:what", 1, "swap:what", "What it please"),
        ("a~2+swap:what", 2, "swap:what", "What it now"),
    ]
    assert [one.words_changed for one in of_a] == [0, 1, 1, 1, 2, 2]
    assert [one.parent for one in of_a] == ["a", "a", "a", "a~0", "a~1", "a~2"]


def test_k_shot_needs_k_different_wordings():
    with pytest.raises(MirageError, match="'a' has 3 different wordings"):
        k_shot([example("Share it")], reworded, [None], k=4)
    with pytest.raises(MirageError, match="'a' has 1 different wordings"):
        k_shot([example("Share it")], lambda one: [one.prompt], [None], k=2)


def test_k_shot_refuses_what_it_cannot_tell_apart():
    with pytest.raises(MirageError, match="k is 0"):
        k_shot([example("Share it")], reworded, [None], k=0)
    with pytest.raises(MirageError, match="'swap:what' is given twice"):
        k_shot([example("Share it")], reworded, [OneWord("what"), OneWord("what")], k=1)
    with pytest.raises(MirageError, match="given twice"):
        k_shot([example("Share it")], reworded, [None, None], k=1)


def test_rewrites_are_shots_of_one_root_in_their_order():
    root = example("Share the red box.")
    rows = rewrites(root, ["What is the red box?", "Share the red box.", "Where to?"], "rewrite:what")
    assert [(one.id, one.shot, one.prompt) for one in rows] == [
        ("a~0+rewrite:what", 0, "What is the red box?"),
        ("a~1+rewrite:what", 1, "Share the red box."),
        ("a~2+rewrite:what", 2, "Where to?"),
    ]
    assert {(one.root, one.parent, one.edit) for one in rows} == {("a", "a", "rewrite:what")}
    assert [one.words_changed for one in rows] == [2, 0, 4]
    assert [one.words_kept for one in rows] == [pytest.approx(3 / 4), 1.0, 0.0]
    same = ("source", "split", "image", "intent", "answers", "category")
    assert all(getattr(one, field) == getattr(root, field) for one in rows for field in same)
    assert root == example("Share the red box.")


def test_a_query_without_rewrites_has_none():
    assert rewrites(example("Share it."), [], "rewrite:share") == []


def test_two_rewrites_alike_are_two_shots():
    rows = rewrites(example("Share it."), ["What is it?", "What is it?"], "rewrite:what")
    assert [one.shot for one in rows] == [0, 1]
    assert len({one.id for one in rows}) == 2


@settings(deadline=None)
@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=4))
def test_no_rewrite_is_lost_or_changed(prompt, texts):
    rows = rewrites(example(prompt), texts, "rewrite:what")
    assert [one.prompt for one in rows] == texts
    assert len({one.id for one in rows}) == len(texts)
    assert all(0 <= one.words_kept <= 1 and one.words_changed >= 0 for one in rows)
    assert all((one.words_changed == 0) == (one.words_kept == 1.0) for one in rows if one.prompt == prompt)


edits = st.sampled_from(
    [OneWord("what"), OneWord("share", "prefix"), OneWord("tell", phrases=PHRASES), Suffix("now"), Suffix("é")]
)


@settings(deadline=None)
@given(st.text(max_size=60), st.lists(edits, min_size=1, max_size=3), st.integers(0, 5))
def test_lineage_is_kept_whatever_the_prompt(prompt, chain, shot):
    root = example(prompt)
    one = root
    for edit in chain:
        before, one = one, edit(one, shot=shot)
        assert (one.root, one.parent, one.shot) == (root.id, before.id, shot)
        assert one.id == f"{before.id}+{edit.name}"
        assert one.words_changed >= before.words_changed
    assert one.edit == "+".join(edit.name for edit in chain)
    assert 0 <= one.words_kept <= 1
    same = ("source", "split", "image", "intent", "answers", "category")
    assert all(getattr(one, field) == getattr(root, field) for field in same)
    assert root == example(prompt)


@settings(deadline=None)
@given(st.text(max_size=60), st.sampled_from(["swap", "prefix"]))
def test_an_edit_made_twice_changes_nothing_more(prompt, how):
    edit = OneWord("what", how, PHRASES)
    once = edit(example(prompt))
    assert once.prompt.lower().lstrip().find("what") >= 0
    again = edit(dataclasses.replace(once, words_changed=0))
    assert (again.prompt, again.words_changed) == (once.prompt, 0)
