"""The smallest study."""

from resprobe_exporter.study import Plan, default_recipe

TINY = Plan(default_recipe("digits", 1), depths=(8, 14), seeds=1, limit=60, lesion_limit=60, gradient_images=32)
