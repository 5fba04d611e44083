"""A network's forward and backward pass as two CUDA graphs, by torch's recipe: what replaying them saves is measured.

The engine makes none: they save launches, which a batch as large as a GPU's memory allows hides anyway (README).
"""

import torch


def both_ways(net, x):
    """The logits (n, classes) at `x` (n, ...), and the gradient there in which each class weighs otherwise."""
    leaf = x.detach().clone().requires_grad_()
    logits = net(leaf.clone())
    weights = torch.linspace(-1, 1, logits.shape[1], device=x.device, dtype=logits.dtype)
    grad = torch.autograd.grad(logits, leaf, weights.expand_as(logits))[0]
    return logits.detach(), grad


class Replayed(torch.autograd.Function):
    """The two graphs as autograd knows functions; each pass has to go back before the next one goes forward."""

    @staticmethod
    def forward(ctx, x, graphs):
        ctx.graphs = graphs
        graphs["images"].copy_(x)
        graphs["ahead"].replay()
        return graphs["logits"].clone()

    @staticmethod
    def backward(ctx, steep):
        ctx.graphs["steep"].copy_(steep)
        ctx.graphs["back"].replay()
        return ctx.graphs["grad"].clone(), None


def replayed(net, x):
    """A function that replays the passes of `net` (eval, frozen, on a GPU) for batches of the shape of `x`."""
    leaf, side = x.detach().clone().requires_grad_(), torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            steep = torch.zeros_like(both_ways(net, leaf)[0])
    ahead, back, pool = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    with torch.cuda.graph(ahead, pool=pool, stream=side):
        logits = net(leaf.clone())
    with torch.cuda.graph(back, pool=pool, stream=side):
        (grad,) = torch.autograd.grad(logits, leaf, steep, retain_graph=True)
    torch.cuda.current_stream().wait_stream(side)
    graphs = {"images": leaf.detach(), "logits": logits.detach(), "steep": steep, "grad": grad}
    graphs |= {"ahead": ahead, "back": back}
    return lambda images: Replayed.apply(images, graphs)
