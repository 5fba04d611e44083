"""Runs a candidate as a service would; started as a file of its own, in a folder that holds what it is asked.

It imports torch and what builds the candidate, nothing of this program unless the candidate itself does. The folder
has job.json (what builds the network, in which order images come), images.pt, and state.pt where weights are loaded;
answers.pt is written at the end: logits one image at a time, from the very first call on, then in batches, then the
gradients of the margin on some images.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def main(folder: Path) -> None:
    """Answer the questions in a folder."""
    job: dict[str, Any] = json.loads((folder / "job.json").read_text())
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    images, labels = torch.load(folder / "images.pt", weights_only=True)
    device = torch.device(job["device"])
    net = network(job, torch.zeros(job["input"]) if images.is_floating_point() else images[:1])
    state = folder / "state.pt"
    if state.is_file():
        net.load_state_dict(torch.load(state, weights_only=True))
    net = net.to(device).eval()
    if not any(name.partition(".")[0] == "robustprune" for name in sys.modules):
        for name in [name for name in os.environ if name.startswith("ROBUSTPRUNE")]:
            del os.environ[name]
    images = images.to(device)
    order, graded = torch.tensor(job["order"]), torch.tensor(job["graded"])
    with torch.inference_mode():
        single = logits(net, images, order, 1)
        many = logits(net, images, order.flip(0), job["batch"])
    gradient = margins(net, images[graded], labels[graded].to(device))
    modules = sorted({".".join(name.split(".")[:2]) for name in sys.modules if name.split(".")[0] == "robustprune"})
    answers = {"single": single, "many": many, "gradient": gradient, "modules": modules}
    torch.save(answers, folder / "answers.part")
    (folder / "answers.part").rename(folder / "answers.pt")


def network(job: dict[str, Any], example: Tensor) -> nn.Module:
    """Build what a job names: a file's or module's factory, what ships, a name, a model of a suite."""
    how, where, name = job["how"], job["where"], job["name"]
    if how == "file":
        made = getattr(from_file(Path(where)), name)()
    elif how == "module":
        sys.path.append(os.getcwd())
        made = getattr(importlib.import_module(where), name)()
    elif how == "artefact":
        opened = importlib.import_module("robustprune.models.runtimes").open_runtime(Path(where))
        made = importlib.import_module("robustprune.models.artefact").Artefact(opened)
    elif how == "library":
        made = importlib.import_module("robustprune.models").Named(**job["arguments"])()
    elif how == "named":
        made = importlib.import_module("robustprune.names").names("models")[name]()
    else:
        suite = importlib.import_module("robustprune.suite.files").load_suite(where)
        model = next(case.model for case in suite.cases if case.model.name == name)
        made = importlib.import_module("robustprune.run.networks").builder(model, suite)()
    if job["removed"]:
        made = importlib.import_module("robustprune.prune").remove(made, job["removed"], example)
    net: nn.Module = made
    return net


def from_file(path: Path) -> Any:
    """Run a Python file as a module, with the modules beside it importable: by name, `.name` and `folder.name`."""
    sys.path.append(str(path.parent))
    for package in ("served_from", path.parent.name):
        found = importlib.util.find_spec(package) if package.isidentifier() else None
        if found is None or found.origin is None:
            bare = importlib.machinery.ModuleSpec(package, None, is_package=True)
            bare.submodule_search_locations = [str(path.parent)]
            sys.modules[package] = importlib.util.module_from_spec(bare)
    spec = importlib.util.spec_from_file_location(f"served_from.{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def logits(net: nn.Module, images: Tensor, order: Tensor, size: int) -> Tensor:
    """Return the logits (n, k) of images, shown in an order and so many at a time, in the order of the images."""
    shown = [net(images[some.to(images.device)]).float().cpu() for some in order.split(size)]
    found = torch.cat(shown)
    back = torch.empty_like(found)
    back[order] = found
    return back


def margins(net: nn.Module, images: Tensor, labels: Tensor) -> Tensor | None:
    """Return the gradient of how far the true class leads, image by image; None for a network that has none.

    Texts have it at their word vectors, as `embedding` of the network gives them.
    """
    points: list[Tensor] = []

    def keep(module: nn.Module, given: tuple[Any, ...], words: Tensor) -> Tensor:
        points.append(words.detach().requires_grad_())
        return points[-1]

    hooks = []
    if images.is_floating_point():
        points.append(images.clone().requires_grad_())
    else:
        hooks.append(net.get_submodule("embedding").register_forward_hook(keep))
    try:
        out = net(points[0] if points else images.clone()).float()
        true = out.gather(1, labels[:, None])[:, 0]
        rest = out.scatter(1, labels[:, None], -torch.inf).amax(1)
        return torch.autograd.grad((true - rest).sum(), points[0])[0].float().cpu()
    except RuntimeError:
        return None
    finally:
        for hook in hooks:
            hook.remove()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
