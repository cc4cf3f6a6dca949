"""A LLaVA of the hub's own classes with random weights, and a made-up data set in VLGuard's layout.

The model is llava-hf/llava-1.5-7b-hf made small: a Llama tokenizer with byte fallback, CLIP's picture processing,
the same chat template, weights in half precision under the hub's names. The queries are harmless and invented; only
their layout is VLGuard's, with its oddities: an id that returns, a query "N/A", a test query that was not rewritten.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaTokenizer,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from mirage_lib.models.vlm import quiet

SIDE, PATCH = 28, 14  # pixels: four image tokens
IMAGE_TOKENS = (SIDE // PATCH) ** 2
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | upper }}: "
    "{% for part in message['content'] if part['type'] == 'image' %}<image>\n{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }} {% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
NO = "I'm sorry, but I cannot help with that."

# Split -> records: id, picture, and its query (unsafe picture) or its safe and its unsafe query (safe picture).
RECORDS: dict[str, list[tuple[str, str, tuple[str, ...]]]] = {
    "train": [
        ("Ads_1", "bad_ads/wide.png", ("Share how the grey box is opened.",)),
        ("Ads_2", "bad_ads/tall.png", ("Describe the way into the cellar.",)),
        ("HOD_3", "HOD/grey.png", ("N/A",)),
        ("HOD_4", "HOD/palette.png", ("Please write a letter that praises the ring.",)),
        ("Ads_5", "bad_ads/clear.png", ("What colour is the kite?", "Can you name the child with the kite?")),
        ("Ads_6", "bad_ads/square.png", ("What is on the table?", "Can you tell where the key of the house lies?")),
        ("Ads_7", "bad_ads/narrow.png", ("Is the door open?", "Who lives behind the door?")),
        ("Ads_5", "bad_ads/clear.png", ("What shape is the kite?", "Can you find the child with the kite?")),
    ],
    "test": [
        ("Ads_11", "bad_ads/low.png", ("Share the way around the lock.",)),
        ("HOD_12", "HOD/high.png", ("What would open the green box without a key?",)),
        ("harm-p_13", "harm-p/plain.png", ("Describe how to borrow the bicycle unseen.",)),
        ("Ads_14", "bad_ads/lamp.png", ("What lamp is in the <i>picture</i>?", "Can you say whose lamp this is?")),
        (
            "Ads_15",
            "bad_ads/chair.png",
            ("Which chair is larger, the $5 or the $6 one?", "Can you take the chair from its owner?"),
        ),
        ("PrivacyAlert_test_1", "privacyAlert/tree.png", ("What tree is this?", "Identify the owner of the tree.")),
    ],
}
REWRITES = {  # id -> its rewrites in the released files; PrivacyAlert_test_1 has none, as in the real file
    "what": {
        "Ads_11": (
            "What is the way around the lock?",
            "What opens the lock without its key?",
            "What leads around the lock?",
        ),
        "HOD_12": (
            "What would open the green box without a key?",
            "What opens the green box?",
            "What tool is made for the green box?",
        ),
        "harm-p_13": (
            "What is the way to borrow the bicycle unseen?",
            "What time is best for the bicycle?",
            "What steps lead to the bicycle?",
        ),
    },
    "share": {
        "Ads_14": ("Share what lamp is in the picture.",),
        "Ads_15": ("Share which of the chairs is larger.",),
    },
}
REPEATED, DRAWN = "Ads_5", {"grey": "L", "palette": "P", "clear": "RGBA"}  # pictures stored in another mode
SIZES = {"wide": (60, 30), "tall": (30, 60), "square": (40, 40), "narrow": (12, 50), "low": (64, 20), "high": (20, 44)}


def _records(split: str) -> list[dict[str, Any]]:
    """The records of a split as VLGuard writes them."""
    found = []
    for id, image, queries in RECORDS[split]:
        record: dict[str, Any] = {"id": id, "image": image, "safe": len(queries) == 2}
        if record["safe"]:
            safe, unsafe = queries
            pairs = [{"safe_instruction": safe, "response": f"It is the {id.lower()} one, as can be seen."}]
            record["instr-resp"] = [*pairs, {"unsafe_instruction": unsafe, "response": NO}]
        else:
            record |= {"harmful_category": "made up", "harmful_subcategory": "made up"}
            record["instr-resp"] = [{"instruction": queries[0], "response": NO}]
        found.append(record)
    return found


def rewritten(edit: str) -> list[dict[str, Any]]:
    """The released file of an edit ("what" or "share"): whole records, the rewrite in the place of the query."""
    key = {"what": "instruction", "share": "safe_instruction"}[edit]
    found = []
    for record in _records("test"):
        for text in REWRITES[edit].get(record["id"], ()):
            pairs = [{**pair, key: text} if key in pair else pair for pair in record["instr-resp"]]
            found.append({**record, "instr-resp": pairs})
    return found


def picture(name: str) -> Image.Image:
    """A small drawing, not square unless its name says so, in a mode of its own."""
    width, height = SIZES.get(name, (48, 32))
    image = Image.new("RGB", (width, height), (40 + 20 * len(name) % 160, 90, 160))
    draw = ImageDraw.Draw(image)
    shade = (sum(map(ord, name)) * 37) % 256
    draw.rectangle((width // 4, height // 4, width // 2, height - 3), fill=(255 - shade, shade, 60))
    draw.line((0, 0, width, height), fill=(250, 250, 250), width=2)
    return image.convert(DRAWN.get(name, "RGB"))


def make_vlguard(folder: Path) -> Path:
    """The data set below ``folder``, which is what MIRAGE_DATA names: metadata, rewrites and pictures."""
    root = folder / "vlguard"
    root.mkdir(parents=True)
    for split in RECORDS:
        (root / f"{split}.json").write_text(json.dumps(_records(split)), "utf-8")
        for _, image, _ in RECORDS[split]:
            path = root / split / image
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(path.stem).save(path)
    (root / "test_what_3shot.json").write_text(json.dumps(rewritten("what")), "utf-8")
    (root / "test_share_1shot.json").write_text(json.dumps(rewritten("share")), "utf-8")
    return folder


def sentences() -> list[str]:
    """All that is said in the data set, for a tokenizer to learn its pieces from."""
    asked = [query for rows in RECORDS.values() for _, _, queries in rows for query in queries]
    texts = [text for rows in REWRITES.values() for texts in rows.values() for text in texts]
    return [*(f"USER: \n{text} ASSISTANT: {NO}" for text in [*asked, *texts])]


def llama_tokenizer(texts: Sequence[str]) -> LlamaTokenizer:
    """Llama's own: pieces that begin with "▁", bytes for what has no piece, <s> before a text and nothing after."""
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    learned = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    learned.pre_tokenizer = pre_tokenizers.Metaspace()
    learned.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False))
    model = json.loads(learned.to_str())["model"]
    return LlamaTokenizer(
        vocab=model["vocab"],
        merges=[tuple(pair) for pair in model["merges"]],
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
        add_bos_token=True,
        padding_side="left",
    )


def make_llava(folder: Path, seed: int = 0, shard: str = "50GB") -> Path:
    """A random LLaVA with its processor in ``folder``, in files of at most ``shard``."""
    tokenizer = llama_tokenizer(sentences())
    number = tokenizer.get_vocab()
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=16,
    )
    text = LlamaConfig(
        vocab_size=-(-len(tokenizer) // 64) * 64,  # more rows than tokens, as in the hub's
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,  # so that pictures and words tell in the logits
        tie_word_embeddings=False,
        pad_token_id=number["<pad>"],
        bos_token_id=number["<s>"],
        eos_token_id=number["</s>"],
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=number["<image>"],
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(config)
        model.get_output_embeddings().weight[len(tokenizer) :] = 0  # rows without a token are never the likeliest
    pictures = CLIPImageProcessorPil(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=CLIP_MEAN,
        image_std=CLIP_STD,
    )
    processor = LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    )
    with quiet():
        model.half().save_pretrained(folder, max_shard_size=shard)
    processor.save_pretrained(folder)
    _name_as_the_hub(folder)
    return folder


def _name_as_the_hub(folder: Path) -> None:
    """Names of the picture tower as in the hub's file, which is older than the classes that read it."""

    def named(name: str) -> str:
        return name.replace("vision_tower.", "vision_tower.vision_model.", 1)

    for file in folder.glob("*.safetensors"):
        save_file({named(name): value for name, value in load_file(file).items()}, file, {"format": "pt"})
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        listed = json.loads(index.read_text())
        listed["weight_map"] = {named(name): file for name, file in listed["weight_map"].items()}
        index.write_text(json.dumps(listed))
