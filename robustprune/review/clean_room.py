"""Does the candidate behave in service as it did under attack? Validity check 31.

A network can tell an evaluation from a service: by the size of a batch, by how often it was called, by whether
gradients are recorded, by whether it is a copy, by what else is loaded. So images of the evaluation are shown to it
again in a fresh process that loads it as a service would (service.py): the clean ones, random ones and adversarial ones
from the ball, shuffled, one at a time and in batches. The logits must be those that the attacks, and the judge, got
here, and so must the gradients. What differs by more than rounding blocks: the numbers are then about another network.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robustprune.attacks.contract.target import Target
from robustprune.attacks.engine.evaluate import target_for
from robustprune.attacks.engine.settings import Settings
from robustprune.attacks.engine.texts.embedded import behind
from robustprune.evidence.registry import entered, holds, skipped
from robustprune.models.artefact import Artefact
from robustprune.models.lending import is_text
from robustprune.results.records import Check
from robustprune.review import service
from robustprune.review.given import Loading
from robustprune.review.shown import Shown
from robustprune.run.network import Network

NUMBER = 31

BATCH = 32
"""Images that the service is shown together."""

FIRST = 8
"""Calls, from the first of the process on, of which none may differ; later on a rounding network may, rarely."""

RARELY = 0.01
"""Share of the images on which a network that rounds its own numbers may differ."""

ROUNDING = 2e-3
"""Largest gap of logits that is rounding, as a share of a usual lead of one class over the next."""

FLOAT = 1e-5
"""The same, as a share of the largest logit."""

GRADED, ALIKE, MOSTLY = 16, 0.9, 0.8
"""Images whose gradients are compared; the cosine above which two are alike; the share of them that has to be."""

SECONDS = 1800
"""Longest time that the fresh process may take."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """What was seen in the clean room: `problems`, one line each; `broken` rows of the sample, by threat model."""

    images: int
    problems: tuple[str, ...]
    library: tuple[str, ...] = ()
    """Modules of robustprune that the candidate loads itself."""
    broken: Mapping[str, tuple[int, ...]]
    seconds: float = 0.0
    """What it took."""


def apart(folder: Path) -> str:
    """Run the service of a folder in a fresh process; return the last words of one that fails."""
    shutil.copy(service.__file__, folder / "service.py")
    command = [sys.executable, "-P", str(folder / "service.py"), str(folder)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False)
    return done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or f"exit code {done.returncode}"


def clean_room(
    network: Network, loading: Loading, shown: Shown, batch_size: int, start: Callable[[Path], str] = apart
) -> Room:
    """Show images to a candidate where `start` runs it, and compare with what it says here, under attack."""
    began = time.perf_counter()
    here, gradient = _here(network, shown, batch_size)
    answers = _there(network, loading, shown, start)
    if isinstance(answers, str):
        return Room(images=len(shown.images), problems=(answers,), broken={})
    problems = [*_differences(here, answers, shown), *_steepness(gradient, answers["gradient"], here)]
    broken = _broken(here["the judge"], answers, shown) if problems else {}
    found = tuple(str(name) for name in answers["modules"])
    return Room(
        images=len(shown.images),
        problems=tuple(problems),
        library=found,
        broken=broken,
        seconds=time.perf_counter() - began,
    )


def room_check(found: Room | str) -> Check:
    """Validity check 31; a text says why there was no clean room.

    >>> room_check("not asked for").status
    'skipped'
    """
    if isinstance(found, str):
        return entered(NUMBER, skipped(f"unmeasured: {found}"))
    loaded = f", which loads {', '.join(found.library)} itself" if found.library else ""
    seen = f"{found.images} samples in a fresh process{loaded}: one at a time, in batches, from the first call on"
    lost = sum(map(len, found.broken.values()))
    told = "; ".join([*found.problems, *([f"{lost} robust samples are broken there"] if lost else [])])
    figures = {"images": found.images, "broken": lost, "seconds": round(found.seconds, 1)}
    seen = f"{seen}; {told or 'the same logits and gradients as under attack'}"
    return entered(NUMBER, holds(not found.problems, seen, figures=figures))


def _here(network: Network, shown: Shown, batch_size: int) -> tuple[dict[str, Tensor], Tensor | None]:
    """Return the logits as the attacks and the judge get them, by who asks, and gradients as the attacks get them."""
    settings = Settings(batch_size=batch_size, precision="float32")
    with target_for(network.model, shown.clean, settings) as target:
        images = shown.images.to(target.device)
        ways = {
            "the copy that is attacked": torch.cat(list(_recorded(target.model, images, target))),
            "the network while gradients are recorded": torch.cat(list(_recorded(target.judge, images, target))),
            "the judge": _judged(target, images),
            "the judge, again": _judged(target, images),
        }
        graded = shown.graded
        lent = isinstance(network.model, Artefact)  # gradients that what ships does not have in service
        labels = shown.labels[graded].to(target.device)
        gradient = None if lent else _followed(target, images[graded], labels)
    return ways, gradient


def _followed(target: Target, x: Tensor, labels: Tensor) -> Tensor | None:
    """Return the gradients that attacks follow: at images `x` (n, C, H, W), of texts (n, T) at their word vectors."""
    if not is_text(x):
        return service.margins(target.model, x, labels)
    inner, net = behind(target)
    found = service.margins(inner.model, net.embedded(x), labels)
    return None if found is None else found[..., :-1]


def _recorded(net: torch.nn.Module, images: Tensor, target: Target) -> Iterator[Tensor]:
    for part in images.split(target.batch_size):
        yield net(part.clone().requires_grad_(not is_text(part))).detach().float().cpu()


@torch.no_grad()
def _judged(target: Target, images: Tensor) -> Tensor:
    return torch.cat([target.judge(part).float().cpu() for part in images.split(target.batch_size)])


def _there(network: Network, loading: Loading, shown: Shown, start: Callable[[Path], str]) -> dict[str, Any] | str:
    """Return what the candidate says in a fresh process; a line where it cannot be asked."""
    job = {
        "how": loading.how,
        "where": loading.where,
        "name": loading.name,
        "arguments": dict(loading.arguments),
        "removed": [*loading.removed, *network.removed],
        "input": list(network.example.shape),
        "device": str(network.example.device),
        "batch": BATCH,
        "order": shown.order,
        "graded": shown.graded,
    }
    folder = Path(tempfile.mkdtemp(prefix="service-"))
    try:
        (folder / "job.json").write_text(json.dumps(job))
        torch.save((shown.images.cpu(), shown.labels.cpu()), folder / "images.pt")
        if loading.weights:
            torch.save(dataclasses.replace(network).model.state_dict(), folder / "state.pt")
        last = start(folder)
        answers: dict[str, Any] = torch.load(folder / "answers.pt", weights_only=True)
        return answers
    except subprocess.TimeoutExpired:
        return f"it did not end within {SECONDS} s"
    except FileNotFoundError:
        return f"it cannot be loaded and run as a service would ({last})"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _differences(here: Mapping[str, Tensor], answers: Mapping[str, Any], shown: Shown) -> Iterator[str]:
    """Say which way of asking gives other logits than the service, beyond rounding and the network's own chance."""
    judge = here["the judge"]
    if answers["single"].shape != judge.shape:
        yield f"it gives logits of shape {tuple(answers['single'].shape)}, here {tuple(judge.shape)}"
        return
    first = torch.zeros(len(judge), dtype=torch.bool)
    first[shown.order[:FIRST]] = True
    random = float((judge - here["the judge, again"]).abs().nan_to_num().max())
    allowed = rounding(judge) + 4 * random
    rare = int(RARELY * len(judge))
    for there, name in (("single", "one at a time"), ("many", f"in batches of {BATCH}")):
        for way in ("the copy that is attacked", "the network while gradients are recorded", "the judge"):
            gap = (answers[there] - here[way]).nan_to_num(0.0, 0.0, 0.0).abs().amax(1)
            unlike = (gap > allowed) | (answers[there].isfinite() != here[way].isfinite()).any(1)
            early = there == "single" and bool(unlike[first].any())
            if early or int(unlike.sum()) > rare:
                yield (
                    f"{name} it gives other logits than {way} on {int(unlike.sum())} of {len(gap)} samples, by "
                    f"{float(gap.max()):.3g} where {allowed:.2g} is rounding"
                )


def rounding(logits: Tensor) -> float:
    """Return the gap of logits (n, k) that rounding explains, from usual leads and from the largest logit.

    >>> round(rounding(torch.tensor([[10.0, 0.0], [0.0, 10.0]])), 3)
    0.02
    """
    finite = logits.nan_to_num(0.0, 0.0, 0.0)
    top = finite.topk(min(2, finite.shape[1]), 1).values
    lead = float((top[:, 0] - top[:, -1]).quantile(0.9))
    return max(ROUNDING * lead, FLOAT * float(finite.abs().max()))


def _steepness(here: Tensor | None, there: Tensor | None, ways: Mapping[str, Tensor]) -> Iterator[str]:
    """Say whether the gradients that attacks follow are those of the network in service."""
    if here is None or there is None:
        if (here is None) != (there is None):
            yield f"it has gradients {'under attack' if there is None else 'in service'} alone"
        return
    if float((ways["the judge"] - ways["the judge, again"]).abs().max()) > rounding(ways["the judge"]):
        return
    a, b = here.flatten(1), there.flatten(1)
    sizes = a.norm(dim=1), b.norm(dim=1)
    alike = (a * b).sum(1) >= ALIKE * sizes[0] * sizes[1]
    alike &= (sizes[0] > 0) == (sizes[1] > 0)
    if float(alike.float().mean()) < MOSTLY:
        yield f"the gradients that attacks follow are those of the network in service on {int(alike.sum())} of {len(a)}"


def _broken(judge: Tensor, answers: Mapping[str, Any], shown: Shown) -> dict[str, tuple[int, ...]]:
    """Return the rows of the sample whose adversarial image is right here and wrong there, by threat model."""
    right = judge.argmax(1) == shown.labels
    wrong = (answers["single"].argmax(1) != shown.labels) | (answers["many"].argmax(1) != shown.labels)
    found: dict[str, set[int]] = {}
    for place in (right & wrong).nonzero().flatten().tolist():
        if shown.threats[place]:
            found.setdefault(shown.threats[place], set()).add(shown.rows[place])
    return {threat: tuple(sorted(rows)) for threat, rows in found.items()}
