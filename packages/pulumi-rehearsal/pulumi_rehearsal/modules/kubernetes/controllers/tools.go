//go:build tools

package tools

import (
	_ "github.com/aws/karpenter-provider-aws/cmd/controller"
	_ "sigs.k8s.io/aws-load-balancer-controller"
	_ "sigs.k8s.io/lws/cmd"
)
