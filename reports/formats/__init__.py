"""A run in the forms that other people's tools read.

In comes the summary of a run, and those of the runs before it; out go texts by their places in the folder of the
report: JUnit's XML, CTRF, results for Allure, badges, a JSON API and feeds. `results` makes one list of what was
tried, all but feeds, badges and the API are worded from it alone, and `places` says where everything is. Nothing here
judges anew, starts a process, or looks at a clock: what a format cannot say is left out, and each says what that is. A
result is never better than in the records, so a tool that knows nothing of exit codes sees red where a run is not as
expected.
"""
