"""Models that judges ask: real loading code on tiny models of the hub's own classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from text_fixture import make_text_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.models.hub import HubModel
from mirage_lib.models.judges.asking import Asking, Classifying, Embedding, Guarding

WORDS = ("share", "what", "lock", "tree", "sorry", "cannot", "user", "reply")


def make_bert(folder: Path, kind: type, **more: object) -> Path:
    """A BERT with one layer, in the hub's format."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*special, *WORDS])}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    config = BertConfig(
        vocab_size=12, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, **more
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kind(config).save_pretrained(folder)
    return folder


def test_embeddings_are_means_of_length_one_in_the_order_of_the_texts(tmp_path: Path):
    folder = make_bert(tmp_path / "e", BertModel)
    embed = Embedding(folder)
    texts = ["share what lock tree sorry", "lock", "what tree"] * 12
    rows = embed(texts)
    assert rows.shape == (36, 8)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    alone = np.concatenate([embed([text]) for text in texts[:3]])
    np.testing.assert_allclose(rows[:3], alone, atol=1e-5, err_msg="padding changes nothing")
    ids = torch.tensor([[6, 7]])  # "lock tree"
    model = BertModel.from_pretrained(folder).eval()
    with torch.no_grad():
        mean = model(input_ids=ids).last_hidden_state[0].mean(0)
    np.testing.assert_allclose(embed(["lock tree"])[0], (mean / mean.norm()).numpy(), atol=1e-5)
    assert embed([]).shape == (0, 8)


def test_a_long_text_is_cut(tmp_path: Path):
    embed = Embedding(make_bert(tmp_path / "e", BertModel), longest=2)
    np.testing.assert_allclose(embed(["lock tree sorry"]), embed(["lock tree"]), atol=1e-6)


def test_a_classifier_gives_its_likeliest_label(tmp_path: Path):
    names = {"id2label": {0: "NORMAL", 1: "REJECTION"}, "label2id": {"NORMAL": 0, "REJECTION": 1}}
    folder = make_bert(tmp_path / "c", BertForSequenceClassification, **names)
    classify = Classifying(HubModel(str(folder)), "user {prompt} reply {reply}")
    pairs = [("what lock", "sorry"), ("share", "tree tree tree"), ("{reply}", "lock")]
    found = classify(pairs)
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        share = model(input_ids=torch.tensor([[10, 5, 6, 11, 8]])).logits.softmax(-1)[0]  # the first pair
    assert found[0][0] == ("NORMAL", "REJECTION")[int(share.argmax())]
    assert found[0][1] == pytest.approx(float(share.max()), abs=1e-5)
    assert len(found) == 3
    assert all(0.5 <= score <= 1 for _, score in found)


def test_a_chat_model_and_a_guard_answer(tmp_path: Path):
    model = HubModel(str(make_text_model(tmp_path / "chat")))
    question = Example("q", "judge", "test", "", "what is the lock", "safe", ("",))
    (reply,) = Asking(model)([question])
    assert reply.example_id == "q"
    assert not reply.error
    assert reply.n_tokens <= 8
    guard = Guarding(model, max_new_tokens=3)([("share the lock", "sorry i cannot"), ("what is this", "a tree")])
    assert len(guard) == 2
    assert all(len(label.split()) <= 3 and score == 1 for label, score in guard)


def test_a_folder_without_a_model_is_named(tmp_path: Path):
    with pytest.raises(MirageError, match=r"no config\.json.*Fetch it again"):
        Embedding(tmp_path)(["lock"])
