#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The guest's part of tools/demo: two LUNs of our handler under the real kernel target, a file
# system on the primary, half of its files deleted and trimmed, and a mirror of what is left.
. "$LAB_REPO/tools/lab/guest/lib.sh"
. "$LAB_REPO/tools/demo-parts.sh"

readonly prefix=iqn.2026-11.org.example
readonly auth=/etc/thinmirror.auth

quietly() {
  local output
  output=$("$@" 2>&1) || give_up "$* failed: $(tail -n 8 <<<"$output")"
}

mapped() { # DISK
  lba_status "$1" | awk -v block="$(blockdev --getss "$1")" \
    '$3 == 0 { sum += $2 } END { printf "%d\n", sum * block }'
}

log_in() { # SIDE: prints the disk
  local user secret
  read -r _ user secret < <(grep ":$1 " "$auth")
  iscsi_login "$prefix:$1" "$user" "$secret"
}

checksums() {
  (cd /mnt/demo && find . -type f -print0 | sort -z | xargs -0 md5sum)
}

copy_files() {
  mkdir /mnt/demo/files
  find /usr/bin /usr/lib/python3 -xdev -type f -size -2000k -size +40k | sort | sed -n 1,240p |
    xargs cp -t /mnt/demo/files --backup=numbered
}

delete_half() {
  find /mnt/demo/files -type f | sort | awk 'NR % 2' | xargs rm
}

mkdir -p /srv/thin /mnt/demo
mkfs.xfs -q -K "${LAB_DISKS% *}" && mount "${LAB_DISKS% *}" /srv/thin

heading "The stack: LIO in Linux $(uname -r), tcmu-runner $(tcmu-runner -V 2>&1 | awk '{ print $NF }'), our handler"
start_stack
say "kernel modules: $(lsmod | awk '/^(target_core_user|iscsi_target_mod|iscsi_tcp) / { print $1 }' | sort | xargs)"
say "handler:        $(grep -o 'Handler thin is registered' "$runner_log" || give_up "tcmu-runner has no handler 'thin'")"

heading "Two thin LUNs of 1 GiB on two iSCSI targets, with CHAP and ACLs"
say "${dim}\$ SIZE=1G targetcli-examples/primary-and-secondary.sh${plain}"
quietly env SIZE=1G "$LAB_REPO/targetcli-examples/primary-and-secondary.sh"
for side in primary secondary; do
  say "$(printf '%-10s %s   lun0 -> user:thin %s' "$side" "$prefix:$side" "/srv/thin/$side")"
done

heading "open-iscsi logs in to the primary; a file system with real files on it"
primary=$(log_in primary) || give_up "no disk for the primary"
say "$prefix:primary is $primary: $(sg_inq "$primary" | awk -F ': *' '/Vendor|Product id/ { print $2 }' | xargs)"
run mkfs.ext4 -q -J size=4 "$primary"
run mount "$primary" /mnt/demo
copy_files
sync
before=$(mapped "$primary")
say "$(find /mnt/demo/files -type f | wc -l) files; mapped on the LUN: $(human "$before")"

heading "Half of the files are deleted, and fstrim gives their blocks back"
delete_half
sync
run fstrim -v /mnt/demo
sums=$(checksums)
umount /mnt/demo
after=$(mapped "$primary")
say "$(wc -l <<<"$sums") files left; mapped on the LUN: $(human "$after")"

heading "What the LUN says of itself: GET LBA STATUS"
say "${dim}\$ sg_get_lba_status --16 --lba=0 --maxlen=65536 $primary${plain}"
sg_get_lba_status --16 --lba=0 --maxlen=65536 "$primary" | sed 's/^/     /' >/run/lba-status
grep 'LBA:\|descriptor\|status' /run/lba-status | head -n 6
say "  ... $(lba_status "$primary" | wc -l) extents in all"
iscsi_logout "$prefix:primary"

heading "thinmirror copies what is mapped, from LUN to LUN over iSCSI"
urls=("iscsi://mirror@127.0.0.1/$prefix:primary/0" "iscsi://mirror@127.0.0.1/$prefix:secondary/0")
say "${dim}\$ thinmirror sync --auth-file=$auth ${urls[0]} \\" "         ${urls[1]}${plain}"
thinmirror sync --json --progress="$progress" --auth-file="$auth" "${urls[@]}" >/run/sync.json ||
  give_up "thinmirror sync failed"
say "$(jq -r '"\(.extents) extents read and written in \(.seconds * 10 | round / 10) s; GET LBA STATUS commands sent: \(.status_queries)"' /run/sync.json)"

heading "Is the secondary what the primary is?"
compare "every block: thinmirror verify" \
  thinmirror verify --progress=none --auth-file="$auth" "${urls[@]}"
compare "the files behind the LUNs: cmp" cmp /srv/thin/primary /srv/thin/secondary
secondary=$(log_in secondary) || give_up "no disk for the secondary"
compare "which blocks are mapped" test "$after" = "$(mapped "$secondary")"
run mount -o ro "$secondary" /mnt/demo
compare "the checksums of all $(wc -l <<<"$sums") files" test "$sums" = "$(checksums)"
umount /mnt/demo

heading "What it took"
sync
print_table "$(blockdev --getsize64 "$secondary")" "$before" "$after" \
  "$(jq .written_bytes /run/sync.json)" "$(allocated_bytes /srv/thin/secondary)"
iscsi_logout "$prefix:secondary"
finish
