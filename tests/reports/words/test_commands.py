from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.host.process import HOST
from harness.model.commands import Command
from harness.model.outcomes import Stage
from reports.words.commands import _inert, ending, failed, heading, last_words, shell, steps
from tests.reports.synthetic import STILL, commands


def command(**values: Any) -> Command:
    return Command(
        **({"where": "debian-sid", "stage": Stage.READ, "start_ns": 1, "seconds": 0.02, "exit_code": 0} | values)
    )


def spelled(command: Command) -> str:
    (step,) = steps((command,))
    return shell(step)


def written(text: str, path: str = "/etc/a b", mode: int | None = 0o640) -> str:
    return spelled(command(write_path=path, write_text=text, write_mode=mode, exit_code=None))


def test_words_survive_the_shell() -> None:
    argv = ("runc", "it's", "a b", "$(reboot)", "", "a\nb")
    assert shlex.split(spelled(command(argv=argv))) == list(argv)


def test_a_directory_is_entered_for_the_command_alone() -> None:
    assert spelled(command(argv=("ls",), cwd="/a b")) == "(cd '/a b' && ls)"


def test_a_file_is_a_heredoc_whose_end_is_not_in_it() -> None:
    assert written("x\n", "/x") == "install -D -m 640 /dev/stdin /x <<'END'\nx\nEND"
    assert len(written("END" + "_END" * 100_000 + "\n")) < 1_000_000, "in one look"
    assert written("END\nEND_\n").endswith("/dev/stdin '/etc/a b' <<'END__'\nEND\nEND_\nEND__")


def test_a_file_without_a_last_line_break_gets_none() -> None:
    assert written("x") == "printf %s x | install -D -m 640 /dev/stdin '/etc/a b'"
    assert written("") == "printf %s '' | install -D -m 640 /dev/stdin '/etc/a b'"


def test_a_setting_of_the_kernel_is_written_into() -> None:
    assert written("1", "/sys/fs/cgroup/x/cgroup.freeze", None) == "printf %s 1 > /sys/fs/cgroup/x/cgroup.freeze"


def test_a_detached_command_keeps_no_terminal() -> None:
    told = spelled(command(argv=("runc", "run", "x"), cwd="/b", detached=True))
    assert told == "(cd /b && runc run x </dev/null >/dev/null 2>&1)"


def test_a_command_of_the_runtime_does_not_read_what_is_pasted_after_it() -> None:
    assert spelled(command(argv=("ctr", "version"), runtime=True)) == "ctr version </dev/null"


FIRST, SECOND, OTHER = ("ab" * 32, "cd" * 32, "ef" * 32)


def test_the_home_that_a_path_began_with_is_that_of_whoever_pastes_it() -> None:
    told = command(argv=("echo", "~/it's", "--from=~/x", "lower=~/a:~/b,upper=~", "~ada", "a~/b", "~"), cwd="/")
    script = f"HOME='/h o'; {spelled(told)}"
    said = HOST.run(["bash", "-c", script]).stdout
    assert said == "/h o/it's --from=/h o/x lower=/h o/a:/h o/b,upper=/h o ~ada a~/b /h o\n"
    assert spelled(command(argv=("ls",), cwd="~/a b")) == """(cd "${HOME}"'/a b' && ls)"""
    assert written("1", "~/x y", None) == """printf %s 1 > "${HOME}"'/x y'"""


def test_an_id_that_is_used_later_is_kept_in_a_variable() -> None:
    told = [
        command(argv=("podman", "run"), stdout=f"{FIRST}\n"),
        command(argv=("curl", "create"), stdout=f'{{"Image": "{OTHER}", "Id": "{SECOND}"}}'),
        command(write_path=f"/sys/fs/cgroup/libpod-{FIRST}/cgroup.freeze", write_text="1"),
        command(argv=("curl", f"it's {FIRST} {SECOND}")),
    ]
    assert [shell(step) for step in steps(tuple(told))] == [
        "id1=$(podman run | grep -oE '[0-9a-f]{64}' | sed -n 1p)",
        "id2=$(curl create | grep -oE '[0-9a-f]{64}' | sed -n 2p)",
        'printf %s 1 > /sys/fs/cgroup/libpod-"${id1}"/cgroup.freeze',
        """curl 'it'"'"'s '"${id1}"' '"${id2}\"""",
    ]


def test_an_id_that_nobody_uses_or_gave_stays_as_it_is() -> None:
    told = (command(argv=("rm", FIRST)), command(argv=("podman", "run"), stdout=SECOND))
    assert [shell(step) for step in steps(told)] == [f"rm {FIRST}", "podman run"]


def test_a_replay_uses_the_ids_of_its_own() -> None:
    made = command(argv=("sh", "-c", f"echo {OTHER} $(printf 12%.0s $(seq 32))"), stdout=f"{OTHER} {FIRST}")
    script = "\n".join(map(shell, steps((made, command(argv=("echo", f"it's {FIRST}"))))))
    assert HOST.run(["bash", "-c", script]).stdout == f"it's {'12' * 32}\n"


def test_control_characters_are_spelled_out() -> None:
    assert spelled(command(argv=("echo", "a\x1bb"))) == """echo a"$(printf '\\033')"b"""


@pytest.mark.parametrize("with_shell", ["sh", "bash"])
@given(words=st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1))
@settings(max_examples=40, deadline=None)
def test_any_word_is_the_same_in_any_shell(with_shell: str, words: list[str]) -> None:
    line = spelled(command(argv=("printf", r"%s\0", *words)))
    assert _inert(line)
    assert HOST.run([with_shell, "-c", line]).stdout == "".join(f"{word}\0" for word in words)


@pytest.mark.parametrize("word", ["fi", "}", "exit", "PATH=x", "A=", "case", "export", "!", "[["])
def test_a_program_with_a_name_that_the_shell_has_is_a_program(word: str, tmp_path: Path) -> None:
    (tmp_path / word).write_text("#!/bin/sh\necho ran\n", encoding="utf-8")
    (tmp_path / word).chmod(0o755)
    line = spelled(command(argv=(word, "--flag")))
    for with_shell in ("sh", "bash"):
        said = HOST.run([with_shell, "-c", f"PATH={tmp_path}:/usr/bin:/bin\n{line}\necho after"]).stdout
        assert said == "ran\nafter\n"


def test_a_digest_that_was_printed_is_a_new_one_in_a_file() -> None:
    told = [
        command(argv=("sha256sum", "/a b/layer.tar"), stdout=f"{FIRST}  /a b/layer.tar\n"),
        command(write_path="/new", write_text=f'["sha256:{FIRST}", "it\'s", "~"]\n', write_mode=0o644),
        command(write_path="/other", write_text=f"{OTHER}\n", write_mode=0o644),
    ]
    assert [shell(step) for step in steps(tuple(told))] == [
        "id1=$(sha256sum '/a b/layer.tar' | grep -oE '[0-9a-f]{64}' | sed -n 1p)",
        """printf %s '["sha256:'"${id1}"'", "it'"'"'s", "~"]\n' | install -D -m 644 /dev/stdin /new""",
        f"install -D -m 644 /dev/stdin /other <<'END'\n{OTHER}\nEND",
    ]


@pytest.mark.parametrize(
    ("code", "told"),
    [(0, "exit 0, 20 ms"), (7, "exit 7, 20 ms"), (-9, "ended by SIGKILL, 20 ms"), (None, "not finished, 20 ms")],
)
def test_endings(code: int | None, told: str) -> None:
    (step,) = steps((command(argv=("true",), exit_code=code),))
    assert ending(step) == told
    assert failed(step.command) == (code != 0)


def test_a_poll_is_told_once() -> None:
    poll = [command(argv=("state",), start_ns=number, stdout=str(number)) for number in range(40)]
    first, second = steps((*poll, command(argv=("state",), exit_code=1)))
    assert (first.times, ending(first)) == (40, "exit 0, 800 ms, 40 times")
    assert second.times == 1


def test_a_poll_that_failed_until_it_succeeded_is_a_loop() -> None:
    codes = (None, 7, 7, 1, 0, 0)
    poll = [command(argv=("ping", "a b"), stage=Stage.PREPARE, exit_code=code) for code in codes]
    (step,) = steps(tuple(poll))
    assert shell(step) == "until ping 'a b'; do sleep 0.1; done"
    assert ending(step) == "exit 0, 120 ms, 6 times, 4 failed"
    assert last_words(step.command) == ()


@pytest.mark.parametrize(
    "commands",
    [
        (command(argv=("rm", "x"), exit_code=1), command(argv=("rm", "y"))),
        (command(argv=("rm", "x"), exit_code=1), command(argv=("rm", "x"), cwd="/x")),
        (command(argv=("rm", "x"), exit_code=1), command(argv=("ls",)), command(argv=("rm", "x"))),
        (command(argv=("rm", "x")), command(argv=("rm", "x"), exit_code=1)),
        (command(argv=("rm", "x"), exit_code=1), command(argv=("rm", "x"), exit_code=2)),
        tuple(command(write_path="/x", write_text="x\n", write_mode=0o600, exit_code=code) for code in (1, 0)),
    ],
)
def test_nothing_else_is_a_loop(commands: tuple[Command, ...]) -> None:
    assert len(steps(commands)) == len(commands)
    assert not any(shell(step).startswith("until") for step in steps(commands))


def test_two_polls_in_a_row_are_two_loops() -> None:
    codes = (1, 0, 1, 1, 0)
    first, second = steps(tuple(command(argv=("ping",), exit_code=code) for code in codes))
    assert ((first.times, first.failures), (second.times, second.failures)) == ((2, 1), (3, 2))


def test_a_daemon_goes_into_the_background_and_did_not_fail() -> None:
    daemon = command(argv=("/usr/sbin/dockerd", "--debug"), background=True, exit_code=None)
    (step,) = steps((daemon,))
    assert shell(step) == "/usr/sbin/dockerd --debug </dev/null >/var/log/dockerd.log 2>&1 &"
    assert ending(step) == ""
    assert not failed(daemon)


def test_a_loop_and_a_daemon_can_be_parsed_by_a_shell(tmp_path: Path) -> None:
    poll = [command(argv=("ping", "it's"), cwd="/a b", exit_code=code) for code in (1, 0)]
    daemon = command(argv=("d",), cwd="/a b", background=True, exit_code=None)
    script = tmp_path / "script"
    script.write_text("\n".join(map(shell, steps((daemon, *poll)))), encoding="utf-8")
    HOST.run(["bash", "-n", str(script)])


def test_a_setting_that_the_kernel_declined_is_a_failure() -> None:
    (step,) = steps((command(write_path="/sys/x", write_text="1", exit_code=1),))
    assert ending(step) == "exit 1, 20 ms"
    assert failed(step.command)


def test_only_failures_have_last_words() -> None:
    lines = "".join(f"{number}\n" for number in range(9))
    assert last_words(command(stderr=lines)) == ()
    words = last_words(command(stderr=lines + "\x1b[2J\n", exit_code=1))
    assert words == ("stderr: 5", "stderr: 6", "stderr: 7", "stderr: 8", "stderr: \ufffd[2J")


def test_headings_tell_stage_and_place() -> None:
    assert heading(commands(STILL)[0]) == "prepare, in debian-sid"
    assert heading(command(where="host")) == "read, on the host"
