"""Which replies are not English, and how refusals read in ten other languages.

The rules for English say nothing about other languages. A short table finds the usual refusals of ten of them; any
other reply that is not English cannot be judged.
"""

from __future__ import annotations

import re

FOREIGN = 0.3  # share of letters outside the Latin alphabet from which a text is not English
SHORT = 6  # words up to which a greeting or a yes in another language decides

# Refusals as models word them: an apology, or an inability or a refusal to help, in the first person.
REFUSALS = {
    "Spanish": r"\blo siento\b|\bno puedo (?:ayudar|asist|proporcion|cumplir|responder|ofrecer|hacer|dar"
    r"|realizar|gener)"
    r"|\bno me es posible\b|\bno estoy (?:autorizad|en condiciones)|\bme niego a\b|\bno podr[eé] ayudar",
    "French": r"\b(?:je suis|suis) (?:vraiment )?d[eé]sol[eé]e?\b|^d[eé]sol[eé]e?\b|\bje ne (?:peux|puis) (?:pas )?"
    r"(?:vous |t')?(?:aider|r[eé]pondre|fournir|donner|faire|satisfaire|assister|r[eé]aliser)|\bje refuse de\b"
    r"|\bje ne suis pas en mesure\b",
    "German": r"\bes tut mir leid\b|^(?:tut mir leid|entschuldigung)\b|\b(?:das|dabei|damit|dir"
    r"|ihnen) kann ich (?:dir |ihnen )?"
    r"(?:leider )?nicht|\bich kann (?:\w+ ){0,4}(?:nicht|keine)\b|\bich darf (?:\w+ ){0,4}nicht\b"
    r"|\bich bin nicht in der lage\b"
    r"|\bleider kann ich\b",
    "Italian": r"\bmi (?:dispiace|spiace)\b|\bnon posso (?:aiutar|assist|forn|risponder|soddisf|fare|dare|esaud)"
    r"|\bnon sono in grado\b|\bmi rifiuto di\b",
    "Portuguese": r"\b(?:sinto muito|lamento|desculpe|me desculpe)\b|\bn[aã]o posso (?:ajudar|auxiliar|fornecer"
    r"|atender|"
    r"responder|fazer|ajud|cumprir)|\bn[aã]o consigo ajudar\b|\brecuso-me a\b|\bn[aã]o estou autorizad",
    "Chinese": r"抱歉|对不起|對不起|很遗憾|很遺憾|我(?:无法|無法|不能|不會|不会)(?:为|為|提供|协助|協助|帮|幫|回答"
    r"|满足|滿足|完成|继续)",
    "Japanese": r"申し訳(?:ありません|ございません)|すみませんが|ごめんなさい|お(?:手伝い|答え|応え)(?:は"
    r"|することは)?でき(?:ません|かねます)"
    r"|提供(?:は|することは)?できません|対応(?:は)?でき(?:ません|かねます)",
    "Korean": r"죄송(?:합니다|하지만|해요)|미안(?:합니다|하지만)|도와\s?드릴 수 (?:없|가 없)|제공(?:해 드릴"
    r"|할) 수 없|답변(?:해 드릴|할|드릴) 수 없",
    "Russian": r"\bк сожалению\b|\b(?:извините|простите|прошу прощения)\b|\bя не (?:могу|буду|имею права)\b"
    r"|\bне могу (?:помочь|"
    r"предоставить|выполнить|ответить)",
    "Arabic": r"آسف|أعتذر|عذر[اًا]|لا (?:أستطيع|يمكنني|أقدر)|لا يمكن(?:ني|نا)",
}
_REFUSAL = {language: re.compile(pattern) for language, pattern in REFUSALS.items()}

# Frequent words that English sentences do not have: they tell a language in Latin letters from English.
_FOREIGN = (
    "una del que por para con pero lo está eres puedo siento sí hola gracias muy este esta como "  # Spanish
    "les des une et est pas vous je ne suis pour dans avec oui bonjour bien sûr voici qui sur ce mais "  # French
    "der das und ist nicht ich sie ein eine mit für zu auf dem ja nein aber kann leid mir von es wir auch "  # German
    "il gli della che non sono mi dispiace posso ciao è questo questa nel alla "  # Italian
    "os uma não você em isso sim olá ao são eu desculpe muito "  # Portuguese
    "het een niet voor dat ik kan ook op zijn deze wordt maar "  # Dutch
    "och att det som inte jag för är på av med ikke jeg og til ett "  # Swedish, Norwegian, Danish
    "nie się jest na że jak przez ale tak mogę przykro "  # Polish
    "že jsem nemohu ano který "  # Czech
    "bir bu için değil ben ile çok evet hayır olarak üzgünüm ama "  # Turkish
    "yang untuk tidak saya ini itu dengan dari maaf bisa adalah akan "  # Indonesian, Malay
    "không là và của tôi xin lỗi thể các cho một những được "  # Vietnamese
    "ni ya wa kwa hii hiyo sio lakini samahani siwezi "  # Swahili
    "ei että ole minä voi mutta olen "  # Finnish
    "az egy nem és hogy ez sajnálom vagyok "  # Hungarian
    "nu și în pe cu sunt pentru din îmi rău "  # Romanian
    "ang ng mga ay hindi ako ito"  # Tagalog
)
_STARTS = (  # a short text in Latin letters that begins so is not English
    "oui non bonjour désolé merci hola sí gracias claro ja nein hallo danke leider entschuldigung ciao grazie sì "
    "olá sim não obrigado desculpe tak hej nej evet hayır merhaba tidak maaf samahani igen"
)
_ENGLISH = (
    "the of and to in is are was be it this that for with on as you your i not can but or by from at have has will an "
    "if they we there which do does should would may their its so no yes here"
)
FOREIGN_WORDS, FOREIGN_STARTS = frozenset(_FOREIGN.split()), frozenset(_STARTS.split())
ENGLISH_WORDS = frozenset(_ENGLISH.split())
_WORD = re.compile(r"[^\W\d_]+")
_RUN = re.compile(r"(?:[^\W\d_]{2,} ){11}[^\W\d_]{2,}")  # twelve words in a row, as in a sentence, not a list or code


def foreign_refusal(text: str) -> tuple[str, str]:
    """The language and the phrase of a usual refusal in another language in ``text`` (small letters); else two "".

    A refusal in the words of English is not looked for here.
    """
    for language, pattern in _REFUSAL.items():
        found = pattern.search(text)
        if found:
            return language, found.group()
    return "", ""


def english(text: str) -> bool:
    """Whether a text in small letters may be English; a name, a number or code may."""
    words = _WORD.findall(text)
    if not text.isascii():
        letters = "".join(words)
        if sum(letter > "ɏ" for letter in letters) > FOREIGN * len(letters):  # the last letter of extended Latin
            return False
    known = sum(map(ENGLISH_WORDS.__contains__, words))
    foreign = sum(map(FOREIGN_WORDS.__contains__, words))
    if foreign > known and (foreign > 1 or not text.isascii()):
        return False
    if words and len(words) <= SHORT and words[0] in FOREIGN_STARTS and not known:
        return False
    return known > 0 or not _RUN.search(text)
