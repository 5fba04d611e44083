"""A cluster of two nodes on this machine measures what this process measures, also when one of them is lost."""

from dataclasses import replace

import pytest
from suite_files import Silent, write_tiny

from robustprune.run.executors.ray_cluster import RayCluster
from robustprune.run.store import Store
from robustprune.run.suite import run_suite
from robustprune.suite.files import load_suite

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'robustprune[ray]'")


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80 * 2**20})
    yield made
    made.shutdown()


def small(folder):
    suite = load_suite(write_tiny(folder))
    return replace(suite.only(suite.cases[:3]), samples=24, quick=True)


def test_it(cluster, tmp_path):
    node = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    suite = small(tmp_path)
    heard = Silent()
    there = run_suite(suite, Store(folder=tmp_path / "there"), heard, executor=RayCluster(address=cluster.address))
    here = run_suite(suite, Store(folder=tmp_path / "here"), Silent(), workers=1)
    print(heard.stages, heard.done)
    for one, other in zip(there, here, strict=True):
        assert one.clean == other.clean
        assert one.removed == other.removed
        assert one.weights_hash == other.weights_hash
        assert [o.status for o in one.outcomes] == [o.status for o in other.outcomes]
        assert one.checks == other.checks
