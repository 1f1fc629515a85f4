#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: every example of thinmirror's --help and man page, exactly as it stands there, on LUNs,
# disks and files of the names that the examples use.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly lun_bytes=$((64 << 20)) iqn=iqn.2024-01.org.example

# An example a line.
help_examples() { # COMMAND
  thinmirror "$1" --help | sed -n '/^Examples:/,$p' | sed -n 's/^  //p' | sed -e ':a' -e '/\\$/N; s/\\\n */ /; ta'
}
manual_examples() {
  sed -n '/^\.SH EXAMPLES/,/^\.fi/p' "$LAB_REPO/docs/thinmirror.1" | grep -v '^\.' | sed 's/\\-/-/g'
}

interrupted_sync() { # PRIMARY SECONDARY
  thinmirror sync --ledger=vol1.ledger --rate=512K --progress=none "$@" &
  wait_for 20 test -s vol1.ledger
  kill -TERM $! && wait $!
}

# The files that an example takes for granted, in a folder of its own.
prepare() { # EXAMPLE
  rm -rf /mnt/xfs/example && mkdir /mnt/xfs/example && cd /mnt/xfs/example || return 1
  [[ $1 == *truncate* ]] || truncate -s "$lun_bytes" copy.img
  if [[ $1 == *forget* ]]; then
    check "a copy to forget" thinmirror sync --overwrite --pair=db /dev/sdb \
      "iscsi://san2/$iqn:vol1-copy/0"
  fi
  if [[ $1 == *--resume* ]]; then
    truncate -s "$lun_bytes" vol1.img
    check_fails "a sync is interrupted" 5 "resume" interrupted_sync /dev/sdb vol1.img
  fi
}

try() { # WHERE EXAMPLE
  prepare "$2"
  check "$1: $2" bash -o pipefail -c "$2"
  [[ $2 != *"> "*.svg ]] || check "it drew something" grep -q "</svg>" ./*.svg
}

export XDG_STATE_HOME=/tmp/state
mkdir -p /mnt/xfs
mkfs.xfs -q -K "${LAB_DISKS% *}" && mount "${LAB_DISKS% *}" /mnt/xfs
start_stack
echo "127.0.0.1 san1 san2" >>/etc/hosts
section "LUNs of those names"
for name in vol1 vol1-copy sda sdc; do
  check "$name" thin_create "$name" "/mnt/xfs/$name" "$lun_bytes"
done
# In this order they get their names.
check_equal "the first disk" /dev/sda "$(loop_create 5001405000000001 sda)"
check_equal "the second is vol1" /dev/sdb "$(loop_create 5001405000000002 vol1)"
check_equal "the third" /dev/sdc "$(loop_create 5001405000000003 sdc)"
check "vol1" target_create "$iqn:vol1" vol1
check "vol1-copy" target_create "$iqn:vol1-copy" vol1-copy
mkfs.ext4 -q -F -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 /dev/sdb
dd if=/dev/urandom of=/dev/sdb bs=1M count=4 seek=50 oflag=direct status=none
sync /dev/sdb
check "a volume that is not served" thinvol create /srv/vol1 "$lun_bytes"
dd if=/dev/urandom of=/srv/vol1 bs=1M count=3 seek=7 conv=notrunc status=none
check "and its copy" cp --sparse=always /srv/vol1 /mnt/vol1.img

count=0
for command in sync map verify probe ledgers forget; do
  section "thinmirror $command --help"
  while read -r example; do
    count=$((count + 1))
    try "$command --help" "$example"
  done < <(help_examples "$command")
done
section "thinmirror(1)"
while read -r example; do
  count=$((count + 1))
  try "thinmirror(1)" "$example"
done < <(manual_examples)
check "there are examples at all: $count" test "$count" -ge 15
finish_checks
