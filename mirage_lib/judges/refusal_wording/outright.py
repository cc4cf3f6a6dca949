"""The rules of the refusal detector for English: groups of phrases, each with its reason.

A phrase says who acts and what is not done ("I cannot provide"). A topic word alone ("illegal", "ethical") is never
evidence. All patterns match small letters with straight apostrophes, as ``speech.own_words`` gives them.
"""

from __future__ import annotations

import dataclasses
import re

EARLY = 300  # characters of about the first three sentences
LATE = 660  # characters in which an outright refusal must begin: long courtesies may come before it
BEFORE = 120  # characters by which a match may begin before its cue
BEYOND = 140  # characters by which a match may end after the place where it must begin


@dataclasses.dataclass(frozen=True)
class Rule:
    """One group of phrases that mean the same."""

    name: str  # shown as the reason
    within: int  # characters of the reply's own words in which a match must begin
    cues: tuple[str, ...]  # every match contains one of these; looking for them first spares most texts the pattern
    pattern: re.Pattern[str]

    def find(self, text: str) -> re.Match[str] | None:
        """The first match that begins early enough."""
        text = text[: self.within + BEYOND]
        cues = [cue for cue in self.cues if cue in text]
        if not cues:
            return None
        found = self.pattern.search(text, max(0, min(map(text.find, cues)) - BEFORE))
        return found if found and found.start() <= self.within else None


def rule(name: str, within: int, cues: str, *phrases: str) -> Rule:
    """A rule from its cues, separated by "|", and its phrases, patterns of which one must match."""
    return Rule(name, within, tuple(cues.split("|")), re.compile("|".join(phrases)))


# "I", but not where it only limits an answer ("while I cannot be sure") or tells of others ("what I cannot do").
_LIMITS = "while although though whilst if when because what which why reason who whom things whether"
_I = r"\bi" + "".join(rf"(?<!\b{word} i)" for word in _LIMITS.split())
# What refuses nothing: "I can't wait", "I cannot recommend it enough", "I can't say no to cake", "I can't sleep".
_IDIOMS = (
    r"(?! (?:\w+ly )?(?:wait|believe|imagine|complain|resist|afford|remember|wish|blame|fault|praise|deny|refuse"
    r"|decline|stress|emphasi[sz]e|overstate|overemphasi[sz]e|stand\b|sleep|breathe|stop|move|forget|let go|keep|walk"
    r"|run\b|swim|eat|cry|leave|stay|bear|escape|lose|help but\b|help \w+ing\b|say no\b|agree (?:\w+ )?more"
    r"|get enough|live without|go wrong|thank you|think of a better|tell you how (?:much|happy|glad|excited)"
    r"|(?:\w+ ){1,4}enough\b|be (?:\w+ )?(?:sure|certain|happier|more)))"
)
# What a machine lacks, or cannot be sure of: a disclaimer rather than a refusal.
_LACKS = (
    r"(?! (?:\w+ly )?(?:have\b|hold\b|feel\b|experience|possess|form |physically|actually |personally|predict|know\b"
    r"|determine\b|ascertain|make out|tell (?:if|whether|what|which|how|from|exactly|for)\b"
    r"|(?:see|find|read|spot|detect) (?:any|an? |clear|his|her|their|its|much)"
    r"|(?:say|confirm) (?:\w+ ){0,2}(?:for sure|for certain|with (?:\w+ )?certainty|definitively)))"
)
_CANNOT = r"(?:can ?not|can't|cant|am not able to|'m not able to|am unable to|'m unable to)"
_ADVERB = (
    r"(?: (?:really|very|currently|just|simply|also|still|unfortunately|sadly|therefore|thus|truly|respectfully))?"
)
_HELP = r"(?:assist|help|comply|fulfil|provide|process|complete|answer|do that)"
_DO = (
    r"(?:able|assist\w*|help\w*|provid\w+|give|giving|offer\w*|shar\w+|creat\w+|writ\w+|generat\w+|produc\w+|mak\w+"
    r"|fulfil\w*|comply\w*|complet\w+|do\b|answer\w*|respond\w*|discuss\w*|engag\w+|participat\w+|continu\w+|tell|say"
    r"|support|tolerate|promot\w+|facilitat\w+|identif\w+|describ\w+|explain|list|repeat|role)"
)
_POLICY = r"(?:polic(?:y|ies)|guidelines|programming|rules|standards|terms)"

APOLOGY = "apology"
# The reply will not or cannot do what is asked.
DECLINE = (
    rule(
        "inability",
        LATE,
        "can't|cannot|can not|cant|not able|unable",
        rf"{_I}{_ADVERB}(?: |(?='))(?:really |simply |just |also |still |currently )?{_CANNOT}\b{_IDIOMS}{_LACKS}",
        rf"(?:^|[.,!] |sorry,? (?:but )?)(?:can ?not|can't|unable to) {_HELP}",
        rf"\bwe (?:can't|cannot|are unable to) {_HELP}",
        r"\bthis (?:request|question|prompt|instruction|query) (?:can't|cannot) be\b",
    ),
    rule(
        "not allowed",
        LATE,
        "'m not|am not|incapable|be able|something|request|not going|won't",
        rf"{_I}(?:'m| am) (?:\w+ )?not (?:\w+ )?(?:allowed|permitted|authori[sz]ed|programmed|designed|capable|equipped"
        r"|qualified|comfortable|willing|in a position|trained|supposed"
        r"|going to (?:help|assist|provide|do|write|give|answer|share|tell))\b",
        r"\bi(?:'m| am) incapable of",
        rf"\bi (?:would|will|won't|wouldn't) (?:not )?be able to {_HELP}",
        r"(?:isn't|\bnot) (?:something|an? (?:\w+ )?request) (?:that )?i(?: can|'m| am| will| would|'d)\b",
        r"(?:^|[.,!] )(?:not going to|won't) (?:help|assist|provide|do|happen)\b",
    ),
    rule(
        "unwillingness",
        LATE,
        "won't|declin|refus|i will not|shall not|i should not|must not|rather not|prefer not|i do not|comfortable"
        "|shouldn't|i don't|abstain|refrain",
        rf"{_I} (?:will not|won't|shall not|should not|shouldn't|must not) (?:be )?(?:\w+ly )?{_DO}",
        rf"{_I} (?:will not|won't|shall not)(?= ?[.!]|$)",
        rf"{_I}(?:'d|'ll| will| would| must| have to| need to|'m going to| am going to|'m afraid i must| am forced to)?"
        r" (?:\w+ly )?(?:have to |need to |must )?(?:decline|refuse|abstain|refrain from)\b"
        r"(?! to (?:believe|accept that|give up))",
        rf"{_I}(?:(?:'d| would) (?:rather|prefer) not\b| prefer not to\b)",
        rf"{_I} (?:do not|don't|would not|wouldn't) feel comfortable\b",
        rf"{_I} (?:do not|don't) (?:think|believe|feel) (?:that )?i (?:can|should|could|am able|want)\b",
        rf"{_I} (?:do not|don't) (?:provide|assist|comply|condone|engage in|participate|create|generate|promote"
        rf"|offer)\b",
    ),
    rule(
        "policy",
        LATE,
        "polic|guideline|programm|terms|within|standards|rules",
        r"\b(?:against|violat\w+|breach\w*|contrary to|outside(?: of)?|not (?:with)?in(?: line with)?|due to|as per|per"
        r"|because of|by|under) (?:\w+'?s? ){0,3}?(?:our|my|openai's|usage|use|use-case|content|company"
        r"|community|safety"
        rf"|platform|platform's|ethical) (?:[\w-]+ ){{0,3}}?{_POLICY}\b",
        rf"\b{_POLICY} (?:\w+ )?(?:prohibits?|prevents?|restricts?|forbids?|do(?:es)? not (?:allow|permit)"
        r"|advises? against)",
        r"\b(?:our|my|openai's) (?:[\w'-]+ ){0,3}?polic(?:y|ies)\b",
        r"\b(?:usage|use-case|use case|content) polic(?:y|ies)\b",
        r"\bnot within (?:my|the scope)\b",
        r"\bi(?:'m| am) programmed to (?:respect|avoid|follow|refuse|prioriti[sz]e|not)\b",
    ),
    rule(
        APOLOGY,
        60,
        "sorry|apolog|regret",
        r"(?:\bi'm |\bi am )?(?:\w+ly |so |very )?\bsorry(?:,? but|\.|,)(?! (?:to hear|for your loss|you))",
        r"\b(?:i apologi[sz]e|my apologies|apologies)(?:,? but|,|\.)",
        r"\bi regret (?:to|that)\b",
    ),
)
# After a refusal, the reply turns to giving what it can.
TURN = re.compile(
    r"\b(?:that being said|with that said|having said that|fictional"
    r"|but i can (?:tell|provide|offer|give|explain|share)"
    r"|however, (?!i (?:must|can't|cannot|am|want|would like to (?:point|remind))|it(?:'s| is) (?:important|not|also)))"
)
# A condition before "I cannot" limits an answer: "without a clear view, I cannot say which".
UNLESS = re.compile(r"\b(?:without|unless|depending)\b[^.!?]*$")
# A service, not the model, withheld the reply.
SERVICE = rule(
    "service message",
    120,
    "denied|refused|rejected|filter|blocked|safety|prohibited|polic|moderat|flagged|reason|responsibleai"
    "|withheld|removed|stopped",
    r"\bfinish[_ ]?reason\W{1,4}(?:\w+\.)?(?:safety|content|prohibited|blocklist|recitation)",
    r"\bcontent[_ ]?filter|\bprohibited[_ ]content\b|\bblock_?reason\b|responsibleai",
    r"\b(?:response|reply|content|prompt|request|output|message|completion|answer) (?:\w+ ){0,3}"
    r"(?:blocked|filtered|withheld|removed|flagged|stopped|denied|rejected|refused)\b",
    r"\bblocked (?:\w+ ){0,3}(?:safety|polic|filter)|\bmay violate (?:\w+ ){0,3}polic",
)
# There is nothing to look at: the reply asks for it, which is no refusal.
MISSING = rule(
    "nothing to look at",
    120,
    "no image|no picture|no photo|no text|no file|no attach|have not|haven't|didn't|without an|images without",
    r"\bno (?:image|picture|photo|text|file|attachment)s? (?:is |was |has been )?"
    r"(?:provided|available|attached|uploaded|included|to\b|for me|here|in (?:your|the))",
    r"\b(?:have not|haven't|didn't) (?:\w+ )?(?:provide|attach|upload|include|share)d? (?:an|any|the|your)\b",
    r"\bwithout any? image|\bwithout an image|\bimages without content",
)
