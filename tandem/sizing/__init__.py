"""Does this model fit these GPUs, and how many KV-cache tokens does it leave. Pure: no Pulumi, no AWS, no network."""
