"""What the command line of `review` asks: everything that it names, opened."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from robustprune.cli.options import effort_of, fractions, metering
from robustprune.errors import InputError

if TYPE_CHECKING:
    from robustprune.policy.policy import Policy
    from robustprune.review.request import Request


def request_of(options: dict[str, Any], policy: Callable[[Policy], Policy], command: str) -> Request:
    """Open everything that the command line names."""
    from robustprune.cli.attacks import check_sizes, named_attacks, samples_of, sizes_of, tier_attacks
    from robustprune.data import load_data
    from robustprune.evidence.training_data import read_hashes
    from robustprune.machine import pick_device
    from robustprune.models.lending import is_text
    from robustprune.policy.policy import Policy
    from robustprune.review.artefacts.opened import open_reviewed
    from robustprune.review.given import open_parent
    from robustprune.review.request import Request
    from robustprune.run.queries import chosen_possible, with_queries
    from robustprune.suite.refused import check_attacks

    pick_device(options["device"])
    if options["shipped"] is not None and not options["shipped"].is_file():
        raise InputError(
            f"--shipped {options['shipped']}: no such file; expected what ships, an .onnx or a TorchScript .pt"
        )
    data = load_data(options["data"], test_share=1)
    hashes, held_out, tier, words = (options[name] for name in ("training_hashes", "held_out", "tier", "words"))
    eps, chosen = fractions(options["eps"]), options["attacks"]
    sizes = sizes_of(is_text(data.test.x), options["norm"], eps, words)
    parent = open_parent(options["parent"], options["parent_weights"], data.test.x[:1])
    candidate, twin = open_reviewed(options["candidate"], options["weights"], options["twin"], parent)
    attacks = named_attacks(chosen, sizes) if chosen else tier_attacks(tier, sizes, len(data.classes))
    check_sizes(attacks, eps, words)
    if candidate.ships is not None:
        if options["shipped"] is not None:
            raise InputError(f"--shipped {options['shipped']}: {candidate.name} ships itself; give one of them")
        attacks = (chosen_possible if chosen else partial(with_queries, tier=tier))(attacks, gradients=twin is not None)
    check_attacks("review", attacks)
    return Request(
        candidate=candidate,
        twin=twin,
        parent=parent,
        data=data,
        attacks=attacks,
        policy=policy(Policy()),
        samples=options["samples"] or samples_of(tier),
        seed=options["seed"],
        tier=tier,
        device=options["device"],
        shipped=options["shipped"],
        training=None if hashes is None else tuple(read_hashes(hashes)),
        held_out=None if held_out is None else load_data(held_out, test_share=1).test,
        command=command,
        effort=effort_of(options["effort"]),
        energy=metering(options["energy"], options["country"]),
    )
