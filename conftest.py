"""Loads the plugin where the options of pyproject.toml, which load it earlier, do not count."""

pytest_plugins = ["harness.commands.plugin"]
