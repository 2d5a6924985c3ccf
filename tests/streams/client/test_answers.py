"""What a message of the log means for whoever asked."""

from __future__ import annotations

from router.models.catalog import Model, ModelCatalog
from schemas import Query, Source
from streams.client.answers import Answer, charged, of_rejection, of_result, waited
from streams.client.errors import BudgetExceeded, ModelFailed, QueryRejected
from tests.support.stand_in import answered, failed, rejected

CATALOG = ModelCatalog([Model("small", 100_000_000, 200_000_000)])
QUERY, SOURCE = Query(id="a", prompt="hello"), Source("queries", 0, 1)


def test_the_charge() -> None:
    """What a provider charged counts; else usage times price, where the prices are known."""
    assert charged(answered(QUERY, SOURCE, cost=5), CATALOG) == 5
    assert charged(answered(QUERY, SOURCE), CATALOG) == 700
    assert charged(answered(QUERY, SOURCE, model="new"), CATALOG) is None


def test_text() -> None:
    """An answer without words has the empty text; a worker may give words in any form."""
    for response, text in (({"choices": []}, ""), ("hi", "hi"), ({"response": "hi"}, "hi")):
        ending = of_result(answered(QUERY, SOURCE, response=response), CATALOG)
        assert isinstance(ending, Answer)
        assert ending.text == text


def test_failures() -> None:
    """A failed call keeps its status, and says which model failed."""
    ending = of_result(failed(QUERY, SOURCE, 503, "INFERENCE_ERROR", "away"), CATALOG)
    assert isinstance(ending, ModelFailed)
    assert (ending.status, ending.reason) == (503, "small: away")


def test_rejections() -> None:
    """A deadline that passes while a query waits for money is the budget's fault."""
    late = rejected(QUERY, SOURCE, "deadline_exceeded", "late", "deadline")
    assert isinstance(of_rejection(late, deferred=True), BudgetExceeded)
    assert not isinstance(of_rejection(late, deferred=False), BudgetExceeded)
    wrong = of_rejection(rejected(QUERY, SOURCE, "unknown_model", "?", "allowed_models"), False)
    assert isinstance(wrong, QueryRejected)
    assert (wrong.id, wrong.field) == ("a", "allowed_models")
    assert waited("a").id == "a"
