"""Loads the plugin; everything else is in `harness.commands.plugin`."""

pytest_plugins = ["harness.commands.plugin"]
