"""The front door: the console command and pytest's plugin.

In come words that a person has typed, out come an exit code and what is printed. `declarations` says which words there
are; the module that acts on them loads when its command is called. What a command does is done in the rooms below.
"""
