"""What benchmarks/gpu.py runs: settings, results, processes, and in parts/ a module for each part."""
