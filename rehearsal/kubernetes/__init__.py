"""What a stack on Kubernetes must show: whole, drained, without a zone, out of GPUs, under load, and gone."""
