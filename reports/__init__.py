"""What a run found, told to people and programs.

In come the plan and the records of a run; out go a terminal table, a Markdown page, a site, `summary.json`, a cell's
commands as a shell script, and the files that other people's tools read. From the bottom up: `analysis` computes,
`words` makes sentences, `runs` finds and reads folders, `terminal` and `pages` lay out, and `formats` writes files.
Nothing here starts a process, touches a stack, a runtime or an archive, or judges a trial again.
Every string of a record may be hostile and is escaped where it is laid out.
"""
