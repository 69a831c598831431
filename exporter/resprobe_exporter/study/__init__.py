"""The argument of He et al. 2015 (arXiv 1512.03385) as an experiment: trains nets, measures them, and answers.

In: a StudyPlan. Out: StudyResults, as a page, JSON and Parquet tables. Imports training, nets and importing; only
`exporter study` imports it. plan.py says what is studied; pool.py measures the nets, each by experiment.py; record.py
keeps the measurements; questions/ answers from them; results.py and page.py write the answers.
"""

from resprobe_exporter.study.plan import DEPTHS, ImportedNets, Job, StudyPlan, default_recipe
from resprobe_exporter.study.results import StudyResults
from resprobe_exporter.study.run import run_study

__all__ = ["DEPTHS", "ImportedNets", "Job", "StudyPlan", "StudyResults", "default_recipe", "run_study"]
