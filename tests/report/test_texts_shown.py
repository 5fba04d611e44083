"""A report shows the words that an attack exchanged, and nothing in them acts as markup."""

import made_up

from robustprune.report import texts
from robustprune.report.html import render
from robustprune.report.written import tables
from robustprune.results.exchanged import EXCHANGED, exchanged, in_words

EVIL = "<script>alert(1)</script>"


def broken(**told):
    noted = {"before": ["a", "good", "film"], "after": ["a", "fine", "film"], "class": "+", "taken for": "-", **told}
    outcome = made_up.outcome("substitution", "br", norm="words", eps=2, seed=0)
    outcome.notes[EXCHANGED] = [noted]
    return made_up.case([True, True], [outcome])


def test_exchanged_words_are_marked():
    ((title, _, rows),) = texts.parts([broken(), made_up.case([True, True])])
    assert title == texts.TITLE
    assert rows == [{"network": "net/parent", "true class": "+", "taken for": "-", "text": "a [good -> fine] film"}]
    (written,) = tables([broken()], ["md"])
    assert "a [good -> fine] film" in written


def test_without_exchanged_words_there_is_no_such_part():
    assert [*texts.parts([made_up.case([True, True])])] == []


def test_words_from_outside_are_text_and_no_markup():
    case = broken(before=["a", EVIL, "x|y"], after=["a", "[x](http://y)", "<img"], **{"taken for": EVIL})
    page = render("texts", [case])
    assert EVIL not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    (written,) = tables([case], ["md"])
    assert "<script" not in written
    assert "<img" not in written
    assert "](http" not in written


def test_token_numbers_become_words_and_classes_names():
    outcome = made_up.outcome("substitution", "b", norm="words", eps=2)
    outcome.notes[EXCHANGED] = [{"before": [3, 1], "after": [3, 2], "class": 1, "taken for": -1}]
    case = made_up.case([True], [in_words(outcome, lambda ids: " ".join(f"w{number}" for number in ids), ["-", "+"])])
    (text,) = exchanged(case)
    assert (text.marked(), text.label, text.taken_for) == ("w3 [w1 -> w2]", "+", "none")
    assert exchanged(made_up.case([True], [in_words(outcome, None, ["-", "+"])])) == []
    plain = made_up.outcome("PGD", "b")
    assert in_words(plain, None, []) is plain
