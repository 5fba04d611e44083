"""The table of passes can be made, on the processors as on a GPU."""

from pass_times import WAYS, table

from robustprune.models.resnet import CifarResNet


def test_every_way_but_those_of_a_gpu_has_a_time():
    tiny = {"ResNet-8": (lambda: CifarResNet(depth=8, width=2, in_channels=1), (1, 8, 8))}
    lines = table("cpu", tiny, (2, 3), rounds=1).splitlines()
    assert len(lines) == 4
    for line, batch in zip(lines[2:], "23", strict=True):
        name, size, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        assert (name, size) == ("ResNet-8", batch)
        times = dict(zip(WAYS, cells, strict=True))
        assert times.pop("graph") == times.pop("compiled") == ""
        assert all(float(value) > 0 for value in times.values())
