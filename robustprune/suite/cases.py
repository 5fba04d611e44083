"""A suite is plain frozen data: which models, pruned how, attacked with what, judged by which policy.

Passing an object is enough to use one's own model, data, criterion, recipe or attack; nothing has to be registered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from robustprune.errors import InputError
from robustprune.policy.policy import Policy
from robustprune.suite.refused import check_attacks, check_names, objects
from robustprune.suite.strategies import Strategy
from robustprune.typed import Count, FolderName, Label, NotNegative, Rule, Seconds, Seed, Sha256, check, mismatch

if TYPE_CHECKING:
    from torch import nn

    from robustprune.attacks import Attack
    from robustprune.data import Data
    from robustprune.finetune import Recipe


PARENT = "parent"
CONTROL = "dense, fine-tuned"
ARTEFACT = "finished artefact"

INT8 = "onnx-int8"
Ships = Literal["onnx", "onnx-int8", "bfloat16", "float16"]
SHIPS: dict[Ships, str] = {"onnx": "ONNX", "onnx-int8": "int8 ONNX", "bfloat16": "bfloat16", "float16": "float16"}
"""Formats in which a case may ship, and what they are called."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A network: how to build it, and where its weights come from.

    `weights` is a file (safetensors, or a state dict without code), looked for beside the suite file and then in the
    data folder; None means the model is trained from scratch with `recipe` and `seed`. With both the file is used, and
    `robustprune train` can make it anew. `sha256` refuses another file. Models of one `family` are the same network
    trained several times: tables fold them into one row, and claims about a strategy hold for the family.
    """

    name: Label
    build: Callable[[], nn.Module]
    weights: str | Path | None = None
    sha256: Sha256 | None = None
    recipe: Recipe | None = None
    seed: Seed = 0
    family: str = ""
    """Its own name where none is given."""

    def __post_init__(self) -> None:
        check(self, **objects())
        if self.weights is None and self.recipe is None:
            raise InputError(f"model {self.name!r}: give weights, or a recipe to train it with")
        object.__setattr__(self, "family", self.family or self.name)
        if found := mismatch(self.family, Label):
            raise InputError(f"model {self.name!r}: {found.below('family')}")

    def anew(self, number: int) -> Model:
        """The same network trained from scratch with another seed, one for each `number` from 1."""
        if self.recipe is None:
            raise InputError(f"model {self.name!r} has weights and no recipe: it cannot be trained anew")
        return replace(self, weights=None, sha256=None, seed=other_seed(self.seed, number))


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing to measure. Without strategy and recipe it is the parent itself; with a recipe alone the dense control.

    With `parent` set it is a finished artefact: `model` is attacked exactly as it is and compared with `parent`.
    With `ships` it is a copy of that network in a format of service (`SHIPS`), which answers itself while the float
    network lends it gradients; it is compared with the parent, and with the same case in float.
    """

    model: Model
    strategy: Strategy | None = None
    recipe: Recipe | None = None
    seed: Seed = 0
    parent: Model | None = None
    ships: Ships | None = None

    def __post_init__(self) -> None:
        check(self, **objects())

    @property
    def kind(self) -> str:
        """The strategy's name, or what kind of unpruned case this is, and as what it ships."""
        return self._made + self._form

    @property
    def _made(self) -> str:
        if self.strategy is not None:
            return self.strategy.name
        if self.parent is not None:
            return ARTEFACT
        return CONTROL if self.recipe is not None else PARENT

    @property
    def _form(self) -> str:
        return f" as {SHIPS[self.ships]}" if self.ships is not None else ""

    @property
    def id(self) -> str:
        """A name that is unique in its suite.

        >>> from robustprune.suite.cases import Case, Model
        >>> Case(model=Model(name="net", build=object, weights="net.safetensors")).id
        'net/parent'
        """
        parts = [self.model.name, self._made]
        if self.strategy is not None:
            parts[1] += f"-{self.strategy.remove:g}"
        parts[1] += self._form
        if self.recipe is not None:
            parts += [self.recipe.name]
        if self.strategy is not None or self.recipe is not None:
            parts += [f"seed{self.seed}"]
        return "/".join(parts)

    @property
    def subject(self) -> str:
        """What it is a run of: its name without the training's number and the seed."""
        return self.model.family + self.id.removeprefix(self.model.name).removesuffix(f"/seed{self.seed}")

    @property
    def parent_case(self) -> Case | None:
        """The unpruned case that this one is compared with; None where it is one itself."""
        if self.kind == PARENT:
            return None
        return Case(model=self.parent or self.model)

    @property
    def twin(self) -> Case | None:
        """The same case in float; None where this one does not ship as something else."""
        return replace(self, ships=None) if self.ships is not None else None


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A named set of cases on one data set, under the same attacks, judged by one policy.

    `samples` test images (class-balanced; None: all) are attacked. `minutes` states what a cold run costs on two
    cores; pytest runs suites over 10 minutes only when asked. `tier` says how much evidence is gathered for each
    number; `attack_batch` samples are attacked at a time (more of them serve a small network better; None: 128, on a
    GPU what its memory allows). Latency is taken for each of `batches` for `timing_seconds`, on `timing_threads` CPU
    threads (None: all). `seed` draws the samples and the random starts of the attacks.
    """

    name: FolderName
    data: Callable[[], Data]
    cases: Sequence[Case]
    attacks: Sequence[Attack]
    policy: Policy = field(default_factory=Policy)
    samples: Count | None = None
    seed: Seed = 0
    minutes: NotNegative = 10.0
    tier: Literal["quick", "standard", "full"] = "quick"
    attack_batch: Count | None = None
    batches: Annotated[tuple[Count, ...], Rule(bool, "one size or more")] = (1, 128)
    timing_seconds: Seconds = 1.0
    timing_threads: Count | None = None
    file: Path | None = None
    quick: bool = False

    def __post_init__(self) -> None:
        """Refuse two cases of one name, and no attack; add the parents and twins that are compared with others."""
        check(self, **objects())
        check_attacks(self.name, self.attacks)
        cases = list(self.cases)
        for case in self.cases:
            cases = [*(one for one in (case.parent_case, case.twin) if one is not None and one not in cases), *cases]
        check_names(self.name, [case.id for case in cases])
        object.__setattr__(self, "cases", tuple(cases))

    def replicated(self, number: int) -> Suite:
        """The same suite with other seeds throughout: parents, fine-tuning, scoring, samples, starts of attacks."""
        cases = [
            replace(
                case,
                model=case.model.anew(number),
                parent=None if case.parent is None else case.parent.anew(number),
                seed=case.seed if case.kind == PARENT else other_seed(case.seed, number),
            )
            for case in self.cases
        ]
        name = f"{self.name} (replicate {number})"
        return replace(self, name=name, cases=cases, seed=other_seed(self.seed, number))

    def quickly(self) -> Suite:
        """The same suite at a glance: one run, at most 64 samples, short timings. Too small for any claim."""
        models, seeds = dict[str, Model](), dict[str, int]()
        for case in self.cases:
            models.setdefault(case.model.family, case.model)
            if case.parent_case is not None:
                seeds.setdefault(case.model.name, case.seed)
        cases = [
            case
            for case in self.cases
            if case.model == models[case.model.family]
            and (case.parent_case is None or case.seed == seeds[case.model.name])
        ]
        samples = min(64, self.samples or 64)
        return replace(self, cases=cases, samples=samples, timing_seconds=0.1, quick=True)

    def only(self, cases: Iterable[Case]) -> Suite:
        """The same suite with some of its cases; parents are kept, since the others are compared with them."""
        chosen = list(cases)
        return replace(self, cases=[c for c in self.cases if c in chosen])


def other_seed(seed: int, number: int) -> int:
    """Return the seed that stands for `seed` in the replicate `number`.

    >>> other_seed(2, 0), other_seed(2, 3)
    (2, 3002)
    """
    return seed + 1000 * number


def grid(
    *,
    model: Model | Iterable[Model],
    strategy: Iterable[Strategy] = (),
    recipe: Recipe | None = None,
    seed: Iterable[int] = (0,),
    family: str | None = None,
    ships: Iterable[Ships] = (),
) -> tuple[Case, ...]:
    """Every model with every strategy and seed, its parent, and (with a recipe) the dense net fine-tuned as long.

    `family` names several models as one network trained several times; claims then hold for the family. Each of these
    cases is also measured in the formats in which it `ships`.
    """
    for name, value in (("model", model), ("strategy", strategy), ("seed", seed), ("ships", ships)):
        if isinstance(value, str) or not isinstance(value, Iterable | Model):
            raise InputError(f"grid: {name}={value!r:.100}, expected several, as in {name}=(one, another)")
    seeds, strategies, forms = tuple(seed), tuple(strategy), tuple(ships)
    if not seeds and (strategies or recipe is not None):
        raise InputError("grid: seed=(), expected one or more: each is a training run")
    cases: list[Case] = []
    models = [model] if isinstance(model, Model) else model
    for one in models if family is None else [replace(one, family=family) for one in models]:
        cases += [Case(model=one)]
        if recipe is not None:
            cases += [Case(model=one, recipe=recipe, seed=s) for s in seeds]
        cases += [Case(model=one, strategy=way, recipe=recipe, seed=s) for way in strategies for s in seeds]
    return (*cases, *(replace(case, ships=form) for case in cases for form in forms))
