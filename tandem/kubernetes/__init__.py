"""What the program and its operators both know of a cluster."""
