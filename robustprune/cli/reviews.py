"""The verbs `review`, `verify`, `stage` and `export`. Heavy imports are made by the verb that needs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from robustprune.cli.ending import DONE, FAIL, Ending, one_line
from robustprune.cli.handing import handing_options
from robustprune.cli.options import energy_options, policy_options
from robustprune.cli.reviewed import request_of
from robustprune.cli.verbs import (
    COMMAND,
    FILE,
    FOLDER,
    Recorded,
    data_option,
    device_option,
    example,
    results_option,
)

if TYPE_CHECKING:
    from robustprune.cli.handing import Handing
    from robustprune.policy.policy import Policy


TIERS = click.Choice(["quick", "standard", "full"])


Verb = TypeVar("Verb", bound=Callable[..., Any])


@click.command(
    cls=Recorded,
    epilog=example(
        "robustprune review cifar10-resnet20@new.th --parent cifar10-resnet56@old.th --data cifar10",
        "0 PASS, 1 FAIL, 3 INCONCLUSIVE or UNTRUSTED",
    ),
)
@click.argument("candidate")
@click.option("--parent", required=True, metavar="SPEC[@FILE]", help="The model in service.")
@click.option("--weights", type=Path, help="Weights of the candidate.")
@click.option("--twin", metavar="SPEC[@FILE]", help="The float network that a CANDIDATE which ships was made from.")
@click.option("--parent-weights", type=Path, help="Weights of the parent.")
@click.option("--data", required=True, help="Name, .npz, .parquet, a folder of pictures, or file.py:function.")
@click.option("--samples", type=click.IntRange(1), help="Class-balanced test samples [1000 in tier quick, else all].")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Which samples are drawn."
)
@click.option(
    "--tier",
    type=TIERS,
    default="quick",
    show_default=True,
    help="How strong the attacks and the evidence are.",
)
@click.option("--norm", help="Linf, L2 or L1 [Linf]; of texts embedding or words [both].")
@click.option("--eps", multiple=True, help="Budget in [0,1] pixel units, repeatable [Linf 8/255, L2 0.5, L1 12].")
@click.option("--words", type=click.IntRange(1), multiple=True, help="Of texts: words exchanged, repeatable [3].")
@click.option("--attack", "attacks", multiple=True, help="Only this attack, repeatable; see `list attacks`.")
@click.option("--shipped", type=FILE, help="What goes into service, .onnx or TorchScript: compared with the candidate.")
@click.option("--training-hashes", type=FILE, help="What the candidate learned from: see `robustprune hashes`.")
@click.option("--held-out", help="More data, drawn as DATA was, that nobody learned from [the test images not drawn].")
@click.option("--effort", multiple=True, metavar="NAME=N", help="What else is spent, such as service_samples=64.")
@energy_options
@handing_options
@policy_options
@device_option
@data_option
@click.pass_context
def review(ctx: click.Context, /, policy: Callable[[Policy], Policy], handing: Handing, **options: Any) -> Ending:
    """May CANDIDATE ship in place of its parent? Verdict first, evidence in a bundle.

    Texts come from a function, --data file.py:function, and of a TextNetwork. They are attacked in a ball behind the
    embedding (--eps, in mean lengths of a word vector) and by exchanging words for neighbours (--words).

    CANDIDATE is package.module:factory, path/to/file.py:factory or a name from `list models`, with weights
    by --weights or as SPEC@FILE. A safetensors file that `robustprune export` wrote stands alone: the
    parent's factory builds it. Factories are code and are run; weight files never are.

    Or a name that a library knows: torchvision:NAME, timm:NAME, hf:FOLDER_OR_NAME. Without a file it has the library's
    own weights where they are on this machine; @download gets them, @random are none.

    What ships is reviewed itself: an .onnx (int8 too), a TorchScript .pt, a .pt2, or the words bfloat16 and float16
    for a copy of the twin. The file decides what is adversarial, its float --twin gives the gradients, and two attacks
    ask the file alone; without a twin these are all there is, and the verdict is UNTRUSTED at best.

    \b
    A pair of keys, for --sign KEY and `verify --key PUB`:
      openssl genpkey -algorithm ed25519 -out key.pem
      openssl pkey -in key.pem -pubout -out key.pub
    """
    from robustprune.review import gate
    from robustprune.review.bundle import reserved
    from robustprune.run.own import own_store
    from robustprune.run.progress import Display

    request = request_of(options, policy, ctx.meta[COMMAND])
    files = (*(side.file for _, _, side in request.sides), options["shipped"], options["training_hashes"])
    handing = replace(handing, inputs=(*handing.inputs, *filter(None, files)))
    folder = handing.folder(f"{request.candidate.name}-review")
    with reserved(folder):
        with Display("review", len(request.sides)) as display:
            found = gate.review(request, own_store(Path(".robustprune") / "reviews"), display)
        handing(found, folder)
    return Ending(code=found.exit_code, kind="bundle", paths=(str(folder.absolute()),))


@click.command(
    epilog=example("robustprune verify pruned-review --weights pruned.safetensors", "0 it holds, 1 it does not")
)
@click.argument("bundle", type=FOLDER)
@click.option("--weights", type=FILE, help="Is this the candidate that was reviewed?")
@click.option("--key", type=FILE, metavar="PUB", help="Did the owner of this public key sign it? (`review --sign`)")
def verify(bundle: Path, weights: Path | None, key: Path | None) -> Ending:
    """Is BUNDLE as it was written, and does its verdict follow from its outcomes?

    Recomputes every hash, and the verdict with all findings from the outcomes; names what does not hold. It needs
    the seal that a review has written.
    """
    from robustprune.review.verify import verify as check

    found = check(bundle, weights, key)
    for problem in found.problems:
        click.echo(one_line(f"MISMATCH {problem}"))
    if found.holds:
        click.echo(f"OK: {found.files} files and {found.findings} findings hold; the verdict is {found.verdict}")
        click.echo(one_line(found.note))
    click.echo(f"manifest sha256 {found.seal}")
    return Ending(code=DONE if found.holds else FAIL)


@click.command(
    cls=Recorded,
    epilog=example(
        "robustprune stage suites/digits.py --criterion consensus --step 0.2",
        "0 a stage passed, else 1 or 3 as the first",
    ),
)
@click.argument("suite")
@click.option("--model", help="Name of the model [the suite's only one].")
@click.option("--criterion", help="Which strategy of the suite prunes [consensus, else the first].")
@click.option("--step", default=0.1, show_default=True, help="Share of the removable MACs a stage adds.")
@click.option("--most", default=1.0, show_default=True, help="Share of the removable MACs after which to stop.")
@click.option("--output", type=FOLDER, help="Folder for the curve, the network and its bundle [<suite>-stages].")
@results_option
@policy_options
@device_option
@data_option
@click.pass_context
def stage(ctx: click.Context, /, policy: Callable[[Policy], Policy], **options: Any) -> Ending:
    """How far can pruning go? Stage by stage, until one does not pass.

    Each stage prunes the parent of SUITE by so many per cent of its removable MACs, fine-tunes and reviews
    it. The last that passes is handed over, with its evidence.
    """
    from robustprune.rollout.hand_over import Request, run_rollout
    from robustprune.run.shelf import shelf
    from robustprune.suite.files import open_suite

    opened = open_suite(options["suite"])
    opened = replace(opened, policy=policy(opened.policy))
    chosen = {name: options[name] for name in ("model", "criterion", "step", "most")}
    store = shelf(opened, options["results"]).store
    request = Request(suite=opened, **chosen)
    lines, code = run_rollout(request, options["output"], store, options["device"], ctx.meta[COMMAND])
    for line in lines:
        click.echo(line)
    folder = (options["output"] or Path(f"{opened.name}-stages")).absolute()
    return Ending(code=code, kind="stages", paths=(str(folder / "bundle"),))


@click.command(epilog=example("robustprune export suites/digits.py consensus-7 --format onnx --output release"))
@click.argument("suite")
@click.argument("case")
@click.option("--format", "form", type=click.Choice(["safetensors", "onnx"]), default="safetensors", show_default=True)
@click.option("--int8", is_flag=True, help="ONNX, and an int8 file of it, its scales found on training samples.")
@click.option("--output", type=FOLDER, required=True, help="Folder for the network and its model card section.")
@results_option
@device_option
@data_option
def export(suite: str, case: str, form: str, int8: bool, output: Path, results: Path | None, device: str) -> Ending:
    """Write a measured CASE of SUITE as a file that ships, with a section for its model card.

    CASE is a name, or a part of one that only one case has. ONNX is compared with onnxruntime on real
    samples.
    """
    from robustprune.ship.case import export_case
    from robustprune.ship.int8 import INT8

    for line in export_case(suite, case, INT8 if int8 else form, output, results, device):
        click.echo(line)
    return Ending(kind="files", paths=(str(output.absolute()),))


VERBS = (review, verify, stage, export)
