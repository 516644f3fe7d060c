"""What the parts of a stack cost beside its GPU hosts: list prices, us-east-1, read on PRICES_READ_ON.

Source: AWS public price pages. They feed the cost that a stack exports and the arithmetic of its spend cap; a bill
also carries traffic and taxes, which nobody knows in advance.
"""

from __future__ import annotations

NAT_GATEWAY_PER_HOUR = 0.045
NAT_GATEWAY_PER_GB = 0.045
"""Each GB through a NAT gateway, either way: the 60 GB of a first start cost $2.70."""
INTERFACE_ENDPOINT_PER_HOUR_AND_ZONE = 0.01
LOAD_BALANCER_PER_HOUR = 0.0225
"""An Application Load Balancer before capacity units ($0.008 each)."""
PUBLIC_IPV4_PER_HOUR = 0.005
WEB_ACL_PER_HOUR = 6.0 / 730
"""$5 a month for the web ACL and $1 for its one rule."""
EBS_GP3_PER_GIB_HOUR = 0.08 / 730
EFS_STANDARD_PER_GB_MONTH = 0.30
EFS_PROVISIONED_PER_MIBPS_HOUR = 6.0 / 730
HOURS_PER_MONTH = 730
LOGS_PER_GB = 0.50
"""Each GB that CloudWatch Logs takes in: the hosts' logs and the flow logs."""
EFS_READ_PER_GB = 0.03
"""Each GB read from a file system with Elastic throughput; writing one costs twice as much."""
EFS_WRITE_PER_GB = 0.06
EFS_INFREQUENT_PER_GB_MONTH = 0.016
EBS_PER_GIB_MONTH = {
    "gp3": 0.08,
    "gp2": 0.10,
    "io1": 0.125,
    "io2": 0.125,
    "st1": 0.045,
    "sc1": 0.015,
    "standard": 0.05,
}
"""By volume type, without the IOPS and throughput that some types sell apart."""
EBS_PROVISIONED_IOPS_MONTH = 0.065
"""Each IOPS of an io1 or io2 volume, up to 32,000."""
SNAPSHOT_PER_GIB_MONTH = 0.05
"""Of the blocks that a snapshot holds, which AWS does not tell: the volume's size is an upper bound."""
LOGS_STORED_PER_GB_MONTH = 0.03
S3_STANDARD_PER_GB_MONTH = 0.023
SECRET_PER_MONTH = 0.40
CUSTOMER_KEY_PER_MONTH = 1.00
HEALTH_CHECK_PER_MONTH = 1.50
"""A Route 53 health check of an address in AWS ($0.50) over HTTPS ($1.00)."""
EKS_CLUSTER_PER_HOUR = 0.10
EKS_CLUSTER_EXTENDED_PER_HOUR = 0.60
"""In standard support of its Kubernetes version, and in the extended support that follows for 12 months."""
SYSTEM_NODE_PER_HOUR = {"m6i.large": 0.096, "m7i.large": 0.1008, "m7i.xlarge": 0.2016}
"""Nodes of the cluster's controllers, on demand."""
SYSTEM_NODE_VCPUS = {"m6i.large": 2, "m7i.large": 2, "m7i.xlarge": 4}
