"""Models on Kubernetes: each with its servers, its way in from the load balancer, and replicas that follow its load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from ..kubernetes.claim import Claim
from ..kubernetes.objects import KubernetesObject, Manifest, declare
from ..kubernetes.scaling import Scaling, scaling_objects
from ..kubernetes.serving import before_it_serves, serves
from ..kubernetes.shared import namespace, shared_objects
from ..kubernetes.workload import InferenceService, servers, surroundings, version_of, way_in


@dataclass(frozen=True, kw_only=True)
class InferenceArgs:
    """What the models of a stack need.

    Attributes:
        services: each model, and how its replicas follow the load.
        file_system_id, access_point_id: of the model cache.
        load_balancer_networks: the only addresses from which requests may come.
        monitoring_namespaces: whose pods may ask for metrics.
        monitoring: objects by which others watch the models.
        batch: what batches have beside them.
        ports: which servers reach anywhere, beside HTTPS.
        kubeconfig: by which `up` sees how far the servers are.
        claim: of what is not in the namespace, and of that itself, where the cluster is somebody else's.
        after: controllers and nodes, which must be there before the models and still be there when they go.
    """

    services: Sequence[tuple[InferenceService, Scaling]]
    file_system_id: pulumi.Input[str]
    access_point_id: pulumi.Input[str]
    load_balancer_networks: Sequence[str]
    monitoring_namespaces: Sequence[str]
    kubeconfig: pulumi.Output[str]
    monitoring: Sequence[Manifest] = ()
    batch: Sequence[Manifest] = ()
    ports: Sequence[int] = ()
    claim: Claim | None = None
    after: Sequence[pulumi.Resource] = ()


class Inference(pulumi.ComponentResource):
    """All models of a stack, in one namespace."""

    def __init__(
        self,
        name: str,
        args: InferenceArgs,
        kubernetes: pulumi.ProviderResource,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tandem:index:Inference", name, None, opts)
        self._name = name
        self._kubernetes = kubernetes
        self._claim = args.claim
        place = self._declare([namespace()], args.after)
        shared = self._declare(
            shared_objects(
                file_system_id=args.file_system_id,
                access_point_id=args.access_point_id,
                load_balancer_networks=args.load_balancer_networks,
                monitoring_namespaces=args.monitoring_namespaces,
                ports=args.ports,
            ),
            place,
        )
        self._declare(args.monitoring, place)
        self._declare(args.batch, shared)
        for service, scaling in args.services:
            self._serve(service, scaling, args.kubeconfig, shared)
        self.register_outputs({})

    def _serve(
        self,
        service: InferenceService,
        scaling: Scaling,
        kubeconfig: pulumi.Output[str],
        shared: Sequence[pulumi.Resource],
    ) -> None:
        """Everything of a model is made before `up` waits for its servers, which may take as long as a download."""
        # The controller lets no binding change its group; two of one name there cannot be.
        anew = pulumi.ResourceOptions(replace_on_changes=["spec.targetGroupARN"], delete_before_replace=True)
        entered = self._declare([way_in(service)], self._declare(surroundings(service), shared), anew)
        manifest = servers(service)
        # Answers end within their grace; nodes and volumes then have a few minutes.
        patient = pulumi.CustomTimeouts(delete=f"{service.termination_grace_seconds + 600}s")
        served = self._declare([manifest], entered, pulumi.ResourceOptions(custom_timeouts=patient))
        scaled = self._declare(scaling_objects(scaling), served)
        version = version_of(manifest)
        hooks = before_it_serves(service, version, kubeconfig)
        self._declare([serves(service, version)], scaled, pulumi.ResourceOptions(hooks=hooks))

    def _declare(
        self,
        manifests: Sequence[Manifest],
        after: Sequence[pulumi.Resource],
        more: pulumi.ResourceOptions | None = None,
    ) -> list[KubernetesObject]:
        """Each group after the one before it, and so gone before it; the autoscaler moves the replicas later."""
        options = pulumi.ResourceOptions(
            parent=self, provider=self._kubernetes, depends_on=list(after), ignore_changes=["spec.replicas"]
        )
        options = pulumi.ResourceOptions.merge(options, more)
        if self._claim is None:
            return declare(self._name, manifests, options)
        wide = [one for one in manifests if "namespace" not in one["metadata"]]
        claimed = pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(hooks=self._claim.hooks))
        return [
            *declare(self._name, map(self._claim.labelled, wide), claimed),
            *declare(self._name, [one for one in manifests if "namespace" in one["metadata"]], options),
        ]
