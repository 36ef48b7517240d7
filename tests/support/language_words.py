"""Word list of the house style: phrases that are rewritten on sight, as patterns that spare legitimate uses."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.support.language_sources import Passage

# Phrase as reported: pattern. A space in a pattern matches any white space, so that a phrase may go over a line's end.
PHRASES = {
    "whoever": r"who(?:m)?ever|whosoever",
    "whatever": r"what(?:so)?ever",
    "whichever": r"whichever",
    "anew": r"anew",
    "nobody": r"nobody|somebody|everybody|no one",
    "come what may": r"comes? what may|be it (?:nothing|what|who|a|one)\b",
    # A statement can lie about something; a file does not lie in a folder.
    "lies": r"lies?(?! about| to (?:a|the|its))|lying(?! about)|lay(?= in| on| there| where| under)",
    # "stands for", "stand-alone", "stand-in" and "stands to reason" are common terms.
    "stands": r"(?:stands|stand)(?! for\b| alone\b| in for\b| to reason\b|-|s? still\b)|stood",
    # One can tell two things apart, and one thing from another.
    "tells": r"tells?(?! (?:\w+ ){1,4}(?:apart|from)\b)|told|telling",
    "hears of": r"hears?(?: \w+)? (?:of|from|about)|heard(?: \w+)? (?:of|from|about)",
    "asks for": r"asks? for|asked for|asking for",
    "the door": r"(?:the|a|its|at) doors?",
    "goes down": r"(?:goes|go|going|went|gone) down(?!\w)",
    "in good order": r"in good order",
    "what came of it": r"(?:what|whatever) (?:came|comes|became|becomes|has become|is to come) of"
    r"|came of (?:it|them|that)|to come of",
    "taken in": r"(?:take|takes|taken|taking|took) (?:it |them |all )?in(?! (?:the|an?|one|order|turn|parallel|bulk|"
    r"batch(?:es)?|this|its|which|total|account|\d)\b)|(?:take|takes|taken|taking|took) on(?! (?:the|an?)\b)",
    "set going": r"(?:set|sets|setting) (?:it |them |\w+ )?going|set(?:s|ting)? (?:it |them )?right",
    "of its own accord": r"of (?:its|their|his) own accord|by itself alone",
    # "There is no such job" is plain; "is no member of" is not.
    "is no": r"(?<!there\s)(?:is|are|was|were|be) (?:no|(?-i:none)|nothing)(?! (?:longer|more than|less than|fewer"
    r"|later|earlier|larger|greater|smaller|older|newer|better|worse|different|matter)\b)\b",
    "so many": r"so (?:many|much)(?! (?:that|as)\b)|so long as|so long(?=[ ,](?:a|the|it|they)\b)|for so long",
    "as many as": r"as (?:many|much|few|little|long) as (?:there|it|they|that|he|will|may|fit|is|are)\b",
    "what may be": r"(?:what|as) (?:may|might) be(?: \w+ed)?",
    "any more": r"(?:not|nothing|no|none|never|n't|nowhere)\b[^.;:]{0,40} any more(?! than)",
    "all the same": r"all the same(?! \w)",
    "oftener": r"oftener|whence|wherein|thereof|therein|whereof|hitherto|heed(?:s|ed)?|beforehand",
    "for good": r"for good(?! (?:reason|measure|cause))",
    "see it through": r"(?:see|sees|saw|seen) (?:it|them|a job) through|hands? over|handed over",
    "gets done": r"(?:get|gets|got) (?:it |them )?done|gets? told",
    "Meant is": r"Meant (?:is|are)|(?:Wanted|Asked|Shown|Told|Left|Refused|Counted|Kept)"
    r" (?:is|are) (?:what|who|all|those)",
    "he": r"(?:he|she|him|his) (?:may|can|has|is|will|who|gets|reads|sees|waits|needs)",
    "where there is none": r"where (?:there|one) (?:is|are) (?:one|any|some|none)|them that|that which|they that",
    "what is to be": r"what (?:is|are|was|were) to (?:be|come|go)",
    "but for": r"but for|save for|lest|thereby|withal|forthwith|nought|naught",
    "holds good": r"holds? good|made whole|makes? good|brought low",
    "What … is": r"(?<![\w·])(?:What|Who|Whom|Whose|Whatever|Whoever)(?: [^.?!:]{2,160})(?=[.:!]|\Z)",
}
# The last one is about the beginning of a sentence, so its capital counts.
_WITH_CASE = {"What … is", "Meant is"}
PATTERNS = {
    name: re.compile(
        r"(?<![\w-])(?:" + pattern.replace(" ", r"\s+") + r")(?![\w])", 0 if name in _WITH_CASE else re.IGNORECASE
    )
    for name, pattern in PHRASES.items()
}
# All patterns in one, for text in lower case: finds the few passages that are worth trying each pattern on.
_ANY = re.compile(
    r"(?<![\w-])(?:"
    + "|".join(f"(?:{pattern})" for name, pattern in PHRASES.items() if name not in _WITH_CASE).replace(" ", r"\s+")
    + r")(?![\w])"
)
_WORD = re.compile(r"[^\W\d_][\w'-]*")


class Hit(NamedTuple):
    passage: Passage
    line: int
    phrase: str
    context: str


def hits(passage: Passage) -> Iterator[Hit]:
    """Yields each phrase of the list in a passage, by its line."""
    without_case = _ANY.search(passage.text.lower())
    for name, pattern in PATTERNS.items():
        if not without_case and name not in _WITH_CASE:
            continue
        for found in pattern.finditer(passage.text):
            if name == "What … is" and passage.kind == "docstring" and not found.start():
                continue  # the rule for openings reports it
            start, end = found.span()
            context = " ".join(passage.text[max(0, start - 30) : min(end, start + 40) + 30].split())
            yield Hit(passage, passage.line + passage.text.count("\n", 0, start), name, context)


def count_words(passage: Passage) -> int:
    return len(_WORD.findall(passage.text))
