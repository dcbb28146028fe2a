"""What is measured, one module a topic. Each has ``run``, which takes a :class:`~benchmarks.bench.Bench`."""
