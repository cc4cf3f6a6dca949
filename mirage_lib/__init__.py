"""Safety Mirage: see, rerun and extend one finding about vision-language models.

Rows flow one way, from data through attacks, models and judges to tables, figures and
chapters. Open any file and finish it; ``study.py`` is the only one that knows them all.
"""

__version__ = "0.1.0"
