"""Where stages run: in this process, or on Ray workers that hold the devices and can be killed.

The driver asks a worker for one answer at a time, so nothing runs ahead of what is graded and written, and a stage that
is stopped early stops at once. Ray is loaded when a cluster is opened: all else here works without it.
"""
from evaluator.cluster.cluster import Cluster
from evaluator.cluster.devices import Device, devices
from evaluator.cluster.lease import Usage
from evaluator.cluster.runner import LocalCluster, Runner
from evaluator.cluster.settings import ClusterSettings
from evaluator.worker import JobError

__all__ = ["Cluster", "ClusterSettings", "Device", "JobError", "LocalCluster", "Runner", "Usage", "devices"]
