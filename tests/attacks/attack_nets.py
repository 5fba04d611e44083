"""Small networks for the tests of the attacks; all take images in [0,1] and need no data."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional


class SmallConv(nn.Module):
    """Two convolutions with BatchNorm, a residual one among them; weights and statistics from a seed."""

    def __init__(self, seed=0, classes=4, channels=1):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.linear = nn.Linear(8 * 16, classes)
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=draw) / parameter[0].numel() ** 0.5)
            self.conv2.weight *= 4
            for norm in (self.bn1, self.bn2):
                norm.running_mean.copy_(torch.randn(8, generator=draw) / 5)
                norm.running_var.copy_(torch.rand(8, generator=draw) + 0.5)
                norm.weight.copy_(torch.rand(8, generator=draw) + 0.5)
            self.eval()
            self.linear.bias -= self(torch.rand(200, channels, 8, 8, generator=draw)).mean(0)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(2 * x - 1)))
        x = functional.relu(x + self.bn2(self.conv2(x)))
        return self.linear(functional.adaptive_avg_pool2d(x, 4).flatten(1))


class Spy(nn.Module):
    """Keeps every batch of images that a network is shown, and whether their gradient was wanted."""

    def __init__(self, net):
        super().__init__()
        self.net, self.seen, self.grads = net, [], []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        self.grads.append(x.requires_grad and torch.is_grad_enabled())
        return self.net(x)


class Stubborn(nn.Module):
    """Ten classes, and always right by far: every attack spends its whole budget on it."""

    def __init__(self, classes=10):
        super().__init__()
        self.w = nn.Parameter(torch.randn(64, classes, generator=torch.Generator().manual_seed(0)))
        self.passes = 0

    def forward(self, x):
        self.passes += len(x)
        first = functional.one_hot(torch.zeros(len(x), dtype=torch.int64), self.w.shape[1])
        return x.flatten(1) @ self.w * 1e-3 + 50 * first


def seeded(build, seed=0):
    """Build a network with parameters from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().eval()


def small_net(classes=6):
    """A convolution and tanh, on images (2, 8, 8)."""
    return seeded(lambda: nn.Sequential(nn.Conv2d(2, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 36, classes)))


def rugged_net():
    """`small_net`, far from linear inside a budget of .06, so that steps are halved; class 0 wins, nothing breaks."""
    net = small_net()
    net[0].weight.data *= 6
    net[3].bias.data[0] += 5
    return net


def small_case(net, n=10, shape=(2, 8, 8), seed=1):
    """Random images, and what the network says of them."""
    x = images(n, seed, shape)
    return x, labelled(net, x)


def near_net(classes=10, seed=0):
    """A linear network on images (1, 8, 8) whose decision is near for every image."""
    net = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, classes)), seed)
    net[1].bias.data.zero_()
    return net


def linear_net(weight, bias=None):
    """x -> W flatten(x) + b."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(weight.shape[1], weight.shape[0]))
    with torch.no_grad():
        net[1].weight.copy_(weight)
        net[1].bias.copy_(torch.zeros(len(weight)) if bias is None else bias)
    return net.eval()


def images(n, seed=0, shape=(1, 8, 8), low=0.0, high=1.0):
    draw = torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))
    return low + (high - low) * draw


def labelled(net, x):
    """What the network says, so that every sample is right."""
    with torch.no_grad():
        return net(x).argmax(1)


def margins(net, x, y, q):
    """Distance of every sample to the nearest border of a linear net, without the box: dual norm q."""
    weight, logits = net[1].weight.detach(), net(x).detach()
    gap = logits.gather(1, y[:, None]) - logits
    length = (weight[y][:, None, :] - weight[None]).norm(p=q, dim=2)
    return (gap / length).scatter(1, y[:, None], torch.inf).amin(1)


def linear_case(n=300, classes=2, seed=0, size=64):
    """A linear net and samples far from the box, at all distances from its borders."""
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, size, generator=draw)
    x = images(n, seed + 1, (1, 8, 8), 0.35, 0.65)
    net = linear_net(weight, -weight.mean(1) * 0 - (weight @ torch.full((size,), 0.5)))
    return net, x, labelled(net, x)


def trained_digits():
    """A small network trained on scikit-learn's digits, and 60 of them that it has not seen: (net, x, y)."""
    raw = load_digits()
    x, y = torch.tensor(raw.images, dtype=torch.float32)[:, None] / 16, torch.tensor(raw.target)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU()]
        net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 9, 10))
        optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
        for _ in range(5):
            for part in (200 + torch.randperm(len(x) - 200)).split(64):
                optimiser.zero_grad()
                functional.cross_entropy(net(x[part]), y[part]).backward()
                optimiser.step()
    return net.eval(), x[:60], y[:60]
