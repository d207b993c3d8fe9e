"""Reports of a run, for people and for programs.

Input: the plan and the records of a run. Output: a terminal table, a Markdown page, a site, `summary.json`, the
commands of a cell as a shell script, and files for other tools. From the bottom up: `analysis` computes, `words` makes
sentences, `runs` finds and reads folders, `terminal` and `pages` lay out, and `formats` writes files.
Nothing here starts a process, touches a stack, a runtime or an archive, or judges a trial again.
Every string of a record may be hostile. The code that lays it out escapes it.
"""
