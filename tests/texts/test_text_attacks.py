import pytest
import torch
from bags import FIRST, WORDS, Bag, texts
from torch.nn import functional

from robustprune.attacks import PGD, EmbeddingPGD, Substitution, evaluate, robust_curve
from robustprune.attacks.algorithms.texts.substitution import NONE, exchangeable, neighbours
from robustprune.attacks.contract.texts import EmbeddingBall
from robustprune.errors import InputError
from robustprune.models import Encoder, kinds_of
from robustprune.models.texts.network import FromEmbedding


def judged(net, x):
    with torch.no_grad():
        return net(x).argmax(1)


def options_of(net, number, count, cosine):
    """The words that may stand for one, by a loop over all of them."""
    vectors = net.embedding.weight.detach()
    near = [
        (float(functional.cosine_similarity(vectors[number], vectors[other], dim=0)), other)
        for other in range(FIRST, len(vectors))
        if other != number
    ]
    return [other for size, other in sorted(near, reverse=True)[:count] if size >= cosine]


def strongest(net, ids, y, words, count, cosine):
    """The largest margin of the wrong class that exchanging so many words can reach: the best gains of the places."""
    weights, sign = net.weights, 1 if y == 0 else -1
    gains = []
    for place in range(1, 5):
        options = options_of(net, int(ids[place]), count, cosine)
        gains.append(max([sign * float(weights[one] - weights[ids[place]]) for one in options], default=0.0))
    return sign * float(weights[ids[ids != 0]].sum()) + sum(sorted(max(gain, 0.0) for gain in gains)[::-1][:words])


@pytest.mark.parametrize(("words", "cosine"), [(1, -1.0), (2, 0.4), (4, 0.6)])
def test_on_a_linear_bag_of_words_the_exchanges_are_the_strongest_there_are(words, cosine):
    net, x = Bag(), texts(24)
    y = judged(net, x)
    attack = Substitution(eps=words, neighbours=3, cosine=cosine, tries=1)
    found = evaluate(net, x, y, [attack], keep=True)
    best = [strongest(net, *pair, words, 3, cosine) for pair in zip(x, y, strict=True)]
    assert found.outcomes[0].status == "".join("b" if margin > 0 else "r" for margin in best)
    assert 0 < found.outcomes[0].status.count("b") < 24
    broken = torch.tensor([margin > 0 for margin in best])
    assert (judged(net, found.adversarials[0])[broken] != y[broken]).all()


def test_exchanges_are_of_neighbours_within_the_budget_and_give_real_text():
    net, x = Bag(), texts(24)
    attack = Substitution(eps=2, neighbours=6, cosine=0.3)
    found = evaluate(net, x, judged(net, x), [attack], keep=True)
    outcome, changed = found.outcomes[0], found.adversarials[0]
    assert "b" in outcome.status
    for row, (before, after) in enumerate(zip(x, changed, strict=True)):
        places = (before != after).nonzero().flatten().tolist()
        assert len(places) == (outcome.distance[row] if outcome.status[row] == "b" else 0)
        assert all(int(after[one]) in options_of(net, int(before[one]), 6, 0.3) for one in places)
        assert torch.equal(WORDS.encoded([WORDS.text(after)], 8)[0], after)


def test_queries_and_gradients_are_counted_and_within_what_is_allowed():
    net, x = Bag(), texts(30)
    attack = Substitution(eps=3, neighbours=4, cosine=-1.0, tries=5)
    outcome = evaluate(net, x, judged(net, x), [attack]).outcomes[0]
    steps = sum(outcome.steps)
    assert (outcome.forwards, outcome.backwards) == (steps * 6, steps)
    assert max(outcome.steps) <= 3
    assert (attack.allowed.forwards, attack.allowed.backwards) == (18, 3)


def test_neighbours_are_those_of_a_loop_over_all_words():
    net = Bag()
    some = torch.arange(FIRST, FIRST + 10)
    found = neighbours(some, net.kinds, net.embedding.weight.detach(), 5, 0.2)
    for number, row in zip(some.tolist(), found.tolist(), strict=True):
        wanted = options_of(net, number, 5, 0.2)
        assert row == wanted + [NONE] * (5 - len(wanted))


def test_pieces_marks_and_special_tokens_stay():
    ids = WORDS.encoded(["ba des ! xx"], 8)
    assert WORDS.text(ids[0]) == "ba des ! [UNK]"
    assert exchangeable(ids, kinds_of(WORDS.vocabulary)).tolist() == [[False, True, *[False] * 6]]


@pytest.mark.parametrize("loss", ["ce", "margin"])
def test_behind_the_embedding_a_linear_bag_breaks_at_its_distance_from_the_border(loss):
    net, x = Bag(), texts(40)
    y, weights = judged(net, x), net.weights
    scale = float(net.embedding.weight.detach().norm(dim=1).mean())
    free = 4  # words of a text
    lead = torch.stack([weights[row[row != 0]].sum() for row in x]).abs()
    distance = lead / (net.weigh.norm() * free**0.5 * scale).detach()
    eps = float(distance.median())
    outcome = evaluate(net, x, y, [EmbeddingPGD(eps=eps, steps=30, loss=loss)]).outcomes[0]
    clear = ((distance - eps).abs() > 0.02 * eps).tolist()
    wanted = ["b" if one < eps else "r" for one in distance.tolist()]
    assert all(a == b for a, b, sure in zip(outcome.status, wanted, clear, strict=True) if sure)
    assert outcome.error is None


def test_the_ball_moves_free_tokens_alone_and_keeps_its_radius():
    net, ball = FromEmbedding(Bag()), EmbeddingBall(eps=0.7)
    x = net.embedded(texts(5))
    adv = ball.project(x + torch.randn(x.shape, generator=torch.Generator().manual_seed(0)), x)
    assert torch.allclose(ball.size(adv - x), torch.full((5,), 0.7))
    assert bool(ball.inside(adv, x).all())
    assert torch.equal(adv[:, [0, 5, 6, 7]], x[:, [0, 5, 6, 7]])
    assert torch.equal(adv[..., -1], x[..., -1])
    moved = adv.clone()
    moved[0, 0, 0] += 0.01
    assert not bool(ball.inside(moved, x)[0])
    assert not bool(ball.inside(x + 2 * (adv - x), x).any())


def test_behind_its_embedding_a_network_is_the_same():
    net = Encoder(kinds_of(WORDS.vocabulary), width=16, heads=2, inner=32, depth=2, length=8)
    view, x = FromEmbedding(net), texts(5)
    assert torch.allclose(view(view.embedded(x)), net(x), atol=1e-6)
    lengths = view.vectors(torch.arange(len(WORDS.vocabulary))).norm(dim=1)
    assert float(lengths.mean()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("attack", [EmbeddingPGD(eps=0.5, steps=4), Substitution(eps=2, neighbours=5, cosine=-1.0)])
def test_outcomes_do_not_depend_on_the_company(attack):
    net = Encoder(kinds_of(WORDS.vocabulary), width=16, heads=2, inner=32, depth=2, length=8).eval()
    x = texts(12)
    y = judged(net, x)
    whole = evaluate(net, x, y, [attack]).outcomes[0]
    apart = evaluate(net, x.flip(0), y.flip(0), [attack], batch_size=5).outcomes[0]
    assert whole.status == apart.status[::-1]
    assert whole.steps == apart.steps[::-1]


def test_attacks_on_images_and_on_texts_do_not_mix():
    net, x = Bag(), texts(3)
    y = judged(net, x)
    with pytest.raises(InputError, match="texts, expected EmbeddingPGD or Substitution"):
        evaluate(net, x, y, [PGD(eps=0.1)])
    with pytest.raises(InputError, match="images, expected one on images"):
        evaluate(torch.nn.Flatten(), torch.rand(3, 1, 2, 2), y, [Substitution(eps=1)])
    with pytest.raises(InputError, match="texts, expected EmbeddingPGD"):
        robust_curve(net, x, y, PGD(eps=0.1), [0.1])


def test_a_network_without_an_embedding_is_refused():
    net = torch.nn.Sequential(torch.nn.Embedding(len(WORDS.vocabulary), 2), torch.nn.Flatten(), torch.nn.Linear(16, 2))
    x = texts(3)
    for attack in (Substitution(eps=1), EmbeddingPGD(eps=0.1)):
        with pytest.raises(InputError, match="does not say where its embedding is"):
            evaluate(net, x, judged(net, x), [attack])


def test_a_number_of_words_is_whole():
    with pytest.raises(InputError, match="a whole number of words"):
        Substitution(eps=1.5)
