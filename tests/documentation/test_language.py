"""The house style: how docstrings begin, a list of phrases that are rewritten on sight, the length of lines."""

from pathlib import Path

import pytest

from tests import check_language
from tests.check_language import Figures
from tests.support.language_openings import fault_of_opening
from tests.support.language_sources import ROOT, Passage, all_files, long_lines, without_code
from tests.support.language_words import Hit, hits


@pytest.fixture(scope="module")
def areas() -> dict[str, Figures]:
    return check_language.by_area(all_files())


def test_phrases_of_the_word_list_do_not_come_back(areas: dict[str, Figures]) -> None:
    assert {
        name: f"{len(figures.hits)} in {figures.words} words"
        for name, figures in areas.items()
        if len(figures.hits) > max(1, figures.words * check_language.WORDS_PER_1000 / 1000)
    } == {}


def test_docstrings_begin_with_a_verb_or_a_noun_phrase(areas: dict[str, Figures]) -> None:
    assert {
        name: [
            f"{opening.docstring.path.name}:{opening.docstring.line} {opening.fault}" for opening in figures.openings
        ]
        for name, figures in areas.items()
        if figures.openings_percent > check_language.OPENINGS_PERCENT
    } == {}


def test_lines_of_prose_are_at_most_120_characters_long(areas: dict[str, Figures]) -> None:
    assert areas["total"].long_lines == []


@pytest.mark.parametrize(
    "text",
    [
        "Returns the state of a job.",
        "Lets running attempts finish.",
        "Limiter for submissions.",
        "The node's view of paused queues.",
        "A job as clients see it.",
        "Pause that a receiver asks for.",
        "Record of an attempt.",
        "Claim: takes ready jobs for a node.",
        "Stored numbers of an open circuit.",
        "Registered endpoints, newest first.",
        "This tenant's jobs.",
        "No-op handler.",
        "`POST /api/v1/jobs`: submits a job.",
        "12,345 as 12 k.",
        "Raised when an attempt has lost its lease.",
    ],
)
def test_a_conventional_opening_passes(text: str) -> None:
    assert fault_of_opening(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "What a job may ask for.",
        "Who is woken by what.",
        "Whether a slot is free.",
        "How each queue stands.",
        "As JSON.",
        "So many starts in so many seconds.",
        "By type; None for those without a breaker.",
        "It waits for others.",
        "See `JobMaker`.",
        "Nothing was recorded.",
        "Recorded when it returns.",
        "Made once for a node.",
        "Return the state of a job.",
        "Why: a job waits.",
    ],
)
def test_a_bare_clause_or_an_instruction_is_refused_as_an_opening(text: str) -> None:
    assert fault_of_opening(text) is not None


def test_the_help_of_a_command_may_be_an_instruction() -> None:
    assert fault_of_opening("Cancel all jobs that match.", instructions=True) is None
    assert fault_of_opening("What to cancel.", instructions=True) is not None


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("Whoever holds the lease may write.", "whoever"),
        ("The file lies in the data folder.", "lies"),
        ("The bit stands in the row.", "stands"),
        ("Its handler is told.", "tells"),
        ("A value that is no text counts as 0.", "is no"),
        ("The service goes down in good\norder.", "in good order"),
        ("It takes so many jobs.", "so many"),
        ("What is refused is not recorded.", "What … is"),
    ],
)
def test_the_old_voice_is_found(text: str, phrase: str) -> None:
    assert phrase in {hit.phrase for hit in _hits(text)}


@pytest.mark.parametrize(
    "text",
    [
        "There is no such job.",
        "There are no more than ten.",
        "It stands to reason that DLQ stands for dead letter queue.",
        "A stand-alone server, with a stand-in for the clock.",
        "Two ids tell attempts apart; a token tells one attempt from another.",
        "A client may lie about its address.",
        "Jobs are taken in the order of their priority.",
        "What is a lease?",
        "If the value is None, a default is used, which may be changed.",
        "Run `duly whatever` as shown.",
        "The attempt is no longer running and no more than two wait.",
    ],
)
def test_legitimate_uses_pass(text: str) -> None:
    assert _hits(text) == []


def test_a_finding_names_its_line_even_where_a_phrase_goes_over_the_end_of_one() -> None:
    assert [(hit.line, hit.phrase) for hit in _hits("One.\nIt is set\ngoing again.\nRows lie there.")] == [
        (4, "lies"),
        (2, "set going"),
    ]


def test_code_tables_and_addresses_may_be_wider(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    wide = "word " * 30
    page.write_text(f"{wide}\n\n| {wide} |\n\n```sh\n{wide}\n```\n\nSee [there](https://example.org/{'x' * 120}).\n")
    assert list(long_lines(page)) == [(1, len(wide))]


def _hits(text: str) -> list[Hit]:
    return list(hits(Passage(ROOT / "README.md", 1, "page", without_code(text))))
