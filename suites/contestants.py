"""What the suites on consensus share: who competes, at which depths, and on which parents.

Blocks go by every voter of the published consensus, by four ways to combine these, by criteria that see the network
attacked and their consensus with the eight, by weight norms and Taylor scores, and by controls: at random (five draws)
and by depth from either end. All look at the same 256 training images once, so that who chose the same blocks shares
one network. Where it is asked for, what the published consensus leaves is trained from scratch as well.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from robustprune.criteria import EIGHT, Criterion, DepthFirst, DepthLast, Random, Taylor, WeightNorm
from robustprune.criteria.catalogue import ROBUST, robust_consensus
from robustprune.criteria.consensus import CONSENSUS, Consensus
from robustprune.criteria.fitted import fitted_weights
from robustprune.finetune import Recipe
from robustprune.suite import Case, Model, Strategy, grid

DRAWS = 5
REMOVALS = (3, 2, 4, 1, 5, 6)
"""Of the 9 blocks of a ResNet-20 the first and the two that change the resolution stay. The order is that of work: half
way criteria differ most."""

CRITERIA: tuple[Criterion, ...] = (
    *(Random(draw=draw) for draw in range(DRAWS)),
    DepthFirst(),
    DepthLast(),
    WeightNorm(),
    Taylor(),
    *EIGHT,
    *(make() for make in ROBUST.values()),
    *(make() for make in CONSENSUS.values()),
    robust_consensus(),
)


FITTED = Path(__file__).parent / "weights" / "consensus_fitted.json"
"""What serves eight networks on digits, asked to serve others; `robustprune tune suites/digits.py --by voter --networks
20 --output suites/weights/consensus_fitted.json` found it."""


def fitted() -> Criterion:
    """The eight voters with weights that were fitted elsewhere."""
    return Consensus(name="consensus-fitted", weights=fitted_weights(FITTED))


def removing(k: int, criterion: Criterion) -> Strategy:
    """Take away `k` blocks wherever the criterion says."""
    return Strategy(criterion=criterion, remove=k, keep_per_stage=0)


def parents(build: Callable[[], nn.Module], data: str, recipe: Recipe, runs: int = 2) -> list[Model]:
    """The same network trained `runs` times; the files lie beside the suites."""
    family = "resnet20-at" if recipe.adversarial else "resnet20"
    return [
        Model(
            name=f"{family}-{run}",
            family=family,
            build=build,
            weights=f"weights/{data}_{family}_{run}.safetensors",
            recipe=recipe,
            seed=run,
        )
        for run in range(runs)
    ]


def cases(
    models: Iterable[Model],
    epochs: int,
    samples: int | None = None,
    more: Iterable[Criterion] = (),
    removals: Sequence[int] = REMOVALS,
    scratch: Iterable[int] = (),
) -> list[Case]:
    """All criteria, and `more`, on all parents, fine-tuned the way these were trained, distilled from them by halves.

    With so many blocks gone as `scratch` says, the shape that consensus leaves is also trained as its parent was, anew.
    """
    found, choices = list[Case](), [removing(k, one) for k in removals for one in (*CRITERIA, *more)]
    for model in models:
        assert model.recipe is not None
        short = replace(model.recipe, name="ft", epochs=epochs, lr=0.02, distill=0.5, samples=samples)
        found += grid(model=model, strategy=choices, recipe=short, seed=[10 * model.seed])
        anew = replace(model.recipe, name="scratch", anew=True)
        shapes = [removing(k, Consensus()) for k in scratch]
        found += [Case(model=model, strategy=shape, recipe=anew, seed=10 * model.seed) for shape in shapes]
    return sorted(found, key=lambda case: -1 if case.strategy is None else removals.index(int(case.strategy.remove)))
