"""The labels that a verdict can give a reply, by the intent of the request."""

from __future__ import annotations

LABELS = {
    "unsafe": ("complied", "refused", "irrelevant", "garbled", "unscored"),
    "safe": ("correct", "wrong", "answered", "refused", "garbled", "unscored"),
}
