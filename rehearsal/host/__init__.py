"""A GPU host in a virtual machine: its disk, its boot, and stand-ins for all that it finds around it."""
