"""A review of texts: planted pairs, curves against a loop, what a bundle holds and what is refused."""

from __future__ import annotations

import json
import sys
from html import escape
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from bags import FIRST, WORDS, Bag, texts
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent.parent / "review"))
from review_desk import Silent, little_evidence

from robustprune.attacks import EmbeddingPGD, Substitution, evaluate, robust_curve
from robustprune.cli import main
from robustprune.cli.attacks import sizes_of
from robustprune.data import Data, Split
from robustprune.errors import InputError
from robustprune.finetune import Recipe, finetune
from robustprune.models import Encoder, kinds_of, save_weights
from robustprune.policy.policy import Policy
from robustprune.prune import remove
from robustprune.review.bundle import write_bundle, write_manifest, write_seal
from robustprune.review.extras import Effort
from robustprune.review.gate import review
from robustprune.review.given import open_candidate, open_parent
from robustprune.review.request import Request
from robustprune.review.texts.alike import check_texts
from robustprune.review.verify import verify
from robustprune.run.store import Store

HERE = f"{Path(__file__)}"
ATTACKS = (
    EmbeddingPGD(eps=0.1, steps=4, retries=0),
    EmbeddingPGD(eps=0.1, steps=4, retries=0, loss="margin"),
    Substitution(eps=2, neighbours=5, cosine=-1.0),
)
MARGINS = Policy(max_clean_drop=0.1, max_robust_drop=0.1, max_class_drop=None, min_robust=None)


def small():
    return Encoder(kinds_of(WORDS.vocabulary), width=16, heads=2, inner=16, depth=3, length=8)


def data():
    """Texts of words from one half of the vocabulary, or from the other."""

    def split(n, seed):
        x, y = texts(n, seed=seed, words=5), torch.arange(n) % 2
        half = FIRST + (x[:, 1:6] - FIRST) % 25 + 25 * y[:, None]
        return Split(torch.cat((x[:, :1], half, x[:, 6:]), 1), y)

    return Data("halves", ("first", "second"), split(160, 0), split(60, 1), "made here", WORDS.text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights of a parent, of what is left of it without a layer, and of a copy whose weights were shaken."""
    place = tmp_path_factory.mktemp("texts")
    torch.manual_seed(0)
    net = small()
    finetune(net, data().train, Recipe(name="train", epochs=6, lr=0.1, batch_size=16, weight_decay=0.0), 0)
    save_weights(net, place / "parent.safetensors")
    short = remove(net, ["layers.1"], data().test.x[:1])
    described = {"robustprune": json.dumps({"removed": ["layers.1"]})}
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weights in short.named_parameters():
            if name != "embedding.weight":
                weights += 0.8 * weights.abs().mean() * torch.randn(weights.shape, generator=generator)
    save_weights(short, place / "pruned.safetensors", described)
    return place


def reviewed(folder, weights, **settings):
    parent = open_parent(f"{HERE}:small", folder / "parent.safetensors", data().test.x[:1])
    spec = "" if "pruned" in weights else f"{HERE}:small"
    request = Request(
        candidate=open_candidate(spec, folder / weights, parent),
        parent=parent,
        **{
            "data": data(),
            "attacks": ATTACKS,
            "policy": MARGINS,
            "batches": (1,),
            "timing_seconds": 0.01,
            "effort": Effort(curve_samples=60, curve_steps=4, service_samples=8),
            **settings,
        },
    )
    with little_evidence():
        return review(request, Store(folder=folder / "store"), Silent())


@pytest.fixture(scope="module")
def pruned(folder):
    return reviewed(folder, "pruned.safetensors")


@pytest.fixture(scope="module")
def bundle(pruned, folder):
    write_bundle(pruned, folder / "bundle")
    return folder / "bundle"


def test_a_pruned_twin_that_is_much_worse_fails_and_an_identical_one_passes(folder, pruned):
    assert pruned.verdict.verdict == "FAIL"
    assert sum(pruned.candidate.clean) < sum(pruned.parent.clean) - 6
    assert pruned.candidate.removed == ["layers.1"]
    same = reviewed(folder, "parent.safetensors")
    assert same.verdict.verdict == "PASS", same.verdict.reasons
    assert same.candidate.clean == same.parent.clean
    room = next(check for check in same.candidate.checks if check.number == 31)
    assert room.status == "pass", room.evidence


def test_texts_that_broke_are_shown_in_words_everywhere_and_are_what_the_attack_found(pruned, bundle):
    shown = pruned.exhibits.texts
    assert shown
    for one in shown:
        assert pruned.parent.worst[one.sample]
        assert not pruned.candidate.worst[one.sample]
        assert " ".join(one.text.before) == WORDS.text(data().test.x[one.sample])
        changed = sum(a != b for a, b in zip(one.text.before, one.text.after, strict=True))
        outcome = next(found for found in pruned.candidate.outcomes if found.attack == one.attack)
        assert changed == outcome.distance[one.sample]
    page, summary = ((bundle / name).read_text() for name in ("report.html", "summary.md"))
    first = shown[0].text.marked()
    assert escape(first) in page
    assert f"1 word exchanged: {first}" in summary or f"words exchanged: {first}" in summary
    assert "Newly broken samples" not in page
    assert "not made of texts" in page


def test_a_curve_over_words_is_that_of_attacks_with_so_many_words(folder, pruned):
    net, x, y = open_parent(f"{HERE}:small", folder / "parent.safetensors", data().test.x[:1]).load(), *_split()
    attack = Substitution(eps=1, neighbours=5, cosine=-1.0)
    curve = robust_curve(net, x, y, attack, [0, 1, 2, 4])
    for point in curve[1:]:
        alone = evaluate(net, x, y, [attack.change(eps=point.eps)]).outcomes[0]
        assert point.status == alone.status
    assert sum(curve[0].robust) > sum(curve[1].robust) > sum(curve[3].robust)
    drawn = pruned.exhibits.words["parent"]
    assert [one.eps for one in drawn] == [0, 1, 2, 3, 4]
    assert all(a.k >= b.k for a, b in pairwise(drawn))


def _split():
    return data().test.x[:40], data().test.y[:40]


def test_a_curve_behind_the_embedding_falls_at_the_distances_from_the_border():
    net, x = Bag(), texts(40)
    with torch.no_grad():
        y = net(x).argmax(1)
    scale = float(net.embedding.weight.detach().norm(dim=1).mean())
    lead = torch.stack([net.weights[row[row != 0]].sum() for row in x]).abs()
    distance = lead / (net.weigh.norm() * 2 * scale).detach()  # four free words
    levels = sorted(float(distance.quantile(share)) * 1.01 for share in (0.25, 0.5, 0.75))
    for point in robust_curve(net, x, y, EmbeddingPGD(eps=0, steps=30), levels):
        clear = ((distance - point.eps).abs() > 0.02 * point.eps).tolist()
        wanted = ["b" if one < point.eps else "r" for one in distance.tolist()]
        assert all(a == b for a, b, sure in zip(point.status, wanted, clear, strict=True) if sure)


def test_a_bundle_of_texts_holds_and_a_changed_text_is_found_out(bundle):
    assert verify(bundle).holds
    said = json.loads((bundle / "verdict.json").read_text())
    assert said["curves_over_words"]["candidate"][0]["eps"] == 0
    said["texts"][0]["after"][0] = "harmless"
    (bundle / "verdict.json").write_text(json.dumps(said, indent=1) + "\n")
    write_manifest(bundle)
    write_seal(bundle)
    problems = verify(bundle).problems
    assert any("exhibits" in one for one in problems), problems
    said["texts"][0]["sample"] = next(row for row in range(60) if row not in {one["sample"] for one in said["texts"]})
    (bundle / "verdict.json").write_text(json.dumps(said, indent=1) + "\n")
    write_manifest(bundle)
    write_seal(bundle)
    assert any("cannot be newly broken" in one or "exhibits" in one for one in verify(bundle).problems)


def test_the_command_takes_texts_from_a_function(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("robustprune.review.pages.NEEDED", ("no_such_library",))
    parent = f"{HERE}:small@{folder}/parent.safetensors"
    words = ["review", parent, "--parent", parent, "--data", f"{HERE}:data", "--samples", "24", "--words", "1"]
    spare = ["--effort", "service_samples=0", "--effort", "curve_samples=10", "--norm", "words", "--output", "out"]
    with little_evidence():
        found = CliRunner().invoke(main, [*words, *spare], prog_name="robustprune")
    assert found.exit_code == 3, found.output
    assert found.stdout.startswith("INCONCLUSIVE: these samples are too few to say")
    assert "substitution 8 of 8, words 1" in found.output
    assert "embedding" not in json.loads(Path("out/verdict.json").read_text())["curves"]


def test_sizes_and_kinds_that_do_not_fit_are_refused_in_a_line():
    assert sizes_of(True, None, (), ()) == {"embedding": (0.1,), "words": (3,)}
    assert sizes_of(True, "words", (), (1, 2)) == {"words": (1, 2)}
    for wrong in ((True, "Linf", (), ()), (True, "words", (0.1,), ()), (True, "embedding", (), (2,))):
        with pytest.raises(InputError, match="expected"):
            sizes_of(*wrong)
    with pytest.raises(InputError, match="is for texts"):
        sizes_of(False, None, (), (3,))


def planted(change):
    net = Bag()
    with torch.no_grad():
        change(net)
    return {"the parent": Bag(), "the candidate": net}


def longer(net):
    net.embedding.weight[:FIRST] *= 0.01
    net.embedding.weight[FIRST + 10 :] *= 0.01


def stirred(net):
    net.embedding.weight[FIRST:] = net.embedding.weight[FIRST:].flip(1)[torch.randperm(50)]


def renamed(net):
    net.kinds[FIRST] = 3


@pytest.mark.parametrize(
    ("change", "attack", "reason"),
    [
        (longer, EmbeddingPGD(eps=0.1), "times as long as the parent's"),
        (stirred, Substitution(eps=1), "have other neighbours"),
        (renamed, Substitution(eps=1), "one vocabulary"),
    ],
)
def test_a_candidate_whose_word_vectors_make_its_own_threat_smaller_is_refused(change, attack, reason):
    torch.manual_seed(0)
    x = texts(30)
    few = x.where(x < FIRST, FIRST + (x - FIRST) % 10)
    both = Data("few", ("a", "b"), *[Split(few, torch.arange(30) % 2)] * 2, "made here")
    check_texts({"the parent": Bag(), "the candidate": Bag()}, both, [attack])
    with pytest.raises(InputError, match=reason):
        check_texts(planted(change), both, [attack])


def test_a_network_without_these_words_or_without_an_embedding_is_refused():
    both = SimpleNamespace(test=Split(texts(4) + 3, torch.zeros(4, dtype=torch.int64)))
    with pytest.raises(InputError, match="knows 56 tokens, the data have numbers up to"):
        check_texts({"the parent": Bag()}, both, ())
    with pytest.raises(InputError, match="the parent: Flatten does not say where its embedding is"):
        check_texts({"the parent": torch.nn.Flatten()}, both, ())
