#!/bin/sh
# Moves the rehearsal's control plane, kubectl and kubelet to the newest patch of a minor version of Kubernetes:
#   modules/kubernetes/move.sh 1.36
# The next rehearsal builds them.
set -eu
cd "$(dirname "$0")"
number=$(cd control-plane && go list -m -f '{{.Version}}' "k8s.io/kubernetes@v$1" | sed 's/^v1\.//')
file=$(cd control-plane && go mod download -json "k8s.io/kubernetes@v1.$number" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
# What lies in Kubernetes' own repository it asks for as v0.0.0, and publishes under this number.
staged=$(sed -n "/sample-/d; s/^[[:space:]]*\(k8s\.io\/[^ ]*\) => \.\/staging\/.*/-require=\1@v0.$number/p" "$file")
for tool in control-plane kubectl kubelet; do
    (cd "$tool" && echo "$staged" | xargs go mod edit "-require=k8s.io/kubernetes@v1.$number" && go mod tidy)
    echo "$tool: $number"
done
