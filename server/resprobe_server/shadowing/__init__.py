"""Candidates: versions that run on live images beside the version that serves, until one of them is promoted.

In: the images of batches that were run, and rules of the operator. Out: comparisons, and routes for the table. May
import models, scheduling, execution, config and errors; services, observability and app import it.
"""
