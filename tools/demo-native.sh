#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/demo --native: the same copy on this machine, without root and without a kernel target.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/demo-parts.sh"

readonly build=$1
readonly size=1G
daemons=()

clean_up() {
  local pid
  # tgtd ignores SIGTERM while it has targets.
  for pid in "${daemons[@]}"; do
    kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
  done
  rm -rf "$work"
}

# As the LUN itself says: storage that is reserved in the file and was never written is anchored.
mapped() { # VOLUME
  thinmirror map --json "thin:$PWD/$1" |
    jq --argjson block "$(thinvol info --json "$1" | jq .block_size)" \
      '[.extents[] | select(.status == "mapped") | .blocks * $block] | add // 0'
}

allocated() { # FILE
  stat -c '%b %B' "$1" | awk '{ printf "%d\n", $1 * $2 }'
}

collect_files() { # DIRECTORY
  mkdir -p "$1"
  find /usr/bin /usr/lib/python3 -xdev -type f -size -2000k -size +40k -readable 2>/dev/null |
    sort | sed -n 1,240p | xargs cp -t "$1" --backup=numbered
}

# debugfs and e2fsck work on a file system in a file, so nothing has to be mounted.
delete_half() { # VOLUME DIRECTORY
  (cd "$2" && find . -type f | sort | awk 'NR % 2') >"$work/deleted"
  sed 's/^\./rm /' "$work/deleted" | debugfs -w -f - "$1" >/dev/null 2>&1
  (cd "$2" && xargs rm <"$work/deleted")
}

checksums() { # DIRECTORY
  (cd "$1" && find . -type f -print0 | sort -z | xargs -0 md5sum)
}

files_of() { # VOLUME DIRECTORY
  mkdir "$2"
  debugfs -R "rdump / $2" "$1" >/dev/null 2>&1
  rm -rf "$2/lost+found"
}

two_volumes() {
  heading "Two thin volumes of $size: sparse files that know what they are"
  run thinvol create primary "$size"
  run thinvol create secondary "$size"

  heading "A file system with real files on the primary"
  collect_files files
  run mkfs.ext4 -q -F -J size=4 -d files primary
  before=$(mapped primary)
  say "$(find files -type f | wc -l) files; mapped: $(human "$before")"

  heading "Half of the files are deleted, and their blocks given back"
  delete_half primary files
  # Status 1: it gave something back, which counts as a correction.
  run_quiet e2fsck -f -y -E discard primary
  after=$(mapped primary)
  say "$(find files -type f | wc -l) files left; mapped: $(human "$after")"

  heading "thinmirror copies what is mapped"
  say "${dim}\$ thinmirror sync thin:primary thin:secondary${plain}"
  thinmirror sync --json --progress="$progress" "thin:$PWD/primary" "thin:$PWD/secondary" >sync.json ||
    give_up "thinmirror sync failed"
  say "$(human "$(jq .written_bytes sync.json)") written, in $(jq '.seconds * 100 | round / 100' sync.json) s"

  heading "Is the secondary what the primary is?"
  compare "every block: thinmirror verify" \
    thinmirror verify --progress=none "thin:$PWD/primary" "thin:$PWD/secondary"
  compare "every block: cmp" cmp primary secondary
  compare "which blocks are mapped" test "$after" = "$(mapped secondary)"
  files_of secondary copied
  compare "the checksums of all files" test "$(checksums files)" = "$(checksums copied)"

  heading "What it took"
  print_table "$(stat -c %s secondary)" "$before" "$after" "$(jq .written_bytes sync.json)" \
    "$(allocated secondary)"
}

# An unused port, from a range of our own.
free_port() {
  local port
  for ((port = $1; port < $1 + 10; port++)); do
    if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
  return 1
}

serve() { # NAME PORT FILE
  local admin=(tgtadm -C "$2" --lld iscsi) iqn=iqn.2026-11.org.example:$1 try
  tgtd -f -C "$2" --iscsi "portal=127.0.0.1:$2" >"$1.log" 2>&1 &
  daemons+=($!)
  for ((try = 0; try < 100; try++)); do
    "${admin[@]}" --op show --mode sys >/dev/null 2>&1 && break
    sleep 0.1
  done
  "${admin[@]}" --op new --mode target --tid 1 -T "$iqn" &&
    "${admin[@]}" --op new --mode logicalunit --tid 1 --lun 1 -b "$PWD/$3" &&
    "${admin[@]}" --op update --mode logicalunit --tid 1 --lun 1 --params thin_provisioning=1 &&
    "${admin[@]}" --op bind --mode target --tid 1 -I ALL
}

two_tgtds() {
  heading "The same between two LUNs of tgtd, over iSCSI"
  local from to
  export TGT_IPC_SOCKET=$work/tgtd
  from=$(free_port 13280) && to=$(free_port 13290) || give_up "no free port"
  truncate -s "$size" tgt-secondary
  cp --sparse=always primary tgt-primary
  if ! { serve primary "$from" tgt-primary && serve secondary "$to" tgt-secondary; } >tgt.log 2>&1; then
    say "tgtd does not start here: $(tail -n 1 tgt.log primary.log | tail -n 1)"
    return
  fi
  local urls=("iscsi://127.0.0.1:$from/iqn.2026-11.org.example:primary/1"
    "iscsi://127.0.0.1:$to/iqn.2026-11.org.example:secondary/1")
  say "${dim}\$ thinmirror sync ${urls[0]} \\" "         ${urls[1]}${plain}"
  thinmirror sync --json --progress="$progress" "${urls[@]}" >tgt.json || give_up "thinmirror sync failed"
  say "$(human "$(jq .written_bytes tgt.json)") written, in $(jq '.seconds * 100 | round / 100' tgt.json) s"
  compare "every block: thinmirror verify" thinmirror verify --progress=none "${urls[@]}"
  compare "every block: cmp" cmp tgt-primary tgt-secondary
}

work=$(mktemp -d "$build/demo.XXXXXX") || exit 1
trap clean_up EXIT
cd "$work" || exit 1
two_volumes
if command -v tgtd >/dev/null; then two_tgtds; else say "" "(tgt is not installed: no LUNs of tgtd.)"; fi
finish
