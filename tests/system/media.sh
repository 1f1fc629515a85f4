#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# In the lab: the commands for whole media and for several initiators at once, sent with sg3_utils to
# a thin LUN under the real tcmu-runner, which is also killed in the middle of a SANITIZE.
# shellcheck source=tools/lab/guest/lib.sh
. "$LAB_REPO/tools/lab/guest/lib.sh"

readonly volume=/mnt/tmpfs/media

# COUNT bytes of the character.
bytes_of() { # CHARACTER COUNT
  head -c "$2" /dev/zero | tr '\0' "$1"
}

# The SCSI status of a CDB without data, and what there is of sense.
status_of() { # CDB_BYTE...
  sg_raw -v "$disk" "$@" 2>&1
}

block_is() { # LBA CHARACTER
  cmp <(dd if="$disk" bs=512 skip="$1" count=1 iflag=direct status=none) <(bytes_of "$2" 512)
}

mkdir -p /mnt/tmpfs
mount -t tmpfs -o size=600m tmpfs /mnt/tmpfs
start_stack
check "a LUN" thin_create media "$volume" $((64 << 20))
disk=$(loop_create 6001405000000001 media) || bail_out "its disk does not come up"

section "COMPARE AND WRITE and ORWRITE"
{ bytes_of '\0' 2048; bytes_of a 2048; } >/tmp/zeros-a
{ bytes_of a 1500; bytes_of b 548; bytes_of c 2048; } >/tmp/a-wrong
check "what is there is replaced" sg_compare_and_write --in=/tmp/zeros-a --lba=8 --num=4 "$disk"
check "by what was given" block_is 11 a
# 14 is sg3_utils' status for a miscompare.
check_fails "what is not there is not" 14 "miscompare" \
  sg_compare_and_write --in=/tmp/a-wrong --lba=8 --num=4 -v "$disk"
check_match "and the first difference is told" "Info fld=0x5dc|Information.*(0x5dc|1500)" \
  "$(sg_compare_and_write --in=/tmp/a-wrong --lba=8 --num=4 -vv "$disk" 2>&1)"
check "nor changed" block_is 8 a
bytes_of '\2' 512 >/tmp/bits # a is 61h
check "ORWRITE" sg_raw -s 512 -i /tmp/bits "$disk" 8b 00 0 0 0 0 0 0 0 8 0 0 0 1 00 00
check "adds its bits" block_is 8 c

section "WRITE AND VERIFY and PRE-FETCH"
bytes_of d 1024 >/tmp/d
check "WRITE AND VERIFY(10)" sg_raw -s 1024 -i /tmp/d "$disk" 2e 02 0 0 0 20 00 0 2 00
check "writes" block_is 33 d
check "and compares" sg_verify --ndo=1024 --in=/tmp/d --lba=32 --count=2 "$disk"
# tcmu-runner knows no CONDITION MET: what the handler says becomes GOOD.
check_match "PRE-FETCH(10)" "SCSI Status: Good" \
  "$(status_of 34 00 00 00 00 00 00 00 40 00)"
check_match "PRE-FETCH(16) with IMMED" "SCSI Status: Good" \
  "$(status_of 90 02 0 0 0 0 0 0 0 0 0 0 0 40 00 00)"

section "FORMAT UNIT"
# Without --mode it wants the read-write error recovery page, only for the block descriptor.
check "sg_format" sg_format --format --quick --wait --mode=8 "$disk"
check "everything is deallocated" test "$(lba_status "$disk")" = "0 131072 1"
check "also in the file" test "$(allocated_bytes "$volume")" -eq 0

section "SANITIZE"
dd if=/dev/urandom of="$disk" bs=1M count=64 oflag=direct status=none
bytes_of x 512 >/tmp/pattern
check "OVERWRITE" sg_sanitize --overwrite --quick --wait --pattern=/tmp/pattern --ipl=512 "$disk"
check "leaves the pattern" block_is 70000 x
check "BLOCK ERASE" sg_sanitize --block --quick --wait "$disk"
check "leaves nothing" test "$(allocated_bytes "$volume")" -eq 0

section "SANITIZE breaks off"
dd if=/dev/urandom of="$disk" bs=1M count=64 oflag=direct status=none
check "one that takes long begins" sg_sanitize --overwrite --quick --early --count=31 --zero "$disk"
check_fails "the LUN is not ready" 2 "." sg_turs "$disk"
check_match "and says how far it is" "sanitize in progress|Progress indication" "$(sg_requests "$disk" 2>&1)"
end_runner KILL
start_runner
# The first command that comes through may meet the power on.
wait_for 20 sg_requests "$disk"
sg_turs "$disk" >/dev/null 2>&1
check_match "with the runner back it has failed" "sanitize command failed" \
  "$(status_of 28 0 0 0 0 0 0 0 1 0; sg_raw -v -r 512 "$disk" 28 0 0 0 0 0 0 0 1 0 2>&1)"
check_match "which cannot be accepted" "Invalid field in cdb|Illegal request" \
  "$(sg_sanitize --fail --quick "$disk" 2>&1)"
check "another one heals it" sg_sanitize --block --quick --wait "$disk"
check "the LUN is ready" sg_turs "$disk"
check "and empty" test "$(lba_status "$disk")" = "0 131072 1"
finish_checks
