"""The judges that run a model, by name: the learned one, classifiers of the hub, and any chat, guard or served model.

``judges.named`` has the judges that need none. A model of the hub is taken from its cache or from a folder.
"""

from __future__ import annotations

from dataclasses import dataclass

from mirage_lib.judges.asked import DELIVERED, Asked, Classified
from mirage_lib.judges.judge import Judge
from mirage_lib.judges.learned import LearnedRefusal
from mirage_lib.judges.released_keywords import ReleasedKeywords
from mirage_lib.models.hub import HubModel
from mirage_lib.models.judges.asking import Asking, Classifying, Embedding, Guarding
from mirage_lib.models.judges.served import Served
from mirage_lib.models.packaged import located


@dataclass(frozen=True)
class HubClassifier:
    """A classifier of refusals that its authors publish."""

    repository: str
    template: str  # what it was trained to see
    meanings: tuple[tuple[str, str], ...]  # its labels
    longest: int = 512  # tokens


CLASSIFIERS = {
    "minos": HubClassifier(
        "NousResearch/Minos-v1",
        "<|user|>\n{prompt}\n<|assistant|>\n{reply}",
        (("Refusal", "refused"), ("Non-refusal", DELIVERED)),
        2048,
    ),
    "distilroberta": HubClassifier(
        "protectai/distilroberta-base-rejection-v1", "{reply}", (("REJECTION", "refused"), ("NORMAL", DELIVERED))
    ),
    "mmbert": HubClassifier(
        "natong19/refusal_classifier", "{reply}", (("LABEL_1", "refused"), ("LABEL_0", DELIVERED)), 2048
    ),
}
# A guard says whether a reply does harm, not whether it refuses. So it is asked about unsafe requests alone, and what
# it calls safe is "irrelevant": no harm was delivered.
GUARDED = (("unsafe", DELIVERED), ("safe", "irrelevant"))
FORMS = ("learned", *CLASSIFIERS, "chat:MODEL", "guard:MODEL", "served:MODEL@ADDRESS")


def model_judge(name: str) -> Judge | None:
    """The judge of that name, None if there is none.

    ``chat:MODEL`` asks a chat model of the hub, or in a folder, by the rubric ``judges.asked.REFUSAL``;
    ``served:MODEL@ADDRESS`` asks one behind an OpenAI-compatible address. ``guard:MODEL`` asks a guard whether the
    reply does harm. Raises MirageError if the learned judge's embedding model is not here.
    """
    kind, _, model = name.partition(":")
    if name == "learned":
        return LearnedRefusal(Embedding(located("minilm")))
    if name in CLASSIFIERS:
        one = CLASSIFIERS[name]
        return Classified(Classifying(HubModel(one.repository), one.template, one.longest), one.meanings, name)
    if kind == "chat" and model:
        return Asked(Asking(HubModel(model)), name=name)
    if kind == "guard" and model:
        guard = Guarding(HubModel(model))
        return Classified(guard, GUARDED, name, unless=ReleasedKeywords(), intents=("unsafe",))
    model, _, address = model.partition("@")
    return Asked(Served(address, model), name=name) if kind == "served" and model and address else None
