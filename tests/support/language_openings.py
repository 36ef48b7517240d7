"""Rule for the first words of a docstring: a third-person verb ("Returns…") or a noun phrase ("Clock of a node")."""

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that open a bare clause, a question or half a sentence.
CLAUSES = _words(
    """
    what who whom whose whether how such where which when why if that as so in by to of from for at on after
    before while until unless since once under over without beside besides into onto through within across along
    between it they he she we you there here this these those i not nor and or but else then thus also only
    always never again together perhaps likewise otherwise is are was were be been am has had have do does did
    may can must shall will would should could let whatever whoever whichever whenever wherever nobody nothing
    somebody something everybody everything anybody anything no none enough see section because though although
    even than
    """
)
# Opening pronouns and particles that make a noun phrase with the word behind them.
ALLOWED = {
    ("no", "op"): "no-op is a noun",
    ("in", "flight"): "in-flight as an adjective",
    ("at", "least"): "`At least once…` is a delivery guarantee by name",
    ("this", "process"): "the process that runs the code",
}
_PARTICIPLE = re.compile(
    r"[a-z]{2,}ed|made|sent|kept|held|told|known|written|taken|given|seen|found|left|done|read|run|begun|met"
)
# Usual beginnings for an exception ("Raised when…"), a callback ("Called by…") and the like.
_PARTICIPLES_ALLOWED = _words("raised called returned used based issued")
# Behind a participle these say that no noun follows: "Recorded when it returns", "Called by the receiver".
_NO_NOUN = _words(
    """
    when where once by with as if and or in on at to past unless until while before after for only from here
    there whether because so not under again anew at
    """
)
_DETERMINERS = _words(
    """
    the a an all this these those its their each every one any it them both no some only what which where
    whether
    """
)
# Verbs whose bare form opens an instruction. Such a word is not a noun if a determiner follows it.
_VERBS = _words(
    """
    add answer append apply ask attach begin bind bring build call cancel change check claim clear close compare
    complete compute connect copy count create cut decide decode delete do drop encode end enter execute fail
    fetch fill find finish follow forget format get give go hand hold insert install join keep leave limit list
    listen load lock look make map mark measure merge move note notify open parse pass pause pay place post
    print publish put raise read record refuse release remove rename render repair replace report reset resume
    retry return run save say seal search send set show sign skip sleep sort split start stay stop store submit
    sweep take tell test try turn unlock update use verify wait wake watch write yield
    """
)
_WORDS = re.compile(r"[A-Za-z][A-Za-z']*")


def fault_of_opening(text: str, *, instructions: bool = False) -> str | None:
    """Returns the reason that a docstring's first words are refused; None if they are not.

    Args:
        instructions: the text is shown to users as the help of a command or an operation, which may be an imperative.
    """
    first_line = text.lstrip().split("\n\n")[0].strip()
    if not first_line or not first_line[0].isalpha():
        return None  # code, a figure, a quotation
    words = [word.lower() for word in _WORDS.findall(first_line)[:2]]
    first, second = words[0], words[1] if len(words) > 1 else ""
    if (first, second) in ALLOWED or second.endswith("'s") or _names_a_topic(first_line, first):
        return None
    if first in CLAUSES:
        return f'begins with "{first_line.split()[0]}"'
    if _PARTICIPLE.fullmatch(first) and first not in _PARTICIPLES_ALLOWED and second in _NO_NOUN:
        return f'begins with the participle "{first}"'
    if not instructions and first in _VERBS and second in _DETERMINERS:
        return f'is an instruction; write "{_third_person(first)}"'
    return None


def _names_a_topic(line: str, first: str) -> bool:
    """Returns whether the text begins with a label, as in "Claim: …"; "Who: …" is a clause."""
    return line.split(maxsplit=1)[0].endswith(":") and first not in CLAUSES


def _third_person(verb: str) -> str:
    if verb.endswith(("s", "sh", "ch", "x", "o")):
        return f"{verb.capitalize()}es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return f"{verb[:-1].capitalize()}ies"
    return f"{verb.capitalize()}s"
