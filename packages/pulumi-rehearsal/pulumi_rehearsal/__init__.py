"""Rehearses Pulumi programs on the real engine, against a simulated AWS account and a bare Kubernetes cluster.

`command.open_stage` opens a stack of a project, `life.live` plays its whole life; README.md says what is real.
"""
