"""A causal language model in a suite: perplexities by hand, their interval over runs, the gate, and generate()."""

import math
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from suite_files import Silent, evidence_taken_as_read
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
import made_up

from robustprune.attacks import EmbeddingPGD
from robustprune.criteria import DepthLast
from robustprune.data import Split
from robustprune.data.next_tokens import NextTokens, windows
from robustprune.errors import InputError
from robustprune.finetune import Recipe
from robustprune.models.texts.network import TextNetwork
from robustprune.policy.policy import Policy, judge
from robustprune.prune import remove
from robustprune.report.formats import to_csv, to_markdown
from robustprune.report.table import comparison
from robustprune.results.perplexity import Perplexity, ratio
from robustprune.results.records import load, save
from robustprune.results.surprise import beside, drawn_again, noted, perplexity
from robustprune.run.store import Store
from robustprune.run.suite import run_suite
from robustprune.run.surprised import surprise
from robustprune.suite import Model, Strategy, Suite, grid

KINDS = torch.full((8,), 4)
CHAIN = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])


class Bigram(TextNetwork):
    """Says of the token that follows what a table says of pairs."""

    def __init__(self, table):
        super().__init__(nn.Embedding.from_pretrained(table.log()), torch.full((len(table),), 4))

    def read(self, words, real):
        return words[:, -1]


def case(surprises, name="net/parent", **fields):
    """A case with one attack, which all samples resist, and a surprise for each sample."""
    right = [True] * len(surprises)
    made = made_up.case(
        right, [made_up.outcome("PGD-20", made_up.statuses(right, right), steps=20)], case=name, **fields
    )
    return replace(made, outcomes=noted(made.outcomes, [*map(float, surprises)]))


def test_guessing_costs_the_vocabulary_and_a_chain_what_its_table_says():
    x, y = torch.randint(0, 3, (200, 4)), torch.randint(0, 3, (200,))
    found = surprise(Bigram(torch.full((3, 3), 1 / 3)), x, y)
    assert Perplexity(surprise=tuple(found), tokens=1).value == pytest.approx(3)
    x, y = torch.tensor([[2, 0], [0, 1], [1, 2]]), torch.tensor([1, 1, 0])
    by_hand = math.exp(-(math.log(0.25) + math.log(0.8) + math.log(0.2)) / 3)
    assert Perplexity(surprise=tuple(surprise(Bigram(CHAIN), x, y)), tokens=1).value == pytest.approx(by_hand)


def test_a_perplexity_beside_the_parents_is_the_ratio_of_the_two():
    draws = np.random.default_rng(0)
    theirs = draws.gamma(2, 1, 80)
    ours = theirs + draws.uniform(0, 0.2, 80)
    pair = case(ours, name="net/pruned"), case(theirs)
    expected = ratio(*(Perplexity(surprise=tuple(one.round(6)), tokens=1) for one in (ours, theirs)))
    assert beside([pair]) == expected
    assert perplexity(made_up.case([True], [])) is None
    assert beside([(pair[0], made_up.case([True] * 80, []))]) is None
    damaged = replace(pair[0], outcomes=noted(pair[0].outcomes, [1.0]))
    with pytest.raises(InputError, match="damaged"):
        perplexity(damaged)


def test_equal_runs_are_one_and_runs_that_differ_widen_the_interval_enough():
    draws = np.random.default_rng(2)
    row = draws.normal(0.1, 0.5, 60)
    none, some = (Perplexity(surprise=tuple(one), tokens=1) for one in (np.zeros(60), row))
    assert drawn_again([[*row]] * 3).low == pytest.approx(ratio(some, none).low)
    covered = 0
    for _ in range(600):
        runs = draws.normal(0.1, 0.1, (3, 1)) + draws.normal(0, 0.5, 60) + draws.normal(0, 0.3, (3, 60))
        found = drawn_again(runs.tolist())
        covered += found.low <= math.exp(0.1) <= found.high
    assert 0.93 <= covered / 600 <= 0.99


@pytest.mark.parametrize(
    ("added", "n", "verdict"), [(0.0, 400, "PASS"), (0.2, 400, "FAIL"), (0.05, 20, "INCONCLUSIVE")]
)
def test_the_gate_holds_the_interval_against_the_largest_ratio(added, n, verdict):
    draws = np.random.default_rng(3)
    theirs = draws.gamma(2, 1, n)
    ours = theirs + np.clip(draws.normal(added, 0.3, n), -theirs, None)
    candidate, parent = case(ours, name="net/pruned"), case(theirs)
    found = judge(candidate, parent, Policy(max_perplexity_ratio=1.1)).finding("perplexity")
    assert found.verdict == verdict
    assert (found.needed_n is not None) == (verdict == "INCONCLUSIVE")
    assert found.low < found.difference < found.high
    assert judge(candidate, parent, Policy()).finding("perplexity") is None
    plain = made_up.case([True] * n, [])
    assert judge(plain, plain, Policy(max_perplexity_ratio=1.1)).finding("perplexity").verdict == "INCONCLUSIVE"


def test_image_results_have_no_such_column_and_no_such_note():
    parent = made_up.case([True, False], [made_up.outcome("PGD-20", "re", steps=20)])
    frame = comparison([parent])
    assert not [name for name in frame if "perplexity" in name]
    assert "erplexity" not in to_markdown(frame)


transformers = pytest.importorskip("transformers", reason="pip install 'robustprune[hf]'")
from robustprune.models.texts.generative import as_causal, small_gpt2  # noqa: E402

BUILD = partial(small_gpt2, KINDS, width=16, heads=2, depth=3, length=10)


def data():
    """A language in which 3 follows 2, 2 follows 1 and anything follows 3."""
    draws = torch.randint(0, 8, (3000,), generator=torch.Generator().manual_seed(0)).tolist()
    text = [token for one in draws for token in ((1, 2, 3) if one == 1 else (one,))]
    whole = windows(text, 6)
    return NextTokens("chain", tuple("abcdefgh"), whole.take(range(400)), whole.take(range(400, 460)), "made here")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    train = Recipe(name="train", epochs=1, lr=0.1, batch_size=16, weight_decay=0.0)
    suite = Suite(
        name="chain",
        data=data,
        cases=grid(
            model=Model(name="net", build=BUILD, recipe=train),
            strategy=[Strategy(criterion=DepthLast(), remove=1, protect_first=False, samples=32)],
            recipe=replace(train, name="ft", samples=64),
        ),
        attacks=(EmbeddingPGD(eps=0.5, steps=2, retries=0),),
        batches=(1,),
        timing_seconds=0.01,
        timing_threads=1,
    )
    store = Store(folder=tmp_path_factory.mktemp("language") / "store")
    with evidence_taken_as_read():
        return run_suite(suite, store, Silent(), workers=1)


def test_a_suite_says_perplexity_beside_accuracy_in_table_csv_and_file(finished, tmp_path):
    table = comparison(finished)
    parent, pruned = finished[0], finished[-1]
    assert 1 < perplexity(parent).value < 8
    assert table["perplexity"].iloc[0] == pytest.approx(perplexity(parent).value)
    assert table["perplexity_ratio"].iloc[-1] == pytest.approx(ratio(perplexity(pruned), perplexity(parent)).value)
    assert "perplexity beside the parent's" in to_markdown(table)
    assert "perplexity_ratio low" in to_csv(table)
    save(finished, tmp_path / "results.json.gz")
    assert perplexity(load(tmp_path / "results.json.gz")[-1]) == perplexity(pruned)


def test_in_training_every_token_of_a_window_has_its_share_of_the_gradient():
    torch.manual_seed(0)
    net, ids, y = BUILD(), torch.randint(0, 8, (5, 6)), torch.randint(0, 8, (5,))
    nn.functional.cross_entropy(net.train()(ids), y).backward()
    got = [one.grad.clone() for one in net.parameters() if one.grad is not None]
    net.zero_grad()
    logits, following = net.model(input_ids=ids, use_cache=False).logits, torch.cat((ids[:, 1:], y[:, None]), 1)
    nn.functional.cross_entropy(logits.flatten(0, 1), following.flatten()).backward()
    expected = [one.grad for one in net.parameters() if one.grad is not None]
    for one, other in zip(got, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert torch.equal(net.eval()(ids), net.train()(ids))


def test_a_pruned_network_is_a_model_that_generates_with_its_cache():
    torch.manual_seed(1)
    whole = BUILD().eval()
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.mul_(4)
    pruned = remove(whole, ["model.transformer.h.1"], torch.randint(0, 8, (2, 6)))
    with torch.no_grad():
        next(pruned.parameters()).add_(0.1)  # as if it had been fine-tuned
    model = as_causal(pruned, whole, ["model.transformer.h.1"])
    assert (model.config.n_layer, len(model.transformer.h)) == (2, 2)
    ids = torch.randint(0, 8, (3, 4))
    with torch.no_grad():
        assert torch.allclose(model(input_ids=ids).logits[:, -1], pruned(ids), atol=1e-5)
    how = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    cached, plain = (
        model.generate(ids, attention_mask=torch.ones_like(ids), use_cache=one, **how) for one in (True, False)
    )
    assert cached.shape == (3, 10)
    assert torch.equal(cached, plain)


def test_windows_follow_each_other_and_a_short_text_is_refused():
    cut = windows(list(range(10)), 3)
    assert isinstance(cut, Split)
    assert (cut.x.tolist(), cut.y.tolist()) == ([[0, 1, 2], [4, 5, 6]], [3, 7])
    with pytest.raises(InputError, match="expected 21 or more"):
        windows([1] * 20, 20)
