"""Small networks that show one property each, and torchvision's, with the blocks they must have."""

import functools

import torch
from torch import nn
from torch.nn import functional
from torchvision import models as tv
from torchvision.models.convnext import CNBlock
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.vision_transformer import EncoderBlock, VisionTransformer

from robustprune.models import CifarResNet, resnet4b


def lively(model, seed=0):
    """Noise on every parameter: torchvision starts heads at 0 and layer scales at 1e-6."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.05 * torch.randn(weights.shape, generator=generator))
    return model.eval()


def images(*shape, seed=1):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


class Residual(nn.Module):
    """x + f(x), activation last, as the keyword says."""

    def __init__(self, channels=4, after=None, inplace=False):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.after, self.inplace = after or nn.Identity(), inplace

    def forward(self, x):
        out = self.norm(self.conv(x))
        if self.inplace:
            out += x
            return self.after(out)
        return self.after(x + out)


class PreActivation(nn.Module):
    def __init__(self, before, channels, stride=1, inplace=False):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(before), nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.relu = nn.ReLU(inplace=inplace)
        self.project = nn.Conv2d(before, channels, 1, stride) if stride > 1 else None

    def forward(self, x):
        out = self.relu(self.bn1(x))
        short = x if self.project is None else self.project(out)
        out = self.conv2(self.relu(self.bn2(self.conv1(out))))
        return torch.add(out, short)


class WritesToInput(nn.Module):
    """x += f(x): overwrites what it was given."""

    def __init__(self, channels=4):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        x += functional.relu(self.conv(x))
        return x


class MlpWithSkip(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 9), nn.Linear(9, width)

    def forward(self, x):
        return x + self.down(functional.gelu(self.up(self.norm(x))))


class Mixer(nn.Module):
    """A stack of (token part without a skip of its own, MLP with one); called with a mask and a keyword."""

    def __init__(self, width=6, depth=3):
        super().__init__()
        self.embed = nn.Conv2d(3, width, 4, 4)
        self.layers = nn.ModuleList(MaskedLayer(width) for _ in range(depth))
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        mask = torch.ones(x.shape[1], dtype=x.dtype)
        for index in range(len(self.layers)):
            x = self.layers[index](x, mask, scale=0.5)
        return self.head(x.mean(1))


class MaskedLayer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, x, mask, scale):
        return x + scale * self.mix(self.norm(x)) * mask[:, None]


class Shared(nn.Module):
    """One block called twice, and one whose second call has another kind of path."""

    def __init__(self, mixed):
        super().__init__()
        self.stem, self.block, self.mixed = nn.Conv2d(3, 4, 3, padding=1), Gated(), mixed
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        x = self.block(torch.relu(self.stem(x)), add=True)
        return self.head(self.block(x, add=not self.mixed).mean((2, 3)))


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x, add):
        return torch.relu(x + self.conv(x)) if add else torch.relu(self.conv(x))


class Tokens(nn.Module):
    """Two residual steps on (N, H, W, C), whose path is turned round in between, and back at the end."""

    def __init__(self, kind="plain", width=6):
        super().__init__()
        self.kind, self.mix, self.mlp = kind, nn.Linear(width, width), MlpWithSkip(width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        ways = {
            "plain": lambda y: (y, lambda z: z),
            "reshaped": lambda y: (y.reshape(len(y), -1, y.shape[-1]), lambda z: z.reshape(x.shape)),
            "copied": lambda y: (y.transpose(1, 2).contiguous(), lambda z: z.transpose(2, 1).contiguous()),
            "shifted": lambda y: (y.roll((1, 1), (1, 2)), lambda z: z.roll((-1, -1), (1, 2))),
            "windows": lambda y: (windows(y), lambda z: unwindowed(z, x.shape)),
            "cut": lambda y: (y[:, 1:], lambda z: torch.cat([x[:, :1], z], 1)),
            "padded": lambda y: (functional.pad(y, (0, 0, 0, 1)), lambda z: z[:, :, :-1]),
            "in place": lambda y: (y.flatten(1, 2), lambda z: z.unflatten(1, x.shape[1:3])),
            "pair": lambda y: (y, lambda z: (z, None)),
            "listed": lambda y: (y, lambda z: [None, z]),
        }
        y, back = ways[self.kind](x)
        branch = torch.tanh(self.mix(self.norm(y)))
        y = y.clone().add_(branch) if self.kind == "in place" else y + branch
        return back(self.mlp(y))


def windows(x):
    n, h, w, c = x.shape
    return x.view(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)


def unwindowed(x, shape):
    n, h, w, c = shape
    return x.view(n, h // 2, w // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(shape)


TOKENS = "plain,reshaped,copied,shifted,windows,cut,padded,in place,pair,listed"


class TokenNet(nn.Module):
    """A patch embedding, token blocks that may return more than their tensor, a head."""

    def __init__(self, kinds=TOKENS, unit=Tokens):
        super().__init__()
        self.embed, self.head = nn.Conv2d(3, 6, 4, 4), nn.Linear(6, 5)
        self.layers = nn.ModuleList(unit(kind) for kind in kinds.split(","))

    def forward(self, x):
        x = self.embed(x).permute(0, 2, 3, 1)
        for layer in self.layers:
            out = layer(x)
            x = out if isinstance(out, torch.Tensor) else next(part for part in out if part is not None)
        return self.head(x.mean((1, 2)))


class ClassAttention(nn.Module):
    """The class token, its second argument, takes something from the others."""

    def __init__(self, width=6):
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, x, cls):
        return cls + self.mix(self.norm(torch.cat([cls, x], 1))).mean(1, keepdim=True)


class ClassNet(nn.Module):
    """A learned class token (expanded) with class attention, called by position and by name."""

    def __init__(self):
        super().__init__()
        self.embed, self.cls = nn.Conv2d(3, 6, 4, 4), nn.Parameter(torch.ones(1, 1, 6))
        self.first, self.second, self.head = ClassAttention(), ClassAttention(), nn.Linear(6, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        cls = self.first(x, self.cls.expand(len(x), -1, -1))
        return self.head(self.second(x=x, cls=cls)[:, 0])


class ChannelsFirstNorm(nn.LayerNorm):
    """A view comes out."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.conv = ChannelsFirstNorm(4), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return x + self.conv(self.norm(x))


class ResponseNorm(nn.Module):
    """ConvNeXt V2's: a residual unit inside the block's branch."""

    def __init__(self, width):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width, 1, 1))

    def forward(self, x):
        return x + self.gamma * (x * x.norm(dim=(2, 3), keepdim=True))


class Nested(nn.Module):
    """A residual unit beside its own addition, as a position encoding, and one inside its branch."""

    def __init__(self):
        super().__init__()
        self.position, self.up, self.down = Residual(), nn.Conv2d(4, 8, 1), nn.Conv2d(8, 4, 1)
        self.response = ResponseNorm(8)

    def forward(self, x):
        x = self.position(x)
        return x + self.down(self.response(self.up(x)))


def nested():
    return small_net(nn.Sequential(nn.Sequential(Nested(), Nested()), nn.Sequential(Residual(), Residual())))


class SqueezeExcitation(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.fc(x.mean((2, 3), keepdim=True)))


class Removable(nn.Module):
    """The identity plus something, in the many ways one can write it."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.conv, self.other = kind, nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.scale = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x):
        ways = {
            "sum": lambda: sum([x, self.conv(x)]),
            "minus": lambda: x - self.conv(x),
            "alpha": lambda: torch.add(x, self.conv(x), alpha=0.1),
            "addcmul": lambda: torch.addcmul(x, self.conv(x), self.scale),
            "times one": lambda: 1.0 * x + self.conv(x) * 2,
            "clone": lambda: x.clone().add_(self.conv(x)),
            "two branches": lambda: x + self.conv(x) + self.other(x),
            "two steps": lambda: self.step(x + self.conv(x)),
            "there and back": lambda: x.flatten(2).mT.mT.reshape(x.shape) + self.conv(x),
            "out": lambda: torch.add(x, self.conv(x), out=torch.empty_like(x)),
            "gate": lambda: x + x * torch.sigmoid(self.other(x.mean((2, 3), keepdim=True))),
        }
        return ways[self.kind]()

    def step(self, x):
        return x + self.other(x)


REMOVABLE = "sum,minus,alpha,addcmul,times one,clone,two branches,two steps,there and back,out,gate"


class NotRemovable(nn.Module):
    """Units that keep the shape and add, and yet have no skip path."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.conv, self.other = kind, nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.norm, self.bias = nn.BatchNorm2d(4), nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x):
        ways = {
            "doubled": lambda: x + (x + self.conv(x)),
            "constant": lambda: x + self.bias,
            "two branches": lambda: self.conv(x) + self.other(x),
            "norm after": lambda: self.norm(x + self.conv(x)),
            "scaled": lambda: 0.5 * x + self.conv(x),
            "weightless": lambda: x + functional.max_pool2d(x, 3, 1, 1),
            "shifted": lambda: x.flip(3) + self.conv(x),
            "product": lambda: x * self.conv(x),
            "halved in place": lambda: x.mul_(0.5) + self.conv(x),
            "halved through a view": lambda: (x.flatten().mul_(0.5), x + self.conv(x))[1],
            "weights unused": lambda: (self.conv(x), x.clone())[1],
            "joined by a view": lambda: x.transpose(2, 3) + self.conv(x),
        }
        return ways[self.kind]()


def small_net(*middle):
    """A stem that ends in relu, the modules in between, a head."""
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), *middle, head)


def plain_cnn():
    return small_net(*[nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()) for _ in range(3)])


def pre_activation(inplace=False):
    blocks = [
        PreActivation(4, 4, inplace=inplace),
        PreActivation(4, 8, 2),
        PreActivation(8, 8, inplace=inplace),
    ]
    head = [nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)]
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Sequential(*blocks), *head)


def small_vit():
    return VisionTransformer(
        image_size=32, patch_size=8, num_layers=4, num_heads=2, hidden_dim=16, mlp_dim=24, num_classes=5
    )


def named(model, kind, rule=lambda module: True):
    """The names of torchvision's own class of block: what find_blocks must find without knowing the class."""
    return [name for name, module in model.named_modules() if isinstance(module, kind) and rule(module)]


def whole(block):
    return block.downsample is None


ARCHITECTURES = {
    "CifarResNet-20 A": (lambda: CifarResNet(20, width=4), 32, None),
    "CifarResNet-20 B": (lambda: CifarResNet(20, "B", width=4), 32, None),
    "resnet4b": (resnet4b, 32, lambda net: ["layer1.1", "layer2.1"]),
    "resnet18": (tv.resnet18, 32, lambda net: named(net, BasicBlock, whole)),
    "resnet50": (tv.resnet50, 32, lambda net: named(net, Bottleneck, whole)),
    "mobilenet_v2": (
        tv.mobilenet_v2,
        32,
        lambda net: named(net, InvertedResidual, lambda b: b.use_res_connect),
    ),
    "convnext_tiny": (tv.convnext_tiny, 32, lambda net: named(net, CNBlock)),
    "small vit": (small_vit, 32, lambda net: named(net, EncoderBlock)),
    "pre-activation": (pre_activation, 16, lambda net: ["1.0", "1.2"]),
    "pre-activation in place": (lambda: pre_activation(True), 16, lambda net: ["1.0", "1.2"]),
    "in-place additions": (
        lambda: small_net(Residual(inplace=True), WritesToInput(), Residual(after=nn.ReLU(inplace=True))),
        16,
        lambda net: ["2", "3", "4"],
    ),
    "extra arguments": (Mixer, 16, lambda net: ["layers.0", "layers.1", "layers.2"]),
    "token blocks": (TokenNet, 16, lambda net: [f"layers.{index}" for index in range(10)]),
    "class attention": (ClassNet, 16, lambda net: ["first", "second"]),
    "views as input": (lambda: small_net(ChannelsFirstNorm(4), Normed(), Normed()), 16, lambda net: ["3", "4"]),
    "units in units": (nested, 16, lambda net: ["2.0.0", "2.0.1", "2.1.0", "2.1.1"]),
    "called twice": (lambda: Shared(mixed=False), 16, lambda net: ["block"]),
}
"""Name -> (factory, image size, its removable blocks; None for He's: all but the two projections)."""


@functools.cache
def made(name):
    """The architecture's model, which every test must leave as it is, and an input."""
    build, size, _ = ARCHITECTURES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return lively(build()), images(2, 3, size, size)


def expected(name, model):
    rule = ARCHITECTURES[name][2]
    if rule is not None:
        return rule(model)
    return [f"layer{stage}.{index}" for stage in (1, 2, 3) for index in range(3) if stage == 1 or index]
