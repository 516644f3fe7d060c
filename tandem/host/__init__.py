"""What GPU hosts are given: cloud-init/ rendered for one launch template."""
