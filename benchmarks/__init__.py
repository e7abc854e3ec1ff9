"""What CloudLLM costs, as ratios measured in one run: ``nox -s bench``, or ``python -m benchmarks``."""
