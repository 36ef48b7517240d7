from tests.client_answers import FILE, source


def test_the_types_of_answers_are_those_of_the_openapi_document() -> None:
    assert FILE.read_text() == source(), "run: python -m tests.client_answers"
