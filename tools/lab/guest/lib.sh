# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What scripts in the lab share: checks, waiting, the stack's daemons, LUNs, sessions. Source it:
#   . "$LAB_REPO/tools/lab/guest/lib.sh"
#
# LUNs are made here through configfs, which takes milliseconds; targetcli costs seconds a call
# under emulation, and is what targetcli-examples/ and their test are for.

set -u -o pipefail

readonly target=/sys/kernel/config/target
readonly runner_log=/var/log/tcmu-runner.log
# shellcheck disable=SC2034 # for the scripts
readonly initiator=iqn.2026-01.lab.thinmirror:initiator
runner_pid=

# --- checks: TAP lines; a script ends with `finish_checks` ---

checks=0 failures=0 skips=0

ok() { # NAME
  checks=$((checks + 1))
  echo "ok $checks - $*"
}

not_ok() { # NAME [DETAIL...]: each detail becomes a comment
  checks=$((checks + 1)) failures=$((failures + 1))
  echo "not ok $checks - $1"
  shift
  (($# == 0)) || printf '%s\n' "$@" | sed 's/^/#   /'
}

skip() { # NAME REASON
  checks=$((checks + 1)) skips=$((skips + 1))
  echo "ok $checks - $1 # SKIP $2"
}

# A program that is not installed is a failure, also where a script doesn't look at what it says.
# bash calls this in a subshell, so the failure is remembered in a file.
readonly missing_commands=/run/lab-missing-commands
command_not_found_handle() {
  echo "$1" >>"$missing_commands"
  echo "$1: command not found" >&2
  return 127
}

# Runs COMMAND; what it prints is shown only when it fails.
check() { # NAME COMMAND...
  local name=$1 output status=0
  shift
  output=$("$@" 2>&1) || status=$?
  if ((status == 0)); then
    ok "$name"
  else
    not_ok "$name" "$* => status $status" "$(tail -n 15 <<<"$output")"
  fi
}

check_equal() { # NAME EXPECTED ACTUAL
  if [[ $2 == "$3" ]]; then ok "$1"; else not_ok "$1" "expected: $2" "got:      $3"; fi
}

check_match() { # NAME REGEX TEXT
  if grep -Eqi -e "$2" <<<"$3"; then
    ok "$1"
  else
    not_ok "$1" "expected a match of: $2" "in: $(tail -n 15 <<<"$3")"
  fi
}

# Runs COMMAND, which must end with STATUS and print, on either stream, what REGEX matches.
check_fails() { # NAME STATUS REGEX COMMAND...
  local name=$1 expected=$2 regex=$3 output status=0
  shift 3
  output=$("$@" 2>&1) || status=$?
  if [[ $status != "$expected" ]]; then
    not_ok "$name" "$* => status $status, expected $expected" "$(tail -n 15 <<<"$output")"
  else
    check_match "$name" "$regex" "$output"
  fi
}

finish_checks() {
  [[ ! -s $missing_commands ]] ||
    not_ok "every program the test uses is there" "$(sort -u "$missing_commands")"
  echo "1..$checks"
  echo "# $((checks - failures - skips)) passed, $failures failed, $skips skipped, $(cut -d . -f 1 /proc/uptime) s of guest time"
  if ((failures > 0)); then
    echo "# the end of $runner_log:"
    tail -n 20 "$runner_log" 2>/dev/null | sed 's/^/#   /'
    dmesg >"$LAB_OUT/dmesg-$(basename "$0").txt"
    cp "$runner_log" "$LAB_OUT/runner-$(basename "$0").log" 2>/dev/null
  fi
  exit $((failures > 0))
}

section() {
  echo "# --- $* ($(cut -d . -f 1 /proc/uptime) s)"
}

bail_out() {
  echo "Bail out! $*"
  checks=$((checks + 1)) failures=$((failures + 1))
  echo "not ok $checks - $*"
  finish_checks
}

# --- waiting ---

# Runs COMMAND, quietly, until it succeeds; 1 when it doesn't within SECONDS.
wait_for() { # SECONDS COMMAND...
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.1
  done
}

not() {
  ! "$@"
}

# --- daemons ---

start_kernel_target() {
  modprobe -a target_core_user iscsi_target_mod tcm_loop iscsi_tcp sd_mod sg
  mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
}

start_dbus() {
  mkdir -p /run/dbus
  dbus-uuidgen --ensure
  [[ -e /run/dbus/pid ]] || dbus-daemon --system --fork
}

runner_answers() {
  [[ $(dbus-send --system --print-reply --dest=org.freedesktop.DBus / \
    org.freedesktop.DBus.NameHasOwner string:org.kernel.TCMUService1 2>/dev/null) == *'boolean true'* ]]
}

# A handler built with AddressSanitizer needs its runtime loaded before all else.
start_runner() {
  local preload=
  if [[ -e $LAB_BUILD/lib/handler_thin.so ]]; then
    preload=$(ldd "$LAB_BUILD/lib/handler_thin.so" | awk '/libasan/ { print $3 }')
  fi
  LD_PRELOAD=$preload ASAN_OPTIONS=detect_leaks=0 tcmu-runner >>/var/log/runner-output.log 2>&1 &
  runner_pid=$!
  disown
  wait_for 30 runner_answers
}

end_runner() { # SIGNAL
  [[ -n $runner_pid ]] || return 0
  kill "-$1" "$runner_pid"
  wait_for 30 not test -d "/proc/$runner_pid" && runner_pid=
}

# The lines a COMMAND adds to the runner's log.
log_of() { # COMMAND...
  local before
  before=$(stat -c %s "$runner_log" 2>/dev/null || echo 0)
  "$@" >/dev/null 2>&1
  tail -c "+$((before + 1))" "$runner_log"
}

start_initiator() {
  pgrep -x iscsid >/dev/null || iscsid
}

start_stack() {
  if ! { start_kernel_target && start_dbus && start_runner && start_initiator; }; then
    bail_out "the stack does not start"
  fi
}

stop_stack() {
  iscsiadm -m node --logout >/dev/null 2>&1
  targets_remove
  end_runner TERM
}

# --- LUNs ---

# Makes the backstore NAME of tcmu-runner's handler: CFG is `thin//path[;option]...`.
backstore_create() { # NAME CFG BYTES [BLOCK_SIZE [CONTROL...]]
  local name=$1 cfg=$2 bytes=$3 block_size=${4:-512} control
  local place=$target/core/user_0/$name
  shift $(($# < 4 ? $# : 4))
  mkdir -p "$target/core/user_0" && mkdir "$place" || return 1
  for control in "dev_config=$cfg" "dev_size=$bytes" "hw_block_size=$block_size" "$@"; do
    echo -n "$control" >"$place/control" || break
  done
  if ! echo 1 2>/dev/null >"$place/enable"; then
    rmdir "$place"
    return 1
  fi
}

backstore_remove() { # NAME
  rmdir "$target/core"/user_*/"$1"
}

# A thin LUN's backstore over the volume PATH, which is made when BYTES are given.
thin_create() { # NAME PATH [BYTES [BLOCK_SIZE [CONTROL...]]]
  local name=$1 path=$2 bytes=${3:-} block_size=${4:-512}
  shift $(($# < 4 ? $# : 4))
  if [[ ! -e $path && -n $bytes ]]; then
    thinvol create --block-size="$block_size" "$path" "$bytes" || return 1
  fi
  backstore_create "$name" "thin/$path" "$(stat -c %s "$path")" "$block_size" "$@"
}

# An iSCSI target with NAME's backstore as LUN 0, open to all, on 127.0.0.1:3260.
target_create() { # IQN NAME
  local group=$target/iscsi/$1/tpgt_1 pair
  mkdir -p "$target/iscsi" && mkdir "$target/iscsi/$1" "$group" "$group/np/127.0.0.1:3260" \
    "$group/lun/lun_0" || return 1
  ln -s "$(echo "$target"/core/*_*/"$2")" "$group/lun/lun_0/$2"
  for pair in authentication=0 demo_mode_write_protect=0 generate_node_acls=1 cache_dynamic_acls=1; do
    echo "${pair#*=}" >"$group/attrib/${pair%=*}"
  done
  echo 1 >"$group/enable"
}

target_remove() { # IQN
  local group=$target/iscsi/$1/tpgt_1
  echo 0 >"$group/enable"
  find "$group/lun" -type l -delete
  rmdir "$group"/np/* "$group"/lun/* "$group" "$target/iscsi/$1"
}

targets_remove() {
  local place
  for place in "$target"/iscsi/iqn.*; do
    [[ ! -d $place ]] || target_remove "${place##*/}"
  done
  for place in "$target"/loopback/naa.*; do
    [[ ! -d $place ]] || loop_remove "${place##*.}"
  done
  for place in "$target"/core/*_*/*/enable; do
    [[ ! -e $place ]] || rmdir "${place%/enable}"
  done
}

# A SCSI disk of this machine over NAME's backstore (tcm_loop); prints /dev/sdX. ID: 16 hex digits.
loop_create() { # ID NAME
  local group=$target/loopback/naa.$1/tpgt_1
  mkdir -p "$target/loopback" && mkdir "$target/loopback/naa.$1" "$group" || return 1
  echo "naa.$1" >"$group/nexus"
  mkdir "$group/lun/lun_0"
  ln -s "$(echo "$target"/core/*_*/"$2")" "$group/lun/lun_0/$2"
  disk_at "$(<"$group/address"):0"
}

loop_remove() { # ID
  local group=$target/loopback/naa.$1/tpgt_1
  find "$group/lun" -type l -delete
  rmdir "$group"/lun/lun_* && echo NULL >"$group/nexus" && rmdir "$group" "$target/loopback/naa.$1"
}

# --- the initiator ---

# Prints the /dev/sdX of the SCSI address H:C:T:L as soon as it has one.
disk_at() { # ADDRESS
  wait_for 20 compgen -G "/sys/bus/scsi/devices/$1/block/sd*" || return 1
  echo /dev/"$(basename /sys/bus/scsi/devices/"$1"/block/sd*)"
}

session_disk() { # IQN
  local session
  for session in /sys/class/iscsi_session/session*; do
    [[ $(<"$session/targetname") == "$1" ]] || continue
    disk_at "$(basename "$session"/device/target*/*:*:*:0)" && return
  done
  return 1
}

# Logs in and prints the /dev/sdX of LUN 0.
iscsi_login() { # IQN [USER SECRET]
  local node=(iscsiadm -m node -T "$1" -p 127.0.0.1:3260)
  {
    "${node[@]}" -o new &&
      if (($# == 3)); then
        "${node[@]}" -o update -n node.session.auth.authmethod -v CHAP &&
          "${node[@]}" -o update -n node.session.auth.username -v "$2" &&
          "${node[@]}" -o update -n node.session.auth.password -v "$3"
      fi && "${node[@]}" --login
  } >/dev/null || return 1
  wait_for 20 session_disk "$1"
  session_disk "$1"
}

iscsi_logout() { # IQN
  iscsiadm -m node -T "$1" --logout >/dev/null
  iscsiadm -m node -T "$1" -o delete >/dev/null
}

# --- files ---

allocated_bytes() { # FILE
  stat -c '%b %B' "$1" | awk '{ printf "%d\n", $1 * $2 }'
}

# The 16-byte block descriptors of GET LBA STATUS over a whole disk, merged, as lines of
# "LBA BLOCKS STATUS" (0 mapped, 1 deallocated, 2 anchored).
lba_status() { # DISK
  local blocks lba=0 line count status next
  blocks=$(blockdev --getsize64 "$1")
  blocks=$((blocks / $(blockdev --getss "$1")))
  while ((lba < blocks)); do
    next=$lba
    while read -r line count status; do
      echo "$((line)) $((count)) $status"
      next=$((line + count))
    done < <(sg_get_lba_status --16 --lba="$lba" --maxlen=65536 --brief "$1" |
      sed -nE 's/^(0x[0-9a-f]+) +(0x[0-9a-f]+) +([0-9]+).*/\1 \2 \3/p')
    ((next > lba)) || return 1
    lba=$next
  done | awk '
    NR > 1 && status == $3 && lba + count == $1 { count += $2; next }
    NR > 1 { print lba, count, status }
    { lba = $1; count = $2; status = $3 }
    END { print lba, count, status }'
}
