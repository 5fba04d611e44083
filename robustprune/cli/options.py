"""The policy on the command line: a TOML file, and flags, each of which overrides one field of what is there."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustprune.errors import InputError
from robustprune.policy.policy import Policy, load_policy

if TYPE_CHECKING:
    from robustprune.cost.energy import Metering
    from robustprune.review.extras import Effort
    from robustprune.run.executors import Executor

NONE = "none"
DIGITS = 9
"""Of a number that can be meant."""


class Share(click.ParamType[Any]):
    """A proportion, or `none` where a margin may be absent."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read 0.01 or none; the policy itself says what is out of range."""
        if not isinstance(value, str):
            return value
        if value.lower() == NONE:
            return NONE
        try:
            return float(value)
        except ValueError:
            return self.fail(f"{value!r} is no number and not 'none'", param, ctx)


def where_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb `--workers`, `--ray` and `--gpus-per-task`; it gets `workers`, and `executor` for a cluster."""

    @click.option("--workers", type=click.IntRange(1), help="Processes [one a core; one a GPU].")
    @click.option("--ray", metavar="ADDRESS", help="Measure on this Ray cluster; 'local' starts one here.")
    @click.option("--gpus-per-task", "gpus", type=click.FloatRange(0), help="GPUs of a task on Ray [1 on cuda].")
    @functools.wraps(verb)
    def wrapped(*args: Any, ray: str | None, gpus: float | None, **options: Any) -> Any:
        if ray is None and gpus is not None:
            raise click.UsageError("--gpus-per-task is for --ray ADDRESS")
        if ray is not None and options["workers"] is not None:
            raise click.UsageError("--workers is for this machine, --ray ADDRESS for a cluster: give one of them")
        return verb(*args, executor=None if ray is None else cluster(ray, gpus, options["device"]), **options)

    return wrapped


def cluster(address: str, gpus: float | None, device: str) -> Executor:
    """Return a Ray cluster as executor; a task gets a GPU where the device is one."""
    from robustprune.run.executors.ray_cluster import RayCluster

    return RayCluster(address=address, gpus=float(device.startswith("cuda")) if gpus is None else gpus)


FLAGS = {
    "max_clean_drop": "Clean accuracy that may be lost (0.01 is one point).",
    "max_robust_drop": "Robust accuracy that may be lost, under every attack.",
    "max_class_drop": "What any one class may lose, clean and robust; 'none' leaves classes out.",
    "min_saving": "Share of the parent's MACs that must be gone.",
    "max_latency_ratio": "Largest latency relative to the parent's; 'none': any.",
    "max_perplexity_ratio": "Largest perplexity of the next token relative to the parent's; 'none': any.",
    "confidence": "Level of the two-sided intervals.",
}


def policy_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb `--policy` and one flag a margin; it gets `policy`, which puts them over the policy given to it."""

    @functools.wraps(verb)
    def wrapped(*args: Any, policy: Path | None, blocking: str | None, **options: Any) -> Any:
        flags = {name: options.pop(name) for name in FLAGS}
        given = {name: value for name, value in flags.items() if value is not None}
        if blocking is not None:
            given["blocking"] = numbers(blocking)
        return verb(*args, policy=functools.partial(combined, policy, given), **options)

    for name, line in reversed(FLAGS.items()):
        wrapped = click.option(f"--{name.replace('_', '-')}", name, type=Share(), help=line)(wrapped)
    wrapped = click.option(
        "--blocking", help="Numbers of the validity checks that must pass, such as 2,3,12; or none."
    )(wrapped)
    file = click.Path(path_type=Path)
    return click.option("--policy", type=file, help="TOML file of margins; flags override it.")(wrapped)


def combined(file: Path | None, flags: Mapping[str, Any], basis: Policy) -> Policy:
    """Put a policy file, or else the `basis`, and flags together: a flag replaces one field.

    >>> combined(None, {"max_clean_drop": 0.005}, Policy(max_class_drop=None)).max_class_drop is None
    True
    """
    start = basis if file is None else load_policy(file)
    values: dict[str, Any] = {name: None if value == NONE else value for name, value in flags.items()}
    return replace(start, **values)


def numbers(text: str) -> tuple[int, ...] | None:
    """Read a list of numbers of validity checks.

    >>> numbers("2, 3,12"), numbers("none")
    ((2, 3, 12), None)
    """
    if text.strip().lower() == NONE:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--blocking {text!r}: expected numbers of validity checks, such as 2,3,12, or none") from None


def effort_of(texts: tuple[str, ...]) -> Effort:
    """Read how much a review spends beside its attacks, such as curve_steps=50.

    >>> effort_of(("curve_steps=50",)).curve_steps
    50
    """
    from robustprune.review.extras import Effort

    known = [field.name for field in fields(Effort)]
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        name = name.strip().replace("-", "_")
        number = int(value) if value.strip().isdecimal() and len(value) <= DIGITS else -1
        if name not in known or number < (name not in ("service_samples", "compiles")):
            raise InputError(
                f"--effort {text!r}: expected NAME=N, N above 0 and below a billion, with one of {', '.join(known)}"
            )
        found[name] = number
    return replace(Effort(), **found)


def energy_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb `--energy` and `--country`, see `metering`."""
    energy = click.option("--energy", is_flag=True, help="Measure joules too, with CodeCarbon, offline.")
    return energy(
        click.option("--country", metavar="ABC", help="Of three letters (ISO 3166): CO2 beside joules.")(verb)
    )


def metering(energy: bool, country: str | None) -> Metering | None:
    """Return how energy is measured; None where that was not asked for."""
    from robustprune.cost.energy import Metering

    if country is not None and not energy:
        raise InputError(f"--country {country}: is for --energy, which was not given")
    if country is not None and not re.fullmatch("[A-Z]{3}", country):
        raise InputError(
            f"--country {country!r}: expected a code of three capital letters (ISO 3166), such as DEU or USA"
        )
    return Metering(country=country) if energy else None


def fractions(texts: tuple[str, ...]) -> tuple[float, ...]:
    """Read budgets such as 8/255 or 0.03.

    >>> fractions(("8/255", "0.5")) == (8 / 255, 0.5)
    True
    """
    return tuple(_fraction(text) for text in texts)


def _fraction(text: str) -> float:
    above, _, below = text.partition("/")
    try:
        value = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        raise InputError(f"--eps {text!r}: expected a number such as 8/255 or 0.03, in [0,1] pixel units") from None
    if not 0 < value < float("inf"):
        raise InputError(f"--eps {text!r}: expected a number above 0, such as 8/255")
    return value
