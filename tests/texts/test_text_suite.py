"""A suite on texts from end to end: trained, scored, pruned, distilled, attacked, checked, priced, and reported."""

from functools import partial

import pytest
import torch
from bags import FIRST, WORDS, Bag, texts
from suite_files import Silent

from robustprune.attacks import PGD, EmbeddingPGD, Substitution, evaluate
from robustprune.criteria import BlockInfluence, Cka
from robustprune.data import Data, Split
from robustprune.errors import InputError
from robustprune.evidence import EvidenceContext, gather
from robustprune.finetune import Recipe
from robustprune.models import Encoder, kinds_of
from robustprune.results.exchanged import exchanged
from robustprune.run.inspection import inspected
from robustprune.run.store import Store
from robustprune.run.suite import run_suite
from robustprune.suite import Model, Strategy, Suite, grid

BUILD = partial(Encoder, kinds_of(WORDS.vocabulary), width=16, heads=2, inner=16, depth=3, length=8)
TRAIN = Recipe(name="train", epochs=3, lr=0.1, batch_size=16, weight_decay=0.0)


def data():
    """Texts of words from one half of the vocabulary, or from the other."""

    def split(n, seed):
        x, y = texts(n, seed=seed, words=5), torch.arange(n) % 2
        half = FIRST + (x[:, 1:6] - FIRST) % 25 + 25 * y[:, None]
        return Split(torch.cat((x[:, :1], half, x[:, 6:]), 1), y)

    return Data("halves", ("first", "second"), split(160, 0), split(24, 1), "made here", WORDS.text)


def suite(*attacks):
    strategies = [
        Strategy(criterion=criterion, remove=1, protect_first=False, samples=32)
        for criterion in (Cka(), BlockInfluence())
    ]
    return Suite(
        name="texts",
        data=data,
        cases=grid(
            model=Model(name="net", build=BUILD, recipe=TRAIN),
            strategy=strategies,
            recipe=Recipe(name="ft", epochs=1, lr=0.01, distill=0.5, samples=32),
        ),
        attacks=attacks,
        batches=(1,),
        timing_seconds=0.01,
        timing_threads=1,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    attacks = (
        EmbeddingPGD(eps=1.0, steps=3, retries=0),
        EmbeddingPGD(eps=1.0, steps=3, retries=0, loss="margin"),
        Substitution(eps=4, neighbours=49, cosine=-1.0, tries=3),
    )
    store = Store(folder=tmp_path_factory.mktemp("texts") / "store")
    return run_suite(suite(*attacks), store, Silent(), workers=1)


def test_it_learns_is_pruned_and_is_attacked_under_both_threats(finished):
    parent, *_ = finished
    assert sum(parent.clean) > 16
    for case in finished[2:]:
        assert len(case.removed) == 1
        assert case.cost.macs < parent.cost.macs
    assert [outcome.threat for outcome in parent.outcomes] == ["embedding 1", "embedding 1", "words 4"]
    for case in finished:
        assert all(outcome.error is None and "b" in outcome.status for outcome in case.outcomes[::2])
        assert all(sum(outcome.robust) <= sum(case.clean) for outcome in case.outcomes)


def test_the_evidence_suffices_and_what_makes_no_sense_says_so(finished):
    for case in finished:
        assert case.trust == "TRUSTED", [check for check in case.checks if check.status == "fail"]
        skipped = {check.number: check.evidence for check in case.checks if check.status == "skipped"}
        assert "these are texts" in skipped[9]
        failed = {check.number for check in case.checks if check.status == "fail"}
        assert failed <= {22, 24, 26}


def test_texts_that_broke_are_kept_in_words(finished):
    for case in finished:
        found = exchanged(case)
        assert found
        for text in found:
            assert len(text.before) == len(text.after) == 5
            assert 1 <= sum(one != other for one, other in zip(text.before, text.after, strict=True)) <= 4
            assert {text.label, text.taken_for} == {"first", "second"}


def test_attacks_on_images_are_refused_before_anything_is_trained():
    with pytest.raises(InputError, match="expected EmbeddingPGD or Substitution"):
        inspected(suite(PGD(eps=0.1)), "cpu")


def checked(net, attack, **given):
    x = texts(12)
    with torch.no_grad():
        y = net(x).argmax(1)
    found = evaluate(net, x, y, [attack])
    ctx = EvidenceContext(model=net.eval(), x=x, y=y, attacks=[attack], clean=found.clean, **given)
    return {check.number: check for check in gather(ctx)}


class Blind(Bag):
    """Gives no gradient to its words."""

    def read(self, words, real):
        return super().read(words.sign() + 0 * words, real)


class Other(Bag):
    """Answers otherwise to token numbers than to what is embedded."""

    def forward(self, ids):
        return super().forward(ids) + 0.1 * ids[:, 1:2]


def test_a_network_whose_words_have_no_gradient_is_found_out():
    attack = EmbeddingPGD(eps=0.1, steps=2)
    assert checked(Bag(), attack)[8].status == "pass"
    found = checked(Blind(), attack)
    assert (found[8].status, found[8].blocking) == ("fail", True)
    assert found[12].status == "fail"


def test_a_network_that_reads_numbers_otherwise_than_vectors_is_found_out():
    attack = EmbeddingPGD(eps=0.1, steps=2)
    assert checked(Bag(), attack)[2].status == "pass"
    assert checked(Other(), attack)[2].status == "fail"


def test_a_budget_that_was_exceeded_is_found_out():
    net, attack = Bag(), Substitution(eps=2, neighbours=5, cosine=-1.0)
    x = texts(12)
    with torch.no_grad():
        y = net(x).argmax(1)
    outcome = evaluate(net, x, y, [attack]).outcomes[0]
    assert checked(net, attack, outcomes=[outcome])[3].status == "pass"
    outcome.distance[outcome.status.index("b")] = 3.0
    assert checked(net, attack, outcomes=[outcome])[3].status == "fail"
