"""DeleteCacheSubnetGroup, which moto 5.2.5 lacks.

Stands for: ElastiCache's, which refuses a group that a cache is in.
Held by: tests/aws/test_moto_server.py::test_a_group_of_cache_subnets_goes_once_no_cache_is_in_it
    (https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/API_DeleteCacheSubnetGroup.html).
"""

from __future__ import annotations


def with_deletion_of_cache_subnets() -> None:
    """In this process's moto."""
    from moto.core.exceptions import ServiceException
    from moto.core.responses import ActionResult, EmptyResult
    from moto.elasticache.responses import ElastiCacheResponse

    class InUse(ServiceException):
        code = "CacheSubnetGroupInUse"

    def delete(self: ElastiCacheResponse) -> ActionResult:
        name, backend = self._get_param("CacheSubnetGroupName"), self.elasticache_backend
        backend.describe_cache_subnet_groups(name)
        groups = (one for one in backend.replication_groups.values() if one.status != "deleting")
        if any(one.cache_subnet_group_name == name for one in groups):
            raise InUse(f"Cache subnet group {name} is currently in use by a cache cluster.")
        del backend.cache_subnet_groups[name]
        return EmptyResult()

    setattr(ElastiCacheResponse, "delete_cache_subnet_group", delete)  # noqa: B010  not there
