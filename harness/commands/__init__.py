"""The front door: the console command, a file for each family of commands, and pytest's plugin.

In come words that a person has typed, out come an exit code and what is printed. What a command does is done in the
rooms below.
"""
