"""How much a stack carries: traffic.py makes requests, generator.py has aiperf send them, sweep.py looks for the
highest rate that keeps what is promised, results.py says what follows, report.py draws it."""
