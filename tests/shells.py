"""What bash, zsh and fish offer for a line when the key for completion is pressed, with a script that they have loaded.

The shells are the system's (Debian: `bash`, `zsh`, `fish`). Each is asked for all lines in one process.
"""

import os
import pty
import select
import shutil
import subprocess
import time

import pytest

SECONDS = 60
# Where each shell looks for a script, or is told to, below the user's directory. docs/cli.md says so.
PLACES = {
    "bash": ".estimator-warmstart.bash",
    "zsh": "_estimator-warmstart",
    "fish": ".config/fish/completions/estimator-warmstart.fish",
}
# As readline does, but for words that hold `=` or `:`, which it splits.
ASK_BASH = r"""
source ~/.estimator-warmstart.bash
[[ $(complete -p estimator-warmstart) =~ -F\ ([^ ]+) ]] && completes=${BASH_REMATCH[1]}
while IFS= read -r asked; do
    read -ra COMP_WORDS <<< "$asked"
    [[ $asked == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    "$completes"
    printf '? %s\n' "$asked"
    printf '%s\n' "${COMPREPLY[@]}"
done < lines
"""
ASK_FISH = r"""
for asked in (cat lines)
    printf '? %s\n' $asked
    complete -C $asked | string replace -r '\t.*' ''
end
true
"""
# Runs in a terminal, since the widgets of zsh need one: before the first command is read, all lines are completed. What is
# offered goes through compadd, with -O, -A or -D only to be looked at.
ASK_ZSH = r"""
unsetopt auto_list auto_menu list_beep beep
fpath=($PWD $fpath)
autoload -Uz compinit && compinit -u -D
compadd() {
    if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\ * ]]; then
        local -a offered
        builtin compadd -O offered "$@"
        (( $#offered )) && print -rl -- $offered >> answers
    fi
    builtin compadd "$@"
}
ask() {
    local asked
    for asked in "${(@f)$(<lines)}"; do
        print -r -- "? $asked" >> answers
        BUFFER=$asked CURSOR=$#asked
        zle complete-word
    done
    print -r -- '? done' >> answers
    exit
}
zle -N ask
zle-line-init() { ask }
zle -N zle-line-init
"""


def offered_by(shell, script, lines, folder):
    """{line: the words that `shell` offers for its last one}, in a `folder` of its own."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not on PATH (Debian: apt-get install {shell})")
    (folder / "lines").write_text("".join(f"{line}\n" for line in lines))
    program = folder / "bin" / "estimator-warmstart"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho it was run >> ran\n")
    program.chmod(0o755)
    place = folder / PLACES[shell]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(script)
    answers = {"bash": ask_bash, "zsh": ask_zsh, "fish": ask_fish}[shell](folder)
    offered = dict.fromkeys(lines, ())
    for answer in ("\n" + answers).split("\n? ")[1:]:
        line, *words = answer.split("\n")
        offered[line] = sorted(word.strip() for word in words if word)
    assert list(offered) == list(lines) and not (folder / "ran").exists()
    return offered


def environment(folder):
    """Nobody's configuration is read. A program of that name must be there for fish, and must not be run."""
    return {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(folder), "TERM": "xterm", "LANG": "C.UTF-8"}


def ask(command, folder):
    done = subprocess.run(command, cwd=str(folder), env=environment(folder), timeout=SECONDS, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode()


def ask_bash(folder):
    return ask(["bash", "--norc", "-c", ASK_BASH], folder)


def ask_fish(folder):
    return ask(["fish", "-c", ASK_FISH], folder)


def ask_zsh(folder):
    (folder / ".zshrc").write_text(ASK_ZSH)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["zsh", "-d", "-i"],
        cwd=str(folder),
        env=environment(folder),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        shown = shown_until_it_ends(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)
    answers = (folder / "answers").read_text() if (folder / "answers").exists() else ""
    assert answers.endswith("? done\n"), shown
    return answers[: -len("? done\n")]


def shown_until_it_ends(process, master):
    """What a process writes to its terminal: it would wait if nobody read that."""
    shown, end = b"", time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < end:
        if select.select([master], [], [], 0.1)[0]:
            try:
                shown += os.read(master, 65536)
            except OSError:  # Linux, when the other end is closed.
                break
    return shown
