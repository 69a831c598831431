"""`exporter study`: the argument of He et al. 2015 (arXiv 1512.03385) as an experiment: trains, measures, and answers.

plan.py says what is studied; pool.py measures the nets, each by experiment.py, and record.py keeps what was measured;
questions/ answers from that; results.py and page.py write it down.
"""

from resprobe_exporter.study.plan import DEPTHS, Job, Plan, Taken, default_recipe
from resprobe_exporter.study.results import Results
from resprobe_exporter.study.run import run

__all__ = ["DEPTHS", "Job", "Plan", "Results", "Taken", "default_recipe", "run"]
