"""What vLLM is told, whichever platform starts it: its command line, its environment, its waits."""
