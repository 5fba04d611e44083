"""What a review shows beside the two results: structure, images made on the parent, pictures, and what ships."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from robustprune.attacks import Transfer
from robustprune.evidence import trust
from robustprune.models.artefact import Artefact
from robustprune.results.exchanged import EMBEDDING, WORDS
from robustprune.results.records import BROKEN, ROBUST, CaseResult, Check, Outcomes
from robustprune.review.anatomy import anatomy, compare
from robustprune.review.changes import Changes
from robustprune.review.clean_room import Room, room_check
from robustprune.review.exhibits import broken_texts, curves, gallery
from robustprune.review.record import Exhibits
from robustprune.run.attacked import Attacked, chains
from robustprune.run.bench import Bench
from robustprune.run.case import Finished
from robustprune.run.similarity import IMAGES, layer_similarity


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is spent on what a review shows beside the two results.

    `transfer_steps` of PGD on the parent; `curve_steps` of PGD on `curve_samples` samples at most, for every eps;
    `service_samples` are shown to the candidate in a clean room.
    """

    transfer_steps: int = 20
    curve_samples: int = 256
    curve_steps: int = 20
    service_samples: int = 64
    compiles: int = 1
    """0 leaves torch.compile out of the times of what ships."""


def exhibits(parent: Finished, candidate: Finished, bench: Bench, effort: Effort) -> Exhibits:
    """Make what the pictures show beside the outcomes."""
    networks = {"parent": parent.network, "candidate": candidate.network}
    if isinstance(candidate.network.model, Artefact) and candidate.network.model.twin is None:
        del networks["candidate"]  # its curve would be that of an attack without gradients
    drawn = curves(networks, bench, effort.curve_samples, effort.curve_steps)
    words = drawn.pop(WORDS, {})
    return Exhibits(
        gallery=gallery(parent, candidate, bench),
        curves=next(iter(drawn.values()), {}),
        words=words,
        texts=broken_texts(parent, candidate, bench),
    )


def changed(parent: Finished, candidate: Finished, bench: Bench) -> Changes:
    """Say what changed in the structure."""
    old, new = (anatomy(_built(one.network.model), bench.example) for one in (parent, candidate))
    return compare(old, new)


def _built(net: nn.Module) -> nn.Module:
    """The network itself, of what ships its float twin's."""
    return net.twin if isinstance(net, Artefact) and net.twin is not None else net


def with_structure(candidate: Finished, parent: Finished, bench: Bench) -> Finished:
    """Fill in what an artefact does not know of itself: which of the parent's blocks went, how similar it is.

    Similarity is given only where every block that can still be removed has its namesake in the parent.
    """
    old, new = parent.network.model, _built(candidate.network.model)
    blocks = {name: sum(p.numel() for p in module.parameters()) for name, module in new.named_modules()}
    removed = [name for name in parent.result.blocks if not blocks.get(name)]
    if len(removed) == len(parent.result.blocks):
        return candidate
    names = {name for name, _ in old.named_modules()}
    own = anatomy(new, bench.example).blocks
    train = bench.data.train
    x = train.balanced(min(IMAGES, len(train)), seed=0).x.to(bench.device)
    similarity = layer_similarity(old, new, x) if own and names.issuperset(own) else {}
    result = dataclasses.replace(candidate.result, removed=removed, similarity=similarity)
    return dataclasses.replace(candidate, result=result)


def with_checks(candidate: CaseResult, checks: Sequence[Check]) -> CaseResult:
    """Enter validity checks among the candidate's."""
    for check in checks:
        candidate = _with(candidate, check)
    return candidate


def with_room(candidate: CaseResult, room: Room | str) -> CaseResult:
    """Enter validity check 31 among the candidate's; what is broken in service counts as broken."""
    outcomes = list(candidate.outcomes)
    for threat, rows in ({} if isinstance(room, str) else room.broken).items():
        last = max(place for place, one in enumerate(outcomes) if one.threat == threat)
        letters = list(outcomes[last].status)
        for row in rows:
            letters[row] = BROKEN if letters[row] == ROBUST else letters[row]
        outcomes[last] = dataclasses.replace(outcomes[last], status="".join(letters))
    return _with(dataclasses.replace(candidate, outcomes=outcomes), room_check(room))


def _with(candidate: CaseResult, check: Check) -> CaseResult:
    """Enter a check in its place, and say what all of them add up to."""
    checks = sorted([*(one for one in candidate.checks if one.number != check.number), check], key=lambda c: c.number)
    return dataclasses.replace(candidate, checks=checks, trust=trust(checks))


def transfers(parent: Finished, candidate: Finished, bench: Bench, effort: Effort) -> tuple[Outcomes, ...]:
    """Attack the candidate with images made on the parent, once for every ball of a norm that the suite attacks in.

    What is made of texts behind one network's embedding is nothing that another reads, so none are transferred.
    """
    found: list[Outcomes] = []
    images = [attack for attack in bench.suite.attacks if attack.in_a_ball and attack.norm not in (EMBEDDING, WORDS)]
    for chain in chains(images):
        attack = Transfer(eps=chain[0].eps, norm=chain[0].norm, steps=effort.transfer_steps)
        wanted = Attacked(
            network=candidate.network,
            parent=parent.network,
            sample=bench.sample,
            attacks=(attack,),
            device=str(bench.device),
        )
        found += bench.obtain(wanted).outcomes
    return tuple(found)
