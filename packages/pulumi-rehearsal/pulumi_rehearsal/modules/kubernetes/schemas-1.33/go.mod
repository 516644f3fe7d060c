module pulumi-rehearsal.example/kubernetes/schemas-1.33

go 1.26

// Nothing is built from it: manifests are compared with its API.
require k8s.io/kubernetes v1.33.13
