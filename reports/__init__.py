"""What a run found, told to people and programs.

In come the plan and the records of a run; out go a terminal table, a Markdown page, a site, `summary.json`, a cell's
commands as a shell script, and in `formats` what other people's tools read. `runs` finds, `analysis` computes, `words`
words, the rest lays out. Nothing here starts a process, touches a stack, a runtime or an archive, or judges a trial
again: what is not in the records does not exist.
Every string of a record may be hostile and is escaped where it is laid out.
"""
