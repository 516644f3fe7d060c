module pulumi-rehearsal.example/kubernetes/crds

go 1.26

// Nothing is built from these: the rehearsal reads their CustomResourceDefinitions, which the Helm charts would bring.
require (
	github.com/NVIDIA/k8s-device-plugin v0.17.4
	github.com/aws/karpenter-provider-aws v1.14.0
	github.com/kedacore/keda/v2 v2.20.2
	sigs.k8s.io/aws-load-balancer-controller v0.0.0-20260423195125-93ff3b5fdaad
	sigs.k8s.io/lws v0.9.0
)
