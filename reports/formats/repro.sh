#!/bin/sh
# @TITLE@
#
# Repeats one trial of @CELL@, and judges by what the workload itself says.
# Needs root, a C compiler (or LEDGER=PATH, a program that was compiled before), and: @PROGRAMS@
# It works in namespaces and control groups of its own, and removes them at the end.
#
@NOTES@#   sh repro.sh [ROUNDS]       default: 5 rounds
#
# KEEP_CHECKPOINT=FILE keeps the checkpoint of a round that has reproduced it, KEEP_LOG=FILE what was said.
# ROUND_SECONDS=N: a round that takes longer is given up (240).
# Ends with 0: reproduced at least once, 1: not reproduced, 2: it cannot run here.

set -u
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
symptom='@SYMPTOM@'
needed='@PROGRAMS@'
left='@LEFT@'
deaf=@DEAF@
base=/srv/stillframe

lacks() {
    echo "This cannot run here: $*" >&2
    exit 2
}

# ---- outside: programs, sources, a node for each round

main() {
    rounds=${1:-5}
    case $rounds in '' | *[!0-9]* | 0* | ?????*) lacks "'$rounds' is no number of rounds from 1 to 9999." ;; esac
    [ "$(id -u)" = 0 ] || lacks "it needs root."
    missing=
    for program in unshare mkfifo mount umount chroot mknod readlink install sed grep cut tr $needed; do
        command -v $program >/dev/null || missing="$missing $program"
    done
    [ -z "$missing" ] || lacks "missing:$missing. Install them."
    work=$(mktemp -d) && mkfifo "$work/alive" && : >"$work/groups" || exit 2
    clear_at_the_end &
    exec 7>"$work/alive"
    trap 'exec 7>&-; wait' EXIT
    trap 'exit 2' INT TERM HUP
    cp "$0" "$work/repro.sh"
    compile
    count=0 void=0 round=0
    while [ $round -lt "$rounds" ]; do
        round=$((round + 1))
        : >"$work/result"
        own_groups
        (
            while read -r group; do echo 0 >"$group/cgroup.procs" || exit 2; done <"$work/groups"
            exec env --default-signal=INT,QUIT unshare --mount --pid --fork --kill-child --ipc --uts --net --cgroup \
                sh "$work/repro.sh" --node "$work"
        ) >"$work/log" 2>&1 7>&- 8>"$work/checkpoint.tar" 9>"$work/result" </dev/null &
        wait $!  # a signal ends this, and not a program in the foreground
        clear_groups
        found=$(cat "$work/result")
        [ -n "$found" ] || found="void: $(tail -n 1 "$work/log")"
        [ -z "${KEEP_LOG:-}" ] || cp "$work/log" "$KEEP_LOG.$round"
        echo "round $round: $found"
        case $found in void*) void=$((void + 1)) && continue ;; esac
        case "$symptom $found " in
            "any consistent"*) continue ;;
            any*) ;;
            *" $symptom"*) ;;
            *) continue ;;
        esac
        count=$((count + 1))
        [ -z "${KEEP_CHECKPOINT:-}" ] || cp "$work/checkpoint.tar" "$KEEP_CHECKPOINT"
    done
    [ $void -lt "$rounds" ] || lacks "no round came to a result. Set KEEP_LOG=FILE to keep what was said."
    if [ $count -gt 0 ]; then
        echo "reproduced $count/$rounds"
        exit 0
    fi
    echo "not reproduced 0/$rounds"
    exit 1
}

compile() {
    if [ -n "${LEDGER:-}" ]; then
        cp "$LEDGER" "$work/ledger" || exit 2
        return
    fi
    for compiler in ${CC:-} cc gcc clang; do
        command -v "$compiler" >/dev/null && break
    done
    command -v "$compiler" >/dev/null || lacks "there is no C compiler. Install gcc and libc6-dev, or set LEDGER=PATH."
    mkdir "$work/src"
    sources "$work/src"
    "$compiler" -std=gnu11 -O2 -static -o "$work/ledger" "$work"/src/*.c || lacks "the workload cannot be compiled."
}

clear_at_the_end() { # also if nobody can do it who is killed
    trap '' INT TERM HUP
    read -r _ <"$work/alive"
    clear_groups
    rm -rf "$work"
}

own_groups() { # in each hierarchy that is mounted, but for the old memory controller
    while read -r _ _ _ root place _ rest; do
        case " $rest" in
            *" - cgroup2 "*) ;;
            *" - cgroup "*memory*) continue ;;
            *" - cgroup "*) ;;
            *) continue ;;
        esac
        mkdir "$place/repro-$$" 2>/dev/null || continue
        for file in cpuset.cpus cpuset.mems; do
            [ ! -e "$place/repro-$$/$file" ] || [ -n "$(cat "$place/repro-$$/$file")" ] ||
                cat "$place/$file" >"$place/repro-$$/$file" 2>/dev/null
        done
        echo "$place/repro-$$" >>"$work/groups"
    done </proc/self/mountinfo
}

clear_groups() {
    while read -r group; do
        find "$group" -name cgroup.freeze 2>/dev/null | while read -r file; do echo 0 >"$file"; done
        find "$group" -name freezer.state 2>/dev/null | while read -r file; do echo THAWED >"$file"; done
        try=0
        while [ -d "$group" ] && [ $try -lt 50 ]; do
            find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null | while read -r pid; do kill -9 "$pid"; done
            find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
            try=$((try + 1))
            [ ! -d "$group" ] || sleep 0.1
        done
    done <"$work/groups"
    : >"$work/groups"
}

# ---- inside: a machine of its own, and the trial


enter_node() {
    work=$1
    mount --make-rprivate / || exit 2
    mkdir -p "$work/node" && mount -t tmpfs -o mode=0755 repro "$work/node" && cd "$work/node" || exit 2
    mkdir upper work root storage
    mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root || exit 2
    for folder in proc sys dev run tmp srv/stillframe; do mkdir -p "root/$folder"; done
    mount -t proc proc root/proc && mount -t sysfs sysfs root/sys || exit 2
    mount -t cgroup2 cgroup2 root/sys/fs/cgroup || exit 2
    mount -t tmpfs -o mode=0755 dev root/dev
    for device in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "root/dev/${device%:*}" c 1 "${device#*:}"; done
    mknod -m 666 root/dev/tty c 5 0
    mkdir root/dev/pts root/dev/shm root/dev/mqueue
    mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts root/dev/pts
    ln -s pts/ptmx root/dev/ptmx
    ln -s /proc/self/fd root/dev/fd
    for stream in stdin:0 stdout:1 stderr:2; do ln -s "/proc/self/fd/${stream#*:}" "root/dev/${stream%:*}"; done
    mount -t tmpfs -o mode=1777 shm root/dev/shm
    mount -t tmpfs -o mode=0755 run root/run
    mount -t tmpfs -o mode=1777 tmp root/tmp
    mount --bind storage root/srv/stillframe || exit 2
    mkdir -p storage/image storage/checkpoints storage/containers
    for folder in @FOLDERS@; do mkdir -p "storage/image$folder"; done
    cp "$work/ledger" storage/image/ledger
@FILES@
    cp "$work/repro.sh" storage/repro.sh
    cd root && mount --move . / && exec chroot . env -i \
        "PATH=$PATH" LC_ALL=C HOME=/root "KEEP=${KEEP_CHECKPOINT:+yes}" "ROUND_SECONDS=${ROUND_SECONDS:-}" sh $base/repro.sh --trial
}

settle() {
    mkdir /sys/fs/cgroup/init && echo 0 >/sys/fs/cgroup/init/cgroup.procs
    ip link set lo up 2>/dev/null
    hostname repro 2>/dev/null
}

end_what_hangs() { # all processes of the node but the first
    sleep "${ROUND_SECONDS:-240}" &
    echo $! >$base/patience
    wait
    echo "void: the round did not end within ${ROUND_SECONDS:-240} s" >$base/late
    while kill -9 -1; do sleep 1; done
}

last() { # the newest message in a folder
    for link in "$1"/[0-9]*; do :; done
    readlink "$link" 2>/dev/null
}

field() { # the first number of this name in a message
    printf %s "$1" | sed -n "s/^[^[]*\"$2\":\([0-9][0-9]*\).*/\1/p"
}

await() { # SECONDS COMMAND: until it succeeds
    by=$(($(uptime_seconds) + $1 + 1))
    shift
    until "$@"; do
        [ "$(uptime_seconds)" -lt $by ] || return 1
        sleep 0.05
    done
}

uptime_seconds() {
    cut -d. -f1 /proc/uptime
}

ticks() { # whether the workload that reports to this folder has a later tick than this one
    newest=$(field "$(last "$1")" n)
    [ "${newest:-0}" -gt "$2" ]
}

says() { # whether one of its messages has this event
    for link in "$1"/[0-9]*; do
        case $(readlink "$link" 2>/dev/null) in *"\"event\":\"$2\""*) return 0 ;; esac
    done
    return 1
}

reason() { # CRIU's first error since the trial began, or else the last words of the command
    said=$(find $base /run /var/log -name '*.log' -newer $base/begun \
        -exec grep -hs -e 'Error (' -e 'level.\{1,3\}error' {} + | sed 's/^([0-9. ]*) *//' | head -n 1)
    printf %s "${said:-$(tail -n 1 /proc/self/fd/2 2>/dev/null)}" | tr -d '\000-\037'
}

tell() {
    [ -n "${told:-}" ] || echo "$*" >$base/result
    told=yes
}

stillframe_trial() {
    [ -z "${told:-}" ] && [ ! -e $base/late ] || return 0
    word=$1
    shift
    case $word in
        started)
            source=$1 heard=$base/containers/$1/heard report=$2
            await 30 ticks "$heard" 0 || tell "void: the workload does not tick"
            nonce=$(last "$heard" | sed 's/.*\("nonce":"[0-9a-f]*"\).*/\1/')
            ;;
        ended)
            case $1.$2 in
                *.0) ;;
                start.*) tell "void: the container does not start" ;;
                *.124) tell "hung: a command of the runtime did not end in time" ;;
                *) tell "$1-failed: a command of the runtime ended with code $2: $(reason)" ;;
            esac
            ;;
        runs-again)
            await 10 ticks "$heard" "$(field "$(last "$heard")" n)" || tell "source-harmed: the source no longer ticks"
            ;;
        still-paused)
            before=$(field "$(last "$heard")" n)
            sleep 0.4
            ! ticks "$heard" "$before" || tell "source-harmed: the source runs, although its user has paused it"
            ;;
        read)
            [ -n "$paused" ] || examine
            ;;
        restored)
            await 20 heard_of_restored || tell "restore-failed: the restored workload says nothing"
            judge
            ;;
        stopping)
            [ -z "$deaf" ] || await 5 says "$heard" stop || tell "source-harmed: it does not end when it is asked to"
            ;;
        verdict)
            [ -n "$left$deaf" ] || tell "void: the trial ends before there is something to judge"
            [ -z "$left" ] || await 3 nothing_is_left || tell "leaked: $(what_is_left)"
            tell "consistent to the end of the trial"
            ;;
    esac
}

examine() { # the source after its checkpoint
    ! find /sys/fs/cgroup -name cgroup.events -exec cat {} + | grep -qx 'frozen 1' ||
        tell "source-harmed: the source is still frozen"
    await 10 ticks "$heard" "$(field "$(last "$heard")" n)" || tell "source-harmed: the source no longer ticks"
    for link in "$heard"/[0-9]*; do
        message=$(readlink "$link")
        case $message in *"$nonce"*) ;; *) tell "source-harmed: the source was started anew" ;; esac
        case $message in *'"event":"reading"'*) ;; *) continue ;; esac
        weigh "$message"
        [ -z "$wrong" ] || tell "source-harmed: the source finds$wrong"
    done
}

heard_of_restored() {
    says "$report" start || says "$report" reading
}

judge() { # by the first reading of the restored workload
    if says "$report" start; then
        tell "cold-start: the workload was started anew"
        return
    fi
    for link in "$report"/[0-9]*; do
        message=$(readlink "$link")
        case $message in *'"event":"reading"'*) break ;; esac
    done
    weigh "$message"
    if [ -n "$wrong" ]; then
        tell "inconsistent$wrong"
    elif ! await 10 ticks "$report" "$(field "$(last "$report")" n)"; then
        tell "restore-failed: the restored workload does not go on"
    elif [ -z "$left$deaf" ]; then
        tell "consistent at tick $memory"
    fi
}

weigh() { # fill in `wrong`, by what a reading says about memory and each surface
    memory=$(field "$1" n)
    wrong=
    for each in $(printf %s "$1" | sed 's/.*"surfaces":\[//' | tr '{' '\n' | tr -d ' '); do
        name=$(printf %s "$each" | sed -n 's/^"surface":"\([^"]*\)".*/\1/p')
        [ -n "$name" ] || continue
        disk=$(field "$each" newest)
        if [ -z "$disk" ]; then
            wrong="$wrong lost: $name has no record;"
        elif [ "$disk" -gt "$memory" ]; then
            wrong="$wrong disk-ahead: $name is ahead of memory by $((disk - memory)) ticks;"
        elif [ $((disk + 1)) -lt "$memory" ]; then
            wrong="$wrong disk-behind: $name is behind memory by $((memory - disk)) ticks;"
        fi
        for damage in torn foreign holes repeated; do
            number=$(field "$each" $damage)
            [ "${number:-0}" = 0 ] || wrong="$wrong $damage: $name has $number such records;"
        done
    done
}

what_is_left() { # of what the trial on record has left behind
    printf '%s\n' "$left" | while read -r kind name; do
        ! is_there "$kind" "$name" || printf '%s %s; ' "$kind" "$name"
    done
}

nothing_is_left() {
    [ -z "$(what_is_left)" ]
}

is_there() { # KIND NAME
    case $1 in
        file) [ -e "$2" ] ;;
        mount) cut -d' ' -f5 /proc/self/mountinfo | grep -qxF "$2" ;;
        process) grep -lxF "$2" /proc/[0-9]*/comm 2>/dev/null | grep -qvF "/proc/$(cat $base/patience)/" ;;
        cgroup) find /sys/fs/cgroup -type d -name "$2" | grep -q . ;;
        nftables) nft list ruleset | grep -qwF "$2" ;;
        *) false ;;
    esac
}

trial() {
    nothing_is_left || tell "void: there before the trial: $(what_is_left)"
    paused=@PAUSED@
    : >$base/begun
@TRIAL@
}

sources() {
    cd "$1" || exit 2
@SOURCES@
    cd - >/dev/null || exit 2
}

case ${1:-} in --*) [ $$ = 1 ] || lacks "the script uses $1 itself. Use: sh repro.sh [ROUNDS]." ;; esac
if [ "${1:-}" = --node ]; then
    enter_node "$2"
elif [ "${1:-}" = --trial ]; then
    settle
    end_what_hangs >/dev/null 2>&1 8>&- 9>&- &
    until [ -s $base/patience ]; do sleep 0.01; done # its process is none of the trial's
    trial 8>&- 9>&- # a program that holds a file from outside cannot be checkpointed
    [ -z "$KEEP" ] || tar -C $base -cf - checkpoints >&8
    cat $base/late >&9 2>/dev/null || cat $base/result >&9
else
    main "$@"
fi
