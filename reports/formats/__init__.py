"""Files that other tools read.

Input: the summary of a run, and the summaries of the runs before it. Output: texts by their paths in the report's
folder: JUnit XML, CTRF, results for Allure, badges, a JSON API and feeds. `results` lists everything that the run
tried. JUnit, CTRF and Allure use this list alone. `reports.paths` has the paths. Nothing here judges a trial again,
starts a process, or reads the clock. Each format names the data that it leaves out. A result is never better than in
the records: a tool that ignores exit codes still sees red when a run is not as expected.
"""
