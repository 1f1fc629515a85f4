#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: the change record over SCSI, by sg_raw through the kernel's target and tcmu-runner. One
# initiator writes over iSCSI, another asks through tcm_loop: also beside reservations, and
# after the runner was killed.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly iqn=iqn.2026-01.lab.thinmirror:track
track() { # PART [ARG...]
  "$LAB_REPO/tests/system/track.py" "$1" "$writer" "$asker" "${@:2}"
}
sg_of() { # DISK
  echo "/dev/$(ls "/sys/block/${1#/dev/}/device/scsi_generic")"
}
ask() { # FUNCTION ARGUMENT (16 digits) [DEVICE]
  local argument
  argument=$(sed 's/../& /g' <<<"$2")
  # shellcheck disable=SC2086 # bytes
  sg_raw -r 4096 "${3:-$asker}" 9b 01 $argument 00 00 10 00 "$1" 00
}

mkdir -p /mnt/tmpfs
mount -t tmpfs -o size=512m tmpfs /mnt/tmpfs
start_stack
mkdir -p "$(<"$target/dbroot")/pr"

for size in 512 4096; do
  section "blocks of $size bytes"
  check "the LUN" thin_create "track$size" "/mnt/tmpfs/track$size" 64M "$size"
  check "its target" target_create "$iqn$size" "track$size"
  writer=$(iscsi_login "$iqn$size")
  loop=$(loop_create "500140500000$(printf %04d "$size")" "track$size")
  asker=$(sg_of "$loop")
  check_match "it is announced" "TMRECORD" "$(sg_raw -r 44 "$asker" 12 01 c1 00 2c 00 2>&1)"
  check_match "REPORT SUPPORTED OPERATION CODES has it" "9b ff ff ff +ff ff ff ff ff ff ff ff" \
    "$(sg_raw -r 64 "$asker" a3 0c 01 9b 00 00 00 00 00 40 00 00 2>&1)"
  check_fails "no function of another number" 5 "invalid field in cdb" ask 05 0000000000000000
  check_fails "no point, no changes" 5 "ASC=0?x?80.*ASCQ=0?x?0?1" ask 02 0000000100000000
  check "STATUS before there is a record" ask 00 0000000000000000
  check_equal "which it does not begin" "no" "$([[ -e /mnt/tmpfs/track$size.track ]] && echo yes || echo no)"
  check "what is written is what changed" track writes
  check "points that are cut while others write" track running
  check_fails "no such point" 5 "ASC=0?x?80.*ASCQ=0?x?0?4" ask 02 0000000100000000
done

section "the other way round"
iscsi_asker=$(sg_of "$writer")
check "asked over iSCSI" ask 00 0000000000000000 "$iscsi_asker"

section "beside a reservation of another initiator"
check "register" sg_persist --out --register --param-sark=aa "$writer"
for kind in 1 3 5 6 7 8; do
  check "reserve, type $kind" sg_persist --out --reserve --param-rk=aa --prout-type="$kind" "$writer"
  case $kind in
    1 | 5 | 7)
      check "type $kind: CUT" ask 01 "000000aa0000000$kind"
      check "type $kind: STATUS" ask 00 0000000000000000
      ;;
    *) check_fails "type $kind lets no one else read" 24 "reservation conflict" ask 00 0000000000000000 ;;
  esac
  check "release" sg_persist --out --release --param-rk=aa --prout-type="$kind" "$writer"
done
check "unregister" sg_persist --out --register --param-rk=aa --param-sark=0 "$writer"

section "tcmu-runner is killed"
check "writes" track begin /run/track.json
end_runner KILL
start_runner
check "it serves again" wait_for 20 sg_turs "$asker"
check "the record is exact" track after /run/track.json

section "a LUN that is to have no record"
thinvol create /mnt/tmpfs/none 16M
check "the LUN" backstore_create none "thin//mnt/tmpfs/none;track=no" $((16 << 20)) 512
none=$(sg_of "$(loop_create 5001405000000009 none)")
check_fails "CUT says so" 5 "ASC=0?x?80.*ASCQ=0?x?0?2" ask 01 0000000100000001 "$none"
check "STATUS is served" ask 00 0000000000000000 "$none"

iscsi_logout "${iqn}512"
iscsi_logout "${iqn}4096"
finish_checks
